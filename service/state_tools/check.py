"""Whether a state directory is whole: registry, stored files, signing keys, event log."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from service.engine.errors import Problem
from service.events.folder import SegmentFile, is_alive, segments, writers
from service.events.keys import KEY_FILE, InvalidKeyFile, KeyRing
from service.events.schema import UnknownSchema
from service.events.segments import SegmentReader
from service.registry import versions
from service.registry.database import Database
from service.registry.inspection import problems_of_state
from service.state_tools.backup import Progress
from service.state_tools.contents import EVENTS

_STORED = "store: "  # before the digest of what is stored
_NAMED_MAX = 5  # versions of the same content


def problems(state: Path, progress: Progress) -> Iterator[Problem]:
    """Yield everything that is wrong with a state directory, whether a service uses it or not.

    Nothing is changed. Raises `InvalidSettings` where there is no registry.
    """
    found = problems_of_state(
        state, lambda done, total: progress("adapters and files", done, total)
    )
    names: dict[str, list[str]] | None = None
    for problem in found:
        digest = problem.where.removeprefix(_STORED)
        if digest == problem.where:
            yield problem
            continue
        if names is None:
            names = _names(state)
        of = names.get(digest, [])
        more = f" and {len(of) - _NAMED_MAX:,} more" if len(of) > _NAMED_MAX else ""
        told = f": {', '.join(of[:_NAMED_MAX])}{more}" if of else ""
        yield Problem(f"{problem.where}{told}", problem.what)
    yield from _key_problems(state)
    yield from _log_problems(state / EVENTS, progress)


def _names(state: Path) -> dict[str, list[str]]:
    """Return which versions each stored adapter is, as people call them."""
    names: dict[str, list[str]] = {}
    with closing(Database(state)) as database, database.read() as connection:
        for row in versions.routed_rows(connection):
            if row.deleted_at is None:
                told = f"{row.tenant}.{row.adapter} version {row.number}"
                names.setdefault(row.digest, []).append(told)
    return names


def _key_problems(state: Path) -> Iterator[Problem]:
    if not (state / KEY_FILE).exists():
        yield Problem(
            KEY_FILE,
            "it is missing: restore it from a backup, or the next start makes a new one and labels"
            " of all earlier predictions are refused",
        )
        return
    try:
        KeyRing.open(state)
    except (InvalidKeyFile, OSError) as error:
        yield Problem(KEY_FILE, str(error))


def _log_problems(log: Path, progress: Progress) -> Iterator[Problem]:
    found = [segment for writer in writers(log) for segment in segments(log, writer)]
    total = sum(_size(segment) for segment in found)
    done = 0
    for segment in found:
        done += _size(segment)
        final = segment.sealed or not is_alive(log, segment.writer)
        flaw = _segment_flaw(segment, final=final)
        if flaw is not None:
            yield Problem(f"{EVENTS}/{segment.writer}/{segment.path.name}", flaw)
        progress("event log", done, total)


def _size(segment: SegmentFile) -> int:
    return segment.path.stat().st_size if segment.path.exists() else 0


def _segment_flaw(segment: SegmentFile, *, final: bool) -> str | None:
    """Return what is wrong with a segment; None for one that was retired meanwhile."""
    damaged: list[int] = []
    try:
        reader = SegmentReader(segment.path, on_damage=lambda: damaged.append(reader.offset))
    except FileNotFoundError:
        return None
    try:
        while (header := reader.peek(final=final)) is not None:
            if reader.load(header, final=final) is None and not final:
                break  # it is being written
    except UnknownSchema as error:
        return str(error)
    finally:
        reader.close()
    if not damaged:
        return None
    return f"damaged in {len(damaged)} places, the first at byte {damaged[0]}"
