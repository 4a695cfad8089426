"""A log that is written and judged in turns, by the real judge."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from monitoring.assessment.judge import Judge
from monitoring.assessment.measurements import StateMeasurements
from monitoring.assessment.memo import Memo, read_memo
from monitoring.assessment.policy import Policy
from monitoring.assessment.reports import StateReports
from monitoring.ingest.fold import Fold
from monitoring.report import LogState, VersionReport
from monitoring.state.limits import Limits
from monitoring.state.state import MonitorState
from monitoring.state.view import Desk
from monitoring.triggers.tables import METADATA
from monitoring.watched import Watched
from tests.fakes.events import read_all
from tests.fakes.logs import DAY_S, WrittenLog, written_log

BUCKET_S = 600
POLICY = Policy(bucket_s=BUCKET_S, fine_buckets=24, label_window_s=86_400.0, labels_min=20)
LOG = LogState(
    lag_s=0.0,
    backlog_bytes=0,
    backlog_segments=0,
    events=0,
    damaged=0,
    missing=0,
    late=0,
    freshest_s=None,
)


@dataclass
class Judged:
    """What was written, and what is known of it."""

    folder: Path
    policy: Policy
    state: MonitorState
    fold: Fold
    desk: Desk
    log: WrittenLog
    reports: StateReports
    measurements: StateMeasurements
    read: int = 0
    woken: list[int] = field(default_factory=list)  # one for each trigger

    def take(self) -> None:
        """Fold what was written since."""
        self.log.flush()
        batches = read_all(self.folder / "events")
        for batch in batches[self.read :]:
            self.fold.take(batch)
        self.read = len(batches)

    def settle(self) -> None:
        """Fold what was written, and close every bucket."""
        self.take()
        self.fold.tick(self.state.watermark.us + 2 * BUCKET_S * 1_000_000)

    def memo(self, watched: Watched) -> Memo:
        """Return what the judge keeps of a version."""
        return read_memo(self.desk.memo(watched))

    def told(self, watched: Watched) -> VersionReport:
        """Return a version's report."""
        versions = self.reports.adapter(watched.tenant, watched.adapter).versions
        return next(
            one for one in versions if (one.version, one.role) == (watched.version, watched.role)
        )


@contextmanager
def judged(folder: Path, policy: Policy = POLICY) -> Iterator[Judged]:
    """Open a log and a state in a folder; again, over what is there."""
    woken: list[int] = []
    judge = Judge(policy, "no-receiver", lambda: woken.append(1))
    limits = Limits(bucket_s=policy.bucket_s, fine_buckets=policy.fine_buckets, pool_rows_min=60)
    state = MonitorState.open(folder / "monitor", limits, judge, others=(METADATA,))
    desk = Desk(state)
    reports = StateReports(
        desk,
        policy,
        version="1",
        log=lambda: LOG,
        triggers=lambda *_: (),
        problems=lambda: (),
        clock=lambda: DAY_S,
    )
    measurements = StateMeasurements(
        desk, policy, version="1", log=lambda: LOG, looked_s=lambda: DAY_S
    )
    try:
        with written_log(folder / "events") as log:
            yield Judged(
                folder,
                policy,
                state,
                Fold(state, judge),
                desk,
                log,
                reports,
                measurements,
                woken=woken,
            )
    finally:
        state.close()
