"""Where everything comes from that this package shows: two sources, and what metrics need.

Documents of `monitoring/report.py` are for people and carry too much to be made at each scrape.
`Measured` is the small cut of them that `/metrics` tells, with the totals that no report has.
"""

from collections.abc import Mapping
from typing import Literal, Protocol, get_args

from msgspec import Struct

from monitoring.report import (
    AdapterReport,
    Figure,
    FleetReport,
    FleetState,
    LogState,
    ReferenceInfo,
    Standing,
)
from monitoring.watched import Role

# `replaced`: a replacement character (U+FFFD) in it, which a broken decoding leaves behind;
# `undecodable`: an image that could not be decoded, and has no prediction.
BadInput = Literal["empty", "truncated", "replaced", "undecodable"]
BAD_INPUTS: tuple[BadInput, ...] = ("empty", "truncated", "replaced", "undecodable")
TriggerReason = Literal["drift", "calibration", "accuracy"]
TRIGGER_REASONS: tuple[TriggerReason, ...] = ("drift", "calibration", "accuracy")
RolloutRole = Literal["live", "canary", "shadow"]
Cause = Literal["operator", "automatic"]  # of a rollout: somebody asked for it, or nobody did
RollbackReason = Literal["accuracy", "failures", "latency", "quarantine"]
ROLLBACK_REASONS: tuple[RollbackReason, ...] = get_args(RollbackReason)


class Reports(Protocol):
    """Makes the documents; called from several threads."""

    def fleet(self, tenant: str | None = None) -> FleetReport:
        """Return all adapters, worst first, or a tenant's; without lines where there are none."""
        ...

    def adapter(self, tenant: str, adapter: str) -> AdapterReport:
        """Return one adapter's report; raise `UnknownWatched`."""
        ...


class Measurements(Protocol):
    """Makes what `/metrics` tells; called from several threads, at each scrape."""

    def measured(self) -> "Measured":
        """Return the figures of this moment."""
        ...


class VersionFigures(Struct, frozen=True, kw_only=True):
    """The figures of one version in one role; of the primary window, and of all its labels.

    What is not known is None and has no series. Totals never fall while the version is watched.
    """

    tenant: str
    adapter: str
    version: int
    role: Role
    standing: Standing
    digest: str
    first_s: float  # time of the first prediction that was read
    last_s: float | None  # of the last one
    reference: ReferenceInfo

    drift_statistic: float | None
    drift_effect: float | None  # statistic over tolerance
    drift_pvalue: float | None
    drift_evidence_log10: float | None
    drift_alarm: bool | None
    calibration_error: Figure
    brier: Figure
    accuracy: Figure  # of labels
    estimated: Figure  # without labels, or helped by them
    label_coverage: float | None
    label_delay_s: float | None  # median
    class_shares: Mapping[str, float]  # by name; smaller classes together under `_other`
    confidence: Mapping[str, float]  # by quantile, "0.5" say
    tokens: Mapping[str, float]  # of texts, by quantile
    accuracy_objective: float | None  # below it is harm
    out_of_service: bool  # quarantined, while the rollout names it
    triggered_s: Mapping[TriggerReason, float]  # when each was raised last

    drift_alarms: int  # totals from here on
    predictions: int
    labels: int
    bad_inputs: Mapping[BadInput, int]  # rows
    triggers: Mapping[TriggerReason, int]


class RolledBack(Struct, frozen=True, kw_only=True):
    """A version that the service took out of the rollout by itself."""

    version: int
    reason: RollbackReason
    time_s: float


class Rollout(Struct, frozen=True, kw_only=True):
    """What the log's rollouts and quarantines say of an adapter."""

    tenant: str
    adapter: str
    first_s: float  # time of the first one that was read
    # Of the requests that name no version, by who answers them; 0 for a shadow.
    shares: Mapping[tuple[int, RolloutRole], float]
    rolled_s: Mapping[Cause, float]  # when it was changed last
    rolled_back: tuple[RolledBack, ...]  # the last one of each version and reason
    out_of_service: tuple[int, ...]  # versions that are quarantined while the rollout names them


class Measured(Struct, frozen=True, kw_only=True):
    """What one scrape tells."""

    version: str  # of this program
    looked_s: float  # when the log was last read, if only to find nothing, by this clock
    log: LogState
    fleet: FleetState | None
    fleet_alarms: int  # in all
    calibration_objective: float  # calibration error beyond which is harm
    watched: tuple[VersionFigures, ...]
    rollouts: tuple[Rollout, ...]  # one of each adapter that has had any
