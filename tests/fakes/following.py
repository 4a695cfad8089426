"""A process that folds a log into a state until it has caught up, or is killed.

python -m tests.fakes.following EVENTS STATE CHECKPOINT_FRAMES

It says `frame` behind each frame, and `done` behind its last checkpoint. `contents_of` is
everything that a state's database holds.
"""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitoring.ingest.fold import Fold
from monitoring.ingest.follower import Follower, Pace
from monitoring.state.database import FILE
from monitoring.state.limits import Limits
from monitoring.state.state import MonitorState
from monitoring.watched import Watched
from service.events.reader import LogBatch
from tests.fakes.judging import FakeJudge

# Small enough that everything is at its bounds, and little stays in memory.
LIMITS = Limits(
    fine_buckets=6,
    hours_kept=4,
    days_kept=2,
    versions_max=10,
    groups_max=2,
    sample_rows=5,
    sample_hours=3,
    labels_kept=60,
    shadows_kept=80,
    reference_rows_max=80,
    pool_rows=150,
    pool_rows_min=100,
    marks_max=3,
    loaded_bytes=1 << 18,
    changed_bytes=1 << 20,
)


def keeps(watched: Watched) -> int:
    """Return how many rows are kept as they are: of one tenant."""
    return 20 if watched.tenant == "globex" else 0


def follow(
    events: Path,
    folder: Path,
    *,
    frames: int = 1 << 30,
    limits: Limits = LIMITS,
    judge: FakeJudge | None = None,
    tell: Callable[[], object] = int,
) -> None:
    """Fold what is in the log, with a checkpoint every so many frames."""
    judging = judge or FakeJudge()
    state = MonitorState.open(folder, limits, judging)
    try:
        pace = Pace(checkpoint_s=1e9, checkpoint_frames=frames)
        follower = Follower(events, state, _Telling(state, judging, tell), pace)
        follower.catch_up()
        follower.stop()
    finally:
        state.close()


def contents_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of a state, sorted."""
    with sqlite3.connect(folder / FILE) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
        ]
        contents = {
            name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
            for name in names
        }
    connection.close()
    return contents


class _Telling(Fold):
    def __init__(self, state: MonitorState, judge: FakeJudge, tell: Callable[[], object]) -> None:
        super().__init__(state, judge, keeps)
        self._tell = tell

    def take(self, batch: LogBatch) -> None:
        super().take(batch)
        self._tell()


def say(what: str) -> None:
    """Write a line that is read at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    follow(Path(sys.argv[1]), Path(sys.argv[2]), frames=int(sys.argv[3]), tell=lambda: say("frame"))
    say("done")
