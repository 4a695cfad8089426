"""Moving: tenants, versions and rollouts onto a server of the new bundle, adapter by adapter.

Everything may be done again: what is there already stays as it is. Where the new state began as a
copy of the old one, versions keep their numbers, and the rollout that came along holds as soon as
they are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.client.client import UPLOAD_TIMEOUT_S, Client
from service.client.errors import NotFound
from service.migration.judging import metadata_to_send, packed
from service.migration.source import Household, OldState, Placed
from service.registry.records import Rollout, Tenant


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one adapter."""

    tenant: str
    adapter: str
    numbers: Mapping[int, int]  # of versions: there, by their numbers here
    left: tuple[str, ...]  # what stays behind, and why
    live: bool  # whether it answers on the new server

    def document(self) -> dict[str, Any]:
        """Return it for programs; JSON has no numbers for keys."""
        numbers = {str(old): new for old, new in self.numbers.items()}
        return {**asdict(self), "numbers": numbers, "left": list(self.left)}


class Mover:
    """Sends what moves to a server of the new bundle."""

    def __init__(self, client: Client, timeout_s: float = UPLOAD_TIMEOUT_S) -> None:
        self._client = client
        self._timeout_s = timeout_s

    def ensure_tenant(self, tenant: Tenant) -> None:
        """Make a tenant with its settings where it is missing."""
        try:
            self._client.tenant(tenant.name)
        except NotFound:
            self._client.put_tenant(tenant.name, tenant.settings.document())

    def move(self, state: OldState, household: Household, chosen: Sequence[Placed]) -> Moved:
        """Send the chosen versions of an adapter, and put its rollout in place with them.

        A version that the new server rejects takes no part in the rollout; without the live one
        the rollout is left alone. Raises what the client raises.
        """
        rollout = household.rollout
        numbers: dict[int, int] = {}
        left: list[str] = []
        for placed in chosen:
            version = placed.version
            uploaded = self._client.upload(
                rollout.tenant,
                rollout.adapter,
                packed(state.files(version)),
                metadata_to_send(version),
                timeout_s=self._timeout_s,
            )
            if uploaded.version.state == "rejected":
                why = uploaded.version.report.get("summary", "rejected")
                left.append(f"version {version.version}: {why}")
            else:
                numbers[version.version] = uploaded.version.version
        sent = {placed.version.version for placed in chosen}
        left += [
            f"version {placed.version.version} ({placed.role}) was not sent"
            for placed in household.placed
            if placed.version.version not in sent
        ]
        live = rollout.live in numbers
        if live:
            self._roll_out(rollout, numbers)
        return Moved(rollout.tenant, rollout.adapter, numbers, tuple(left), live)

    def _roll_out(self, rollout: Rollout, numbers: Mapping[int, int]) -> None:
        assert rollout.live is not None, "it moved"
        live = numbers[rollout.live]
        canary = None
        if rollout.canary is not None and rollout.canary.version in numbers:
            canary = (numbers[rollout.canary.version], rollout.canary.percent)
        shadow = sorted(numbers[number] for number in rollout.shadows if number in numbers)
        there = self._client.rollout(rollout.tenant, rollout.adapter)
        found = None if there.canary is None else (there.canary.version, there.canary.percent)
        if (there.live, found, sorted(there.shadow)) != (live, canary, shadow):
            self._client.set_rollout(
                rollout.tenant,
                rollout.adapter,
                live,
                canary=canary,
                shadow=shadow,
                if_match=there.revision,
            )
