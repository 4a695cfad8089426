"""What the judge keeps of a version: its figures as the newest closed bucket left them.

Fleet table and metrics are made of memos, so that a scrape assesses no window.
"""

from msgspec import Struct, field

from monitoring import codec
from monitoring.backends.result import BackendResult
from monitoring.report import Figure, State
from monitoring.triggers.trigger import Reason
from monitoring.web.reports import BadInput


class Memo(Struct, kw_only=True):
    """Figures of the primary window and of labels, and since when what holds."""

    time_us: int = 0  # end of the bucket that closed last
    state: State = "unknown"
    why: str = "no time bucket has ended yet"
    rows: int = 0  # of the primary window
    statistic: float | None = None
    effect: Figure = Figure(unknown="no time bucket has ended yet")
    pvalue: float | None = None
    class_statistic: float | None = None
    evidence_log10: float | None = None
    calibration_error: Figure = Figure(unknown="no label came yet")
    brier: Figure = Figure(unknown="no label came yet")
    accuracy: Figure = Figure(unknown="no label came yet")
    estimated: Figure = Figure(unknown="no time bucket has ended yet")
    audited: int = 0  # labels of audit samples among them
    label_coverage: float | None = None
    covered: float = 0.0  # predictions that have a label, when the label figures were computed
    label_delay_s: float | None = None
    labels_seen: int = -1  # labels in all when the label figures were computed,
    labels_us: int = 0  # and when
    reported: float | None = None  # evidence against the bucket's rows, for the fleet
    beyond_since_us: int | None = None  # since when the effect's whole interval is beyond 1
    alarmed_us: int = 0  # when the watch alarmed last
    drift_alarms: int = 0  # in all
    backends: tuple[BackendResult, ...] = ()
    bad_inputs: dict[BadInput, int] = field(default_factory=dict)  # in all
    raised: dict[Reason, int] = field(default_factory=dict)  # triggers in all
    raised_us: dict[Reason, int] = field(default_factory=dict)  # and when last
    class_counts: tuple[
        tuple[int, int], ...
    ] = ()  # of the window's largest classes, and their rows
    confidence: dict[str, float] = field(default_factory=dict)  # of the window, by quantile
    tokens: dict[str, float] = field(default_factory=dict)  # of its texts, by quantile
    reference_accuracy: float | None = None  # None: the reference has no labels


def read_memo(data: bytes | None) -> Memo:
    """Return what `codec.encode` wrote; the memo of a version that is new for nothing."""
    return Memo() if data is None else codec.decode(data, Memo)
