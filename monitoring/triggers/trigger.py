"""A retrain trigger: what was decided, and the evidence that it rests on.

These are the `data` of the event that a receiver gets; `docs/concepts/retrain-triggers.md` tells
what the fields mean, and beside it lies their JSON schema. No texts: predictions are named by id.
"""

import hashlib
import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Reason = Literal["drift", "calibration", "accuracy"]
Statistic = Literal["drift_effect_ratio", "calibration_error_ratio", "accuracy_drop_ratio"]

PREDICTION_IDS_MAX = 20  # in one trigger

Time = Annotated[datetime, Meta(tz=True)]  # UTC

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(Struct, frozen=True, kw_only=True):
    """The rows or labels that a figure rests on."""

    name: str  # of the window, as in the report
    start: Time
    end: Time  # of the newest row or label in it
    rows: int


class LabelCount(Struct, frozen=True, kw_only=True):
    """How many labels a figure rests on."""

    count: int
    audited: int  # of them, those of audit samples
    coverage: float | None  # labels over predictions, of the same time


class Compared(Struct, frozen=True, kw_only=True):
    """The reference that the version is compared with."""

    source: Literal["holdout", "pooled", "none"]
    rows: int
    accuracy: float | None


class Evidence(Struct, frozen=True, kw_only=True):
    """Why a trigger was raised: a statistic whose interval of 95 % is beyond what is tolerated."""

    statistic: Statistic
    value: float | None
    lower: float | None
    upper: float | None
    tolerance: float  # in the unit of the statistic
    since: Time | None  # since when drift has been beyond its tolerance
    alarm_since: Time | None  # since when the continuous watch has been in alarm
    alarm_evidence_log10: float | None  # of the watch
    window: Span
    labels: LabelCount | None  # None where no labels are part of it
    reference: Compared
    prediction_ids: tuple[str, ...]  # some of the rows that it rests on


class Trigger(Struct, frozen=True, kw_only=True):
    """A version should be trained anew, and why."""

    tenant: str
    adapter: str
    version: int
    digest: str  # of the version
    reason: Reason
    raised: Time  # when, by the time of the events
    summary: str  # one sentence for people
    evidence: Evidence


def time_of(time_us: int) -> datetime:
    """Return a time of the log, in microseconds since 1970, as people and JSON write it."""
    return _EPOCH + timedelta(microseconds=time_us)


def microseconds_of(time: datetime) -> int:
    """Return what `time_of` was given."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def key_of(trigger: Trigger, cooldown_us: int) -> str:
    """Return the idempotency key: the same for the same version, reason and period.

    Periods have the length of the cooldown and begin at its multiples since 1970. A cooldown lies
    between two triggers of an adapter and reason, so a period never has two of them; and a
    sidecar that lost its state, and finds the same drift a little later, mostly gives the key that
    receivers know.
    """
    raised_us = microseconds_of(trigger.raised)
    period_us = raised_us - raised_us % cooldown_us if cooldown_us else raised_us
    named = [trigger.tenant, trigger.adapter, trigger.version, trigger.reason, period_us]
    return f"retrain_{hashlib.sha256(msgspec.json.encode(named)).hexdigest()[:32]}"


def known(figure: float) -> float | None:
    """Return a figure, None where it is not defined."""
    return None if math.isnan(figure) else figure
