"""Labels, rollouts, quarantines and undecodable images of one frame."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from monitoring.ingest.columns import Columns
from monitoring.watched import ROLES, Watched

_LABEL = (
    *("time", "tenant", "adapter", "version", "role", "digest", "prediction_id", "predicted_at"),
    *("class_index", "confidence", "label_index", "label", "group", "audit", "audit_probability"),
)
_TIMES = frozenset({"time", "predicted_at"})


@dataclass(frozen=True, slots=True)
class LabelSeen:
    """A label that came back, and what the prediction's id says."""

    watched: Watched
    digest: str
    prediction_id: str
    came_us: int
    predicted_us: int
    class_index: int
    confidence: float
    label_index: int
    label: str | None
    group: str | None
    audit: bool
    audit_probability: float


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """A change of an adapter's rollout document."""

    tenant: str
    adapter: str
    time_us: int
    revision: int
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class QuarantineSeen:
    """A version that is out of service."""

    tenant: str
    adapter: str
    time_us: int
    version: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class UndecodableSeen:
    """Images that a version was to answer and that could not be decoded."""

    watched: Watched
    digest: str
    time_us: int
    count: int


def labels_of(columns: Columns, malformed: Counter[str]) -> list[LabelSeen]:
    """Return a frame's labels in its order; what cannot be used is counted and left out."""
    seen = []
    for row in _rows(columns, _LABEL):
        label = _label(**row)
        if label is None:
            malformed["label"] += 1
        else:
            seen.append(label)
    return seen


def _label(
    *,
    time: int,
    tenant: str,
    adapter: str,
    version: int | None,
    role: Any,
    digest: str | None,
    prediction_id: str | None,
    predicted_at: int | None,
    class_index: int | None,
    confidence: float | None,
    label_index: int | None,
    label: str | None,
    group: str | None,
    audit: bool | None,
    audit_probability: float | None,
) -> LabelSeen | None:
    if version is None or not prediction_id or predicted_at is None or role not in ROLES:
        return None
    if class_index is None or class_index < 0 or label_index is None or label_index < 0:
        return None
    if confidence is None or not 0.0 <= confidence <= 1.0:
        return None
    drawn = 0.0 if audit_probability is None else audit_probability
    if time <= 0 or not 0.0 <= drawn <= 1.0:
        return None
    return LabelSeen(
        watched=Watched(tenant, adapter, version, role),
        digest=digest or "",
        prediction_id=prediction_id,
        came_us=time,
        predicted_us=predicted_at,
        class_index=class_index,
        confidence=confidence,
        label_index=label_index,
        label=label,
        group=group,
        audit=bool(audit),
        audit_probability=drawn,
    )


def rollouts_of(columns: Columns, malformed: Counter[str]) -> list[RolloutSeen]:
    """Return a frame's rollouts in its order; what cannot be used is counted and left out."""
    names = ("time", "tenant", "adapter", "revision", "before", "after", "actor", "reason")
    seen = []
    for row in _rows(columns, names):
        after, before = _document(row["after"]), _document(row["before"])
        if after is None or row["revision"] is None or (row["before"] and before is None):
            malformed["rollout"] += 1
            continue
        seen.append(
            RolloutSeen(
                row["tenant"],
                row["adapter"],
                row["time"],
                row["revision"],
                before,
                after,
                row["actor"] or "",
                row["reason"],
            )
        )
    return seen


def quarantines_of(columns: Columns, malformed: Counter[str]) -> list[QuarantineSeen]:
    """Return a frame's quarantines in its order; what cannot be used is counted and left out."""
    names = ("time", "tenant", "adapter", "version", "digest", "reason")
    seen = []
    for row in _rows(columns, names):
        if row["version"] is None or not row["digest"]:
            malformed["quarantine"] += 1
            continue
        seen.append(
            QuarantineSeen(
                row["tenant"],
                row["adapter"],
                row["time"],
                row["version"],
                row["digest"],
                row["reason"] or "",
            )
        )
    return seen


def undecodable_of(columns: Columns, malformed: Counter[str]) -> list[UndecodableSeen]:
    """Return a frame's counts of undecodable images; what cannot be used is left out, counted."""
    names = ("time", "tenant", "adapter", "version", "role", "digest", "count")
    seen = []
    for row in _rows(columns, names):
        count = row["count"]
        if row["version"] is None or row["role"] not in ROLES or count is None or count < 1:
            malformed["undecodable"] += 1
            continue
        watched = Watched(row["tenant"], row["adapter"], row["version"], row["role"])
        seen.append(UndecodableSeen(watched, row["digest"] or "", row["time"], count))
    return seen


def _rows(columns: Columns, names: tuple[str, ...]) -> list[dict[str, Any]]:
    lists: list[list[Any]] = []
    for name in names:
        column = columns.column(name)
        if column is None:
            lists.append([None] * len(columns))
        else:
            lists.append((column.view("int64") if name in _TIMES else column).to_pylist())
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def _document(text: str | None) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
