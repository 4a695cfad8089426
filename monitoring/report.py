"""The report: what the sidecar tells, as `/v1/report` and the page show it.

Every figure that is not known is null and says why in `unknown`; none is ever 0 for want of data.
Times are seconds since 1970. `rests_on` names the kind of state a figure comes from: additive
`sketches`, `ordered` detectors, the table of `labels`, or a `sample` of rows.
"""

from typing import Literal

from msgspec import Struct

from monitoring.backends.result import BackendResult
from monitoring.watched import Role

State = Literal["ok", "warning", "alarm", "unknown"]
ReferenceSource = Literal["holdout", "pooled", "none"]
Standing = Literal["live", "canary", "shadow", "retired", "quarantined"]


class Figure(Struct, frozen=True, kw_only=True):
    """A figure with its interval of 95 %, and how many rows or labels it rests on."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    count: int = 0
    unknown: str | None = None  # why there is no value: "too few labels: 12 of 50"


class ReferenceInfo(Struct, frozen=True, kw_only=True):
    """What windows are compared with."""

    source: ReferenceSource  # pooled: borrowed from all references on the same backbone
    rows: int
    made_s: float | None
    backbone: str | None
    note: str | None = None  # "too small for windows of more than 120 rows", say


class Window(Struct, frozen=True, kw_only=True):
    """Which rows: by count (`last-500`) or by time (`1h`, `1d`)."""

    name: str
    start_s: float | None
    end_s: float | None
    rows: int
    embedded: int  # of them, those with an embedding


class Drift(Struct, frozen=True, kw_only=True):
    """Method (a): is the window different, and by how much?"""

    statistic: float | None  # squared distance of means in feature space, unbiased; may be below 0
    tolerance: float | None  # in the same unit
    effect: Figure  # statistic over tolerance; beyond 1 is further than tolerated
    reweighted: Figure  # the same, with the window re-weighted to the reference's class mix
    content: Figure  # the same, with the reference re-weighted to the window's class mix
    pvalue: float | None
    pvalue_unknown: str | None  # why there is none: "reference too small", "too few rows"
    class_statistic: float | None  # largest Kolmogorov-Smirnov distance of a class's probability
    class_pvalue: float | None  # Bonferroni over the classes
    class_worst: str | None
    reading: str  # one plain sentence: "other content", "other class mix", "within tolerance" ...
    rests_on: str = "sketches"


class ClassShare(Struct, frozen=True, kw_only=True):
    """One class, in the reference and now."""

    label: str
    reference: float | None  # share of predictions
    now: float | None
    prior: Figure  # estimated share of the true class now; unknown where refused


class ClassMix(Struct, frozen=True, kw_only=True):
    """Method (c): predicted classes, and estimated priors."""

    statistic: float | None  # G
    pvalue: float | None
    condition: float | None  # of the confusion matrix
    refused: str | None  # why there are no priors
    classes: tuple[ClassShare, ...]
    rests_on: str = "sketches, sample"


class ReliabilityBin(Struct, frozen=True, kw_only=True):
    """One bin of the reliability diagram: of equal mass."""

    confidence: float
    accuracy: Figure


class Calibration(Struct, frozen=True, kw_only=True):
    """Method (d), and accuracy: figures of labels that came back."""

    error: Figure  # calibration error, root of the debiased square, at least 0
    error_square: float | None  # the debiased square, which may be below 0
    brier: Figure
    brier_reliability: float | None
    brier_resolution: float | None
    brier_uncertainty: float | None
    gap: Figure  # mean of confidence - right
    temperature: float | None  # that would repair it
    accuracy: Figure
    bins: tuple[ReliabilityBin, ...]
    labels: int  # that count, the last of each prediction
    audited: int  # of them, those of audit samples
    coverage: float | None  # labels over predictions, of the same time
    delay_s_median: float | None
    delay_s_p90: float | None
    weighted: bool  # by audit probability
    reference_error: float | None
    reference_accuracy: float | None
    rests_on: str = "labels"


class Accuracy(Struct, frozen=True, kw_only=True):
    """Method (e): accuracy estimated without labels, and helped by those that are there."""

    estimate: Figure
    helped: Figure  # with the labels (prediction-powered)
    reliable: bool  # False while drift is beyond tolerance
    rests_on: str = "sketches, labels"


class Bar(Struct, frozen=True, kw_only=True):
    """One bar of a histogram."""

    start: float
    end: float
    reference: float | None  # share
    now: float | None


class Quality(Struct, frozen=True, kw_only=True):
    """Method (f): one thing about inputs, in the reference and now."""

    name: str  # "truncated", "unknown_tokens", "duplicates", "side_p50", ...
    unit: Literal["ratio", "tokens", "bytes", "characters", "pixels", "number"]
    reference: float | None
    now: float | None
    count: int  # rows or tokens it rests on
    pvalue: float | None = None


class WindowReport(Struct, frozen=True, kw_only=True):
    """Everything that is told of one window."""

    window: Window
    drift: Drift
    base_drift: Drift | None  # the same of the bare backbone's embeddings: the inputs alone
    mix: ClassMix
    accuracy: Accuracy
    confidence: tuple[Bar, ...]
    inputs: tuple[Quality, ...]


class Watch(Struct, frozen=True, kw_only=True):
    """Method (b): the continuous watch."""

    evidence_log10: float | None
    threshold_log10: float | None  # where it alarms: the run length that the budget gives
    run_length: float | None  # events
    rows: int  # that it has seen since it began
    unknown: str | None
    rests_on: str = "ordered"


class Alarm(Struct, frozen=True, kw_only=True):
    """An alarm, from when to when."""

    kind: Literal["drift", "calibration", "accuracy", "fleet"]
    began_s: float
    ended_s: float | None
    reason: str
    evidence: float | None  # log10


class Sample(Struct, frozen=True, kw_only=True):
    """A recent row, by how far it is from the reference."""

    prediction_id: str
    time_s: float
    label: str
    confidence: float
    distance: float
    text: str | None


class Point(Struct, frozen=True, kw_only=True):
    """A dot of the 2-D projection."""

    x: float
    y: float
    label: str
    prediction_id: str | None  # None: of the reference


class HistoryPoint(Struct, frozen=True, kw_only=True):
    """The primary window as it stood at a time."""

    time_s: float
    rows: int
    effect: float | None
    lower: float | None
    upper: float | None
    evidence_log10: float | None
    pvalue: float | None
    class_statistic: float | None
    accuracy: float | None
    calibration_error: float | None
    alarm: bool


class Mark(Struct, frozen=True, kw_only=True):
    """A rollout on the time axis."""

    time_s: float
    revision: int
    live: int | None
    canary: int | None
    canary_percent: float | None
    shadow: tuple[int, ...]
    actor: str
    forced: str | None  # why it was forced, or why the service made it by itself
    rolled_back: int | None = None  # the version that the service took out by itself


class GroupReport(Struct, frozen=True, kw_only=True):
    """The label figures of one subgroup."""

    group: str  # `_other`: those beyond the limit
    predictions: int
    calibration: Calibration


class VersionReport(Struct, frozen=True, kw_only=True):
    """Everything that is told of one version in one role."""

    tenant: str
    adapter: str
    version: int
    role: Role
    standing: Standing
    digest: str
    state: State
    why: str  # one sentence that tells someone on call what the state rests on
    last_s: float | None  # time of the last prediction
    predictions: int  # in all, as far as they were logged
    sampled: float | None  # share of the predictions that the tenant lets be logged
    reference: ReferenceInfo
    primary: str  # name of the window that metrics and history tell of
    windows: tuple[WindowReport, ...]
    watch: Watch
    backends: tuple[BackendResult, ...] = ()  # of alibi-detect, where they were selected
    calibration: Calibration
    groups: tuple[GroupReport, ...]
    alarms: tuple[Alarm, ...]  # latest first
    history: tuple[HistoryPoint, ...]  # oldest first
    projection: tuple[Point, ...]
    samples: tuple[Sample, ...]  # most drifted first


class AdapterReport(Struct, frozen=True, kw_only=True):
    """`/v1/report/{tenant}/{adapter}`: its versions, those that answer first, and its rollouts."""

    tenant: str
    adapter: str
    versions: tuple[VersionReport, ...]
    rollouts: tuple[Mark, ...]  # oldest first
    triggers: tuple["TriggerReport", ...]  # latest first


class TriggerReport(Struct, frozen=True, kw_only=True):
    """A retrain trigger and what became of it."""

    id: str
    tenant: str
    adapter: str
    version: int
    reason: Literal["drift", "calibration", "accuracy"]
    raised_s: float
    delivered: Literal["waiting", "delivered", "failed", "dry-run", "no-receiver"]
    attempts: int
    detail: str


class AdapterLine(Struct, frozen=True, kw_only=True):
    """One line of the fleet table: the version that answers, or that answered last."""

    tenant: str
    adapter: str
    version: int
    role: Role
    standing: Standing
    state: State
    why: str
    effect: Figure
    evidence_log10: float | None
    calibration_error: Figure
    accuracy: Figure  # of labels
    estimated: Figure
    labels: int
    predictions: int
    last_s: float | None
    reference: ReferenceSource


class FleetState(Struct, frozen=True, kw_only=True):
    """Method (g): did everyone move?"""

    alarm: bool
    evidence_log10: float | None
    moved: int  # versions whose drift alarm is on
    watched: int
    budget_per_week: float
    reading: str


class LogState(Struct, frozen=True, kw_only=True):
    """How far the sidecar has read."""

    lag_s: float
    backlog_bytes: int
    backlog_segments: int
    events: int  # read in all
    damaged: int
    missing: int
    late: int
    freshest_s: float | None  # time of the newest event


class FleetReport(Struct, frozen=True, kw_only=True):
    """`/v1/report` and `/v1/report/{tenant}`: all adapters that the caller may see, worst first."""

    version: str
    made_s: float
    log: LogState
    fleet: FleetState | None  # for the operator alone
    adapters: tuple[AdapterLine, ...]
    triggers: tuple[TriggerReport, ...]  # latest first
    problems: tuple[str, ...]  # of the sidecar itself: what it could not do, and what to do next
