"""What a detector of alibi-detect found, as the report shows it."""

from msgspec import Struct


class BackendResult(Struct, frozen=True, kw_only=True):
    """One test of one window; every figure is null where `unknown` says why there is none."""

    name: str  # of the detector: "alibi-detect MMDDrift"
    statistic: float | None
    pvalue: float | None  # never 0: the permutations count the window itself; None: online
    threshold: float | None  # of the statistic, or of the p-value for KSDrift and ClassifierDrift
    is_drift: bool | None
    rows: int  # of the window that were tested
    unknown: str | None = None
    seconds: float = 0.0  # that it took: the only figure that differs between two replays
