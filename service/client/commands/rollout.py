"""Rollouts as the command line writes them: what is named changes, the rest stays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import typer

from service.client.client import Client
from service.client.commands.screen import Screen
from service.client.documents import Rollout
from service.client.errors import Changed

_NONE = "none"


class Stays(Enum):
    """What was not named stays as it is."""

    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be another than it is."""

    live: int | Stays | None
    canary: tuple[int, float] | Stays | None
    shadow: Sequence[int] | Stays
    force: str | None

    def put(
        self, client: Client, tenant: str, adapter: str, before: Rollout, if_match: int | None
    ) -> Rollout:
        """Write the rollout that comes of it; raise `Changed` where somebody was faster."""
        live = before.live if self.live is Stays.STAYS else self.live
        canary = self._canary(before, live)
        taken = {live, None if canary is None else canary[0]}
        shadow = self.shadow
        if shadow is Stays.STAYS:
            shadow = [number for number in before.shadow if number not in taken]
        force = self.force
        if force is None and before.forced is not None:
            rejected = _rejected(client, tenant, adapter) & set(_named(before))
            if rejected & {*taken, *shadow}:
                force = before.forced  # what was forced then goes on for the same reason
        return client.set_rollout(
            tenant,
            adapter,
            live,
            canary=canary,
            shadow=shadow,
            force=force,
            if_match=before.revision if if_match is None else if_match,
        )

    def _canary(self, before: Rollout, live: int | None) -> tuple[int, float] | None:
        if self.canary is not Stays.STAYS:
            return self.canary
        if before.canary is None or before.canary.version == live:
            return None
        return before.canary.version, before.canary.percent


def _rejected(client: Client, tenant: str, adapter: str) -> set[int]:
    return {
        one.version
        for one in client.versions(tenant, adapter)
        if one.report.get("verdict") == "rejected"
    }


def _named(rollout: Rollout) -> list[int]:
    live = [] if rollout.live is None else [rollout.live]
    canary = [] if rollout.canary is None else [rollout.canary.version]
    return [*live, *canary, *rollout.shadow]


def change(
    live: str | None, canary: str | None, shadow: Sequence[str] | None, force: str | None
) -> Change | None:
    """Return the change that options ask for, None for none; a wrong one is a wrong use."""
    if live is None and canary is None and not shadow and force is None:
        return None
    return Change(
        live=Stays.STAYS if live is None else _live(live),
        canary=Stays.STAYS if canary is None else _canary(canary),
        shadow=Stays.STAYS if not shadow else _shadows(shadow),
        force=force,
    )


def _live(text: str) -> int | None:
    return None if text == _NONE else _number(text, "--live")


def _canary(text: str) -> tuple[int, float] | None:
    if text == _NONE:
        return None
    version, _, percent = text.partition(":")
    try:
        share = float(percent.removesuffix("%"))  # of nothing: a ValueError too
    except ValueError:
        raise typer.BadParameter(
            f"--canary is a version and its percent, as 4:10, or none; not {text!r}"
        ) from None
    return _number(version, "--canary"), share


def _shadows(texts: Sequence[str]) -> list[int]:
    if _NONE in texts:
        if len(texts) > 1:
            raise typer.BadParameter("--shadow none stands alone")
        return []
    return [_number(text, "--shadow") for text in texts]


def _number(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31):
        raise typer.BadParameter(f"{option} names a version by its number, or none; not {text!r}")
    return int(text)


@contextmanager
def changing(client: Client, screen: Screen, tenant: str, adapter: str) -> Iterator[None]:
    """Show what holds now where somebody was faster, before the error is told."""
    try:
        yield
    except Changed:
        current = client.rollout(tenant, adapter)
        if not screen.json:
            show_rollout(screen, current)
        raise


def emptying(model: str) -> str:
    """Return the advice to take every version of an adapter out of its rollout."""
    return (
        f"`tenantry adapters rollout {model}` shows which versions are in use; with"
        " `--live none --canary none --shadow none` it takes them out"
    )


def show_rollout(screen: Screen, rollout: Rollout, before: Rollout | None = None) -> None:
    """Show which versions answer, and what did before."""
    if screen.json:
        screen.document(rollout.document)
        return
    facts: dict[str, object] = {
        "live": rollout.live,
        "canary": _canary_text(rollout),
        "shadow": rollout.shadow,
        "revision": rollout.revision,
    }
    if rollout.forced is not None:
        facts["forced"] = rollout.forced
    if rollout.actor is not None and rollout.created_at is not None:
        facts["by"] = f"{rollout.actor}, {rollout.created_at[:19]}"
    if before is not None:
        facts["before"] = _in_words(before)
    screen.facts(facts)


def _canary_text(rollout: Rollout) -> str | None:
    if rollout.canary is None:
        return None
    return f"{rollout.canary.version} ({rollout.canary.percent:g} %)"


def _in_words(rollout: Rollout) -> str:
    parts = ["none live" if rollout.live is None else f"{rollout.live} live"]
    if rollout.canary is not None:
        parts.append(f"canary {_canary_text(rollout)}")
    if rollout.shadow:
        parts.append(f"shadow {', '.join(map(str, rollout.shadow))}")
    return ", ".join(parts)
