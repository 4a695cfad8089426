"""A judge that is quick, and whose every conclusion is a whole number: for tests of the fold.

A reference becomes a feature map and the mean of its rows; a watch adds up how far rows are from
that mean, and alarms beyond its threshold. Each closed bucket leaves a point in the history.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring import codec
from monitoring.references.rows import ReferenceRows
from monitoring.report import Alarm, HistoryPoint
from monitoring.rows import FloatArray, HalfArray, IntArray
from monitoring.sketches.features import FeatureMap
from monitoring.state.ports import Origin
from monitoring.state.view import Desk
from monitoring.watched import Watched

SEED = 7
_ALARMS = 5


@dataclass(slots=True)
class FakeWatch:
    """Rows that came and went by, and how far they were from the reference."""

    rows: int
    total: npt.NDArray[np.int64]  # [1024]
    evidence: int


@dataclass(frozen=True, slots=True)
class FakeBaseline:
    """What is kept of a reference."""

    rows: int
    hidden: int
    based: int
    mean: npt.NDArray[np.int64]  # [1024], fixed point
    source: str


@dataclass(frozen=True, slots=True)
class FakeMeasure:
    """A reference in use."""

    baseline: FakeBaseline
    map: FeatureMap | None
    base_map: FeatureMap | None

    def watch(self) -> FakeWatch | None:
        return None if self.map is None else FakeWatch(0, np.zeros(1024, np.int64), 0)

    def update(self, watch: Any, embeddings: HalfArray, run_lengths: FloatArray) -> list[int]:
        assert self.map is not None
        features = self.map.fixed(embeddings)
        alarms = []
        far = np.abs(features.astype(np.int64) - self.baseline.mean).sum(axis=1).tolist()
        watch.rows += len(features)
        watch.total += features.sum(axis=0, dtype=np.int64)
        for row, distance in enumerate(far):
            watch.evidence = max(0, watch.evidence + distance - 3_000_000)
            if watch.evidence > run_lengths[row]:
                watch.evidence = 0
                alarms.append(row)
        return alarms


@dataclass
class FakeJudge:
    """Concludes little, and writes down what it was told, in the state and in `told`."""

    key: str = "fake-1"
    refuses: str | None = None  # why nothing can be made of references
    told: list[tuple[Any, ...]] = field(default_factory=list)

    def reference(self, rows: ReferenceRows, origin: Origin) -> bytes:
        self.told.append(("reference", origin, len(rows)))
        if self.refuses is not None:
            raise ValueError(self.refuses)
        hidden = 0 if rows.embeddings is None else rows.embeddings.shape[1]
        based = 0 if rows.base_embeddings is None else rows.base_embeddings.shape[1]
        mean = np.zeros(1024, np.int64)
        if rows.embeddings is not None:
            mean = _map(hidden).fixed(rows.embeddings).sum(axis=0, dtype=np.int64) // len(rows)
        return codec.encode(FakeBaseline(len(rows), hidden, based, mean, origin.source))

    def measure(self, data: bytes) -> FakeMeasure:
        baseline = codec.decode(data, FakeBaseline)
        return FakeMeasure(
            baseline,
            _map(baseline.hidden) if baseline.hidden else None,
            _map(baseline.based) if baseline.based else None,
        )

    def watch_to_bytes(self, watch: Any) -> bytes:
        return codec.encode(watch)

    def watch_from_bytes(self, data: bytes) -> FakeWatch:
        return codec.decode(data, FakeWatch)

    def run_lengths(
        self, desk: Desk, time_us: IntArray, latest_us: int | None
    ) -> tuple[FloatArray, int | None]:
        """Return lengths that depend on the row before, and on the state."""
        before = np.concatenate([[latest_us or 0], time_us[:-1]])
        lengths = 2e7 + (time_us - before) % 1000 + desk.watermark_us % 1000
        return lengths, int(time_us[-1]) if len(time_us) else latest_us

    def forget(self, desk: Desk, tenant: str) -> None:
        self.told.append(("forget", tenant, len(desk.watched(tenant))))

    def alarmed(self, desk: Desk, watched: Watched, time_us: int, prediction_id: str) -> None:
        self.told.append(("alarmed", watched, time_us, prediction_id))
        alarm = Alarm(
            kind="drift", began_s=time_us / 1e6, ended_s=None, reason=prediction_id, evidence=None
        )
        desk.set_alarms(watched, (alarm, *desk.alarms(watched)[: _ALARMS - 1]))

    def closed(self, desk: Desk, watched: Watched, end_us: int) -> None:
        self.told.append(("closed", watched, end_us))
        window = desk.window_rows(watched, 50, end_us)
        day = desk.window_time(watched, 86_400.0, end_us)
        labelled = desk.labelled(watched, end_us - 7 * 86_400_000_000, 100)
        rows = 0 if window is None else window.sketch.predictions
        known = window is not None and window.sketch.main_sum is not None
        desk.add_history(
            watched,
            HistoryPoint(
                time_s=end_us / 1e6,
                rows=rows,
                effect=float(window.sketch.main_sum[0]) if known else None,  # type: ignore[union-attr,index]
                lower=None if day is None else float(day.sketch.predictions),
                upper=None,
                evidence_log10=None,
                pvalue=None,
                class_statistic=None,
                accuracy=float(labelled.right.mean()) if len(labelled) else None,
                calibration_error=None,
                alarm=bool(desk.alarms(watched)),
            ),
        )
        seen = int.from_bytes(desk.note("closed") or b"", "big") + 1
        desk.set_note("closed", seen.to_bytes(8, "big"))
        desk.set_memo(watched, f"{end_us} {rows}".encode())
        desk.set_run_length(watched, 2e7 + rows)


def _map(hidden: int) -> FeatureMap:
    return FeatureMap.of(hidden, (0.1, 0.2, 0.4), SEED)
