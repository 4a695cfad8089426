"""What is known of adapters: rollouts on the time axis, roles, and who is quarantined."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from monitoring.report import Mark, Standing
from monitoring.state.calendar import SECOND_US
from monitoring.state.directory import Directory
from monitoring.state.eviction import leaving
from monitoring.state.kinds import Kind
from monitoring.state.limits import Limits
from monitoring.state.objects import Objects
from monitoring.state.owners import AdapterOwner
from monitoring.state.tables import ADAPTERS

CONTROLLER = "controller"  # who makes the rollouts that no person asked for


@dataclass(slots=True)
class AdapterNotes:
    """Rollouts, oldest first, and quarantined digests, oldest first.

    What has a default came later: states of before have none of it.
    """

    marks: list[Mark] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    quarantined_versions: dict[int, str] = field(default_factory=dict)  # digests, oldest first
    noted_us: int = 0  # time of the first rollout or quarantine

    @property
    def first_us(self) -> int | None:
        """Return the time of the first rollout or quarantine, as far as it is known."""
        if self.noted_us:
            return self.noted_us
        return round(self.marks[0].time_s * SECOND_US) if self.marks else None

    def note(self, time_us: int) -> None:
        """Take note of the time of a rollout or quarantine."""
        self.noted_us = min(self.first_us or time_us, time_us)

    def rolled(self, mark: Mark, most: int) -> None:
        """Take in a rollout; one of the same revision and time is the same."""
        self.note(round(mark.time_s * SECOND_US))
        if any((m.revision, m.time_s) == (mark.revision, mark.time_s) for m in self.marks):
            return
        self.marks.append(mark)
        self.marks.sort(key=lambda m: (m.time_s, m.revision))
        del self.marks[: max(0, len(self.marks) - most)]

    def quarantine(self, version: int, digest: str, time_us: int, most: int) -> None:
        """Take note that a version's digest is out of service."""
        self.note(time_us)
        if digest not in self.quarantined:
            self.quarantined.append(digest)
            del self.quarantined[: max(0, len(self.quarantined) - most)]
        if self.quarantined_versions.get(version) != digest:
            self.quarantined_versions.pop(version, None)
            self.quarantined_versions[version] = digest
            for oldest in list(self.quarantined_versions)[:-most]:
                del self.quarantined_versions[oldest]

    def names(self, version: int) -> bool:
        """Say whether the last rollout names a version; where none was seen, any may be named."""
        if not self.marks:
            return True
        last = self.marks[-1]
        return version in (last.live, last.canary, *last.shadow)

    def standing(self, version: int, digest: str) -> Standing | None:
        """Return how a version stands by the last rollout; None: no rollout was seen."""
        if digest in self.quarantined:
            return "quarantined"
        if not self.marks:
            return None
        last = self.marks[-1]
        if version == last.live:
            return "live"
        if version == last.canary:
            return "canary"
        return "shadow" if version in last.shadow else "retired"


class Adapters:
    """All adapters of which a rollout, a quarantine or a label was seen."""

    def __init__(self, objects: Objects, limits: Limits, next_id: Callable[[], int]) -> None:
        self.owners = Directory(ADAPTERS, AdapterOwner, lambda entry: entry.key)
        self._objects = objects
        self._limits = limits
        self._next_id = next_id

    def enter(self, tenant: str, adapter: str, last_us: int) -> AdapterOwner:
        """Return the owner of an adapter, made where it is new, after an event of this time."""
        owner = self.owners.get((tenant, adapter))
        if owner is None:
            owner = AdapterOwner(self._next_id(), tenant, adapter)
            self.owners.add(owner)
            self._objects.add(owner.id, Kind.ADAPTER, AdapterNotes())
        if last_us > owner.last_us:
            owner.last_us = last_us
            self.owners.touch(owner.key)
        return owner

    def notes(self, tenant: str, adapter: str) -> AdapterNotes:
        """Return what is known of an adapter; nothing of one that is not."""
        owner = self.owners.get((tenant, adapter))
        if owner is None:
            return AdapterNotes()
        notes: AdapterNotes = self._objects.get(owner.id, Kind.ADAPTER)
        return notes

    def rolled(self, tenant: str, adapter: str, mark: Mark, time_us: int) -> None:
        """Take in a rollout."""
        owner = self.enter(tenant, adapter, time_us)
        self._objects.edit(owner.id, Kind.ADAPTER).rolled(mark, self._limits.marks_max)

    def quarantined(
        self, tenant: str, adapter: str, version: int, digest: str, time_us: int
    ) -> None:
        """Take in a quarantine."""
        owner = self.enter(tenant, adapter, time_us)
        notes: AdapterNotes = self._objects.edit(owner.id, Kind.ADAPTER)
        notes.quarantine(version, digest, time_us, self._limits.quarantined_max)

    def labelled(self, tenant: str, adapter: str, came_us: int, predicted_us: int) -> None:
        """Take note of a label."""
        owner = self.enter(tenant, adapter, came_us)
        if predicted_us > owner.labelled_us:
            owner.labelled_us = predicted_us
            self.owners.touch(owner.key)

    def labelled_us(self, tenant: str, adapter: str) -> int:
        """Return the time of the newest prediction that has a label; 0: none has."""
        owner = self.owners.get((tenant, adapter))
        return 0 if owner is None else owner.labelled_us

    def forget(self, tenant: str) -> None:
        """Delete a tenant's adapters."""
        self._drop([owner for owner in self.owners if owner.tenant == tenant])

    def evict(self, last_us: Callable[[AdapterOwner], int]) -> None:
        """Delete adapters beyond the bound, of the tenants first that have most."""
        excess = len(self.owners) - self._limits.versions_max
        if excess > 0:
            count = excess + self._limits.versions_max // 64
            self._drop(leaving(self.owners, last_us, count))

    def _drop(self, owners: list[AdapterOwner]) -> None:
        self._objects.drop_owners(owner.id for owner in owners)
        for owner in owners:
            self.owners.drop(owner.key)


def mark_of(
    time_us: int,
    revision: int,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    actor: str,
    reason: str | None,
) -> Mark:
    """Return the mark of a change of a rollout document: `live`, `canary`, `shadow`.

    What a document does not have, or has in another form, counts as not there.
    """
    live, canary = _number(after.get("live")), _canary(after)
    percent, shadows = canary.get("percent"), after.get("shadow")
    numbers = map(_number, shadows) if isinstance(shadows, list) else ()
    mark = Mark(
        time_s=time_us / 1e6,
        revision=revision,
        live=live,
        canary=_number(canary.get("version")),
        canary_percent=float(percent) if isinstance(percent, int | float) else None,
        shadow=tuple(number for number in numbers if number is not None),
        actor=actor,
        forced=reason,
    )
    return (
        mark if actor != CONTROLLER else replace(mark, rolled_back=_taken_out(before or {}, mark))
    )


def _taken_out(before: Mapping[str, Any], after: Mark) -> int | None:
    """Return the version that answered requests before and does not any more.

    The live one where both went: the canary was compared with it, and has nothing to be held
    against.
    """
    live, canary = _number(before.get("live")), _number(_canary(before).get("version"))
    answering = (after.live, after.canary)
    return next((one for one in (live, canary) if one is not None and one not in answering), None)


def _canary(document: Mapping[str, Any]) -> Mapping[str, Any]:
    canary = document.get("canary")
    return canary if isinstance(canary, Mapping) else {}


def _number(given: object) -> int | None:
    return given if type(given) is int else None
