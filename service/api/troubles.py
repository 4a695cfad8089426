"""What goes wrong now, in words and colours, for the service's own page."""

from collections.abc import Collection, Iterator, Mapping

from service.api.estate import NAMED_MAX, Estate
from service.api.html import code
from service.api.lately import Level, Minute, level_of

WORDS: dict[Level, str] = {"good": "serving", "warn": "in trouble", "bad": "failing"}


def state_of(minute: Minute, late: Mapping[str, int], mute: int) -> tuple[Level, str]:
    """Return how the last minute went for everybody, and the words for it.

    `mute` versions that a rollout sends requests to cannot answer any.
    """
    slow = sum(late.values())
    level = level_of(minute.answered, slow, minute.failed)
    shares = ((minute.failed, "failed"), (slow, "answered late"))
    told = [f"{count / minute.requests:.1%} {what}" for count, what in shares if count]
    if mute:
        told.append(f"{counted_as(mute, 'version')} cannot answer")
    if level == "good" and (mute or _worst(minute, late)):
        level = "warn"
    more = f": {', '.join(told)}" if told and level != "good" else ""
    return level, f"{WORDS[level]}{more}"


def _worst(minute: Minute, late: Mapping[str, int]) -> list[str]:
    """Return those tenants for whom the last minute was bad, the ones with most failures first."""
    bad = [
        (-tally.failed, name)
        for name, tally in minute.by_tenant.items()
        if level_of(tally.answered, late[name], tally.failed) == "bad"
    ]
    return [name for _, name in sorted(bad)]


def suffering(minute: Minute, late: Mapping[str, int]) -> Iterator[str]:
    """Name the tenants that are answered badly: of many, not all are in the table."""
    worst = _worst(minute, late)
    if not worst:
        return
    yield '<div class="note bad" role="status">'
    yield f"<p><strong>{counted_as(len(worst), 'tenant')} answered badly</strong> in the last"
    yield "minute:</p>\n<ul>"
    for name in worst[:NAMED_MAX]:
        tally = minute.by_tenant[name]
        whole = tally.answered + tally.failed
        told = f"{tally.failed:,} of {whole:,} failed, {late[name]:,} late"
        yield f"<li>{code(name)}: {told}</li>"
    yield "</ul>"
    yield f"{more_of(len(worst), NAMED_MAX)}</div>"


def troubles(estate: Estate) -> Iterator[str]:
    """Name the versions that answer nobody, whatever a rollout says."""
    yield from _named(
        estate.quarantined,
        estate.quarantined_count,
        "out of service",
        "an answer held inf or NaN. Roll back, and upload a sound version.",
    )
    yield from _named(
        estate.unreadable,
        estate.unreadable_count,
        "unreadable",
        "the stored files are damaged or gone. Roll back, or upload the same content again.",
    )


def _named(names: Collection[str], count: int, what: str, why: str) -> Iterator[str]:
    if not count:
        return
    yield '<div class="note bad" role="status">'
    yield f"<p><strong>{count:,} {what}</strong>: {why}</p>\n<ul>"
    for name in names:
        yield f"<li>{code(name)}</li>"
    yield "</ul>"
    yield f"{more_of(count, len(names))}</div>"


def more_of(count: int, shown: int) -> str:
    """Say how many of a list are not shown."""
    return f"<p>and {count - shown:,} more</p>" if count > shown else ""


def colour_of(level: Level) -> str:
    """Return how a figure is marked that is of a level; one that is well is not."""
    return "" if level == "good" else level


def counted_as(count: int, what: str) -> str:
    """Return a number and what it counts."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"
