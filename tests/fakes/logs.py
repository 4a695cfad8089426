"""Logs made to order: events with chosen arrays at chosen times, through the real writer.

    with written_log(folder) as log:
        log.reference(embeddings, probabilities, truth=truth, time_s=DAY_S)
        ids = log.predictions(embeddings, probabilities, time_s=DAY_S + 60.0, every_s=0.5)
        log.label(ids[0], 2, time_s=DAY_S + 3600.0)

The clock of the log follows the events, so that days pass in no time.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.events.log import EventLog, LogLimits
from service.events.ports import Clock
from service.events.predictions import PredictionBlock, Role
from service.events.records import Failure, Label, Quarantine, Reference, RolloutEvent
from tests.fakes.events import QUIET, CountedLogMetrics

DAY_S = 1_743_379_200.0  # the start of 31 March 2025, UTC
HIDDEN = 16
CLASSES = ("refund", "delivery", "other")
BACKBONE = "sha256:" + "b" * 64
_PREDICTED = 4096  # rows that wait for the writer at once
_WAIT_S = 60.0

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Version:
    """What predictions and references are of."""

    tenant: str = "acme"
    adapter: str = "support"
    version: int = 1
    labels: tuple[str, ...] = CLASSES
    digest: str | None = None  # None: one that follows from the names
    backbone: str = BACKBONE

    def names(self, classes: int) -> tuple[str, ...]:
        """Return the names of the classes: `labels`, or numbers where those are too few."""
        if classes <= len(self.labels):
            return self.labels[:classes]
        return tuple(f"class {number}" for number in range(classes))

    @property
    def named(self) -> str:
        """Return the digest."""
        given = self.digest
        return given or f"sha256:{self.tenant}.{self.adapter}.{self.version}"


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a label needs to know of its prediction."""

    version: Version
    role: str
    class_index: int
    confidence: float
    time_s: float
    audit: bool
    audit_probability: float
    group: str | None


ACME = Version()


class WrittenLog:
    """An event log that is written by hand; `by_id` knows every prediction that a caller got."""

    def __init__(self, log: EventLog, clock: "FollowingClock", *, seed: int = 0) -> None:
        self.log = log
        self.clock = clock
        self.by_id: dict[str, Predicted] = {}
        self._rng = np.random.default_rng(seed)
        self._numbers = count()
        self._revisions = count(1)
        self._waiting = 0

    def predictions(
        self,
        embeddings: Array | None,
        probabilities: Array,
        *,
        time_s: float,
        every_s: float = 0.0,
        version: Version = ACME,
        role: str = "live",
        ids: Sequence[str] | None = None,
        base: Array | None = None,
        base_rows: Sequence[int] | None = None,
        group: str | None = None,
        audit: Sequence[bool] | None = None,
        audit_probability: float = 0.0,
        **others: Any,
    ) -> list[str]:
        """Log rows, the first at `time_s`, each `every_s` after the one before; return their ids.

        With `every_s` each row is a request of its own. `base` are embeddings of the bare
        backbone, of `base_rows` or of all rows. `others` are fields of `PredictionBlock`.
        """
        n = len(probabilities)
        tops = np.argmax(probabilities, axis=1)
        names = (
            [f"{version.tenant}-{next(self._numbers)}" for _ in range(n)] if ids is None else ids
        )
        block = PredictionBlock(
            **{
                "tenant": version.tenant,
                "adapter": version.adapter,
                "version": version.version,
                "digest": version.named,
                "backbone": version.backbone,
                "precision": "fp32",
                "provider": "cpu",
                "role": role,
                "revision": 1,
                "time_s": time_s,
                "ids": list(names),
                "request_id": f"request-{names[0] if n else ''}",
                "trace_id": None,
                "class_index": tops,
                "probabilities": np.asarray(probabilities, np.float32),
                "embeddings": _single(embeddings),
                "base_embeddings": _single(base),
                "tokens": self._rng.integers(3, 40, n).tolist(),
                "unknown": [0] * n,
                "truncated": [False] * n,
                "queue_s": 0.001,
                "compute_s": 0.004,
                "group": group,
                "audit": [False] * n if audit is None else list(audit),
                "audit_probability": audit_probability,
                "texts": None,
                "labels": version.names(probabilities.shape[1]),
                "base_rows": base_rows,
                **others,
            }
        )
        for row, name in enumerate(names if role not in ("shadow", "paired") else ()):
            self.by_id[name] = Predicted(
                version,
                role,
                int(tops[row]),
                float(block.probabilities[row, tops[row]]),
                time_s + row * every_s,
                block.audit[row],
                audit_probability,
                group,
            )
        for part in [block] if every_s == 0.0 else _singles(block, every_s):
            self._predict(part)
        return list(names)

    def label(self, prediction_id: str, truth: int, *, time_s: float, **others: Any) -> None:
        """Log the label of a prediction that this log has made."""
        self.labels([(prediction_id, truth)], time_s=time_s, **others)

    def labels(
        self,
        truths: Sequence[tuple[str, int]],
        *,
        time_s: float,
        every_s: float = 0.0,
        **others: Any,
    ) -> None:
        """Log labels in one write, the first at `time_s`."""
        events = []
        for number, (prediction_id, truth) in enumerate(truths):
            known = self.by_id[prediction_id]
            fields_: dict[str, Any] = {
                "tenant": known.version.tenant,
                "adapter": known.version.adapter,
                "version": known.version.version,
                "digest": known.version.named,
                "prediction_id": prediction_id,
                "predicted_s": int(known.time_s),
                "class_index": known.class_index,
                "confidence": round(known.confidence * 0xFFFF) / 0xFFFF,  # as an id keeps it
                "live": known.role == "live",
                "canary": known.role == "canary",
                "audit": known.audit,
                "audit_probability": known.audit_probability,
                "label_index": truth,
                "label": known.version.names(max(truth + 1, len(known.version.labels)))[truth],
                "group": known.group,
                "actor": "0123456789abcdef",
                "time_s": time_s + number * every_s,
            }
            events.append(Label(**{**fields_, **others}))
        self.append(events)

    def reference(
        self,
        embeddings: Array | None,
        probabilities: Array,
        *,
        time_s: float,
        truth: Sequence[int] | Array | None = None,
        version: Version = ACME,
        base: Array | None = None,
        **others: Any,
    ) -> None:
        """Log what a version answered to its hold-out; without `truth` it was right always."""
        tops = np.argmax(probabilities, axis=1)
        n = len(tops)
        self.append(
            [
                Reference(
                    **{
                        "tenant": version.tenant,
                        "adapter": version.adapter,
                        "version": version.version,
                        "digest": version.named,
                        "backbone": version.backbone,
                        "precision": "fp32",
                        "provider": "cpu",
                        "time_s": time_s,
                        "labels": version.names(probabilities.shape[1]),
                        "class_index": tops,
                        "label_index": tops if truth is None else np.asarray(truth),
                        "probabilities": np.asarray(probabilities, np.float32),
                        "embeddings": _single(embeddings),
                        "base_embeddings": _single(base),
                        "tokens": self._rng.integers(3, 40, n).tolist(),
                        "unknown": [0] * n,
                        "truncated": [False] * n,
                        "actor": "admin",
                        **others,
                    }
                )
            ]
        )

    def rollout(
        self,
        after: Mapping[str, Any],
        *,
        time_s: float,
        before: Mapping[str, Any] | None = None,
        version: Version = ACME,
        actor: str = "admin",
        reason: str | None = None,
        revision: int | None = None,
    ) -> None:
        """Log a change of an adapter's rollout document."""
        number = next(self._revisions) if revision is None else revision
        named = (version.tenant, version.adapter)
        self.append([RolloutEvent(*named, number, before, after, actor, time_s, reason)])

    def quarantine(self, *, time_s: float, version: Version = ACME) -> None:
        """Log that a version is out of service."""
        named = (version.tenant, version.adapter, version.version, version.named)
        self.append([Quarantine(*named, "non-finite output", time_s)])

    def failures(
        self, count: int, *, time_s: float, version: Version = ACME, role: Role = "live"
    ) -> None:
        """Log how many requests ended in a 503."""
        named = (version.tenant, version.adapter, version.version, version.named)
        self.append([Failure(*named, version.backbone, role, "queue-full", count, time_s)])

    def append(self, events: Sequence[Any]) -> None:
        """Log durable events behind the predictions that wait."""
        self.flush()
        for event in events:
            self.clock.follow(event.time_s)
        self.log.append(events).result(_WAIT_S)

    def flush(self) -> None:
        """Write the predictions that wait: they begin a new frame afterwards."""
        self._waiting = 0
        assert self.log.flush(_WAIT_S), "the log takes what it is given"

    def _predict(self, block: PredictionBlock) -> None:
        if self._waiting + len(block) > _PREDICTED:
            self.flush()
        self._waiting += len(block)
        self.clock.follow(block.time_s + 0.001)
        self.log.predictions(block)


class FollowingClock:
    """A wall clock that shows the latest time that it was told of."""

    def __init__(self) -> None:
        self.wall_s = 0.0

    def follow(self, time_s: float) -> None:
        """Show a time, unless a later one was shown."""
        self.wall_s = max(self.wall_s, time_s)

    def clock(self) -> Clock:
        """Return it as the log takes it."""
        return Clock(wall_s=lambda: self.wall_s)


@contextmanager
def written_log(
    folder: Path, limits: LogLimits = QUIET, *, seed: int = 0, start_s: float = DAY_S
) -> Iterator[WrittenLog]:
    """Open a writer of its own on a log's folder; its segments are sealed at the end."""
    clock = FollowingClock()
    clock.follow(start_s)
    log = EventLog.open(
        folder,
        replace(limits, waiting_max=16 * _PREDICTED),
        redact=str,
        metrics=CountedLogMetrics(),
        clock=clock.clock(),
    )
    written = WrittenLog(log, clock, seed=seed)
    try:
        yield written
        written.flush()
    finally:
        log.close()


def embeddings_of(
    n: int, *, seed: int = 0, hidden: int = HIDDEN, mean: float = 0.0, spread: float = 0.5
) -> Array:
    """Return rows around a direction, which `mean` (radians) turns; [n, hidden] float32, norm 1."""
    rng = np.random.default_rng(seed)
    centre = np.zeros(hidden)
    centre[0], centre[1] = np.cos(mean), np.sin(mean)
    rows = centre + spread / np.sqrt(hidden) * rng.normal(size=(n, hidden))
    unit: Array = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def probabilities_of(n: int, classes: int = len(CLASSES), *, seed: int = 0) -> Array:
    """Return rows of a Dirichlet distribution, [n, classes] float32."""
    rng = np.random.default_rng(seed)
    drawn: Array = rng.dirichlet(np.full(classes, 0.5), n).astype(np.float32)
    return drawn


def _single(rows: Array | None) -> Array | None:
    return None if rows is None else np.asarray(rows, np.float32)


_ROWWISE = frozenset(
    field.name
    for field in fields(PredictionBlock)
    if field.name
    in {
        *("ids", "class_index", "probabilities", "embeddings", "tokens", "unknown", "truncated"),
        *("audit", "texts", "characters", "text_bytes", "replaced", "fingerprint"),
    }
)


def _singles(block: PredictionBlock, every_s: float) -> Iterator[PredictionBlock]:
    """Yield the rows of a block as blocks of their own."""
    based = range(len(block)) if block.base_rows is None else list(block.base_rows)
    places = {row: place for place, row in enumerate(based)}
    for row in range(len(block)):
        part: dict[str, Any] = {"time_s": block.time_s + row * every_s}
        for name in _ROWWISE:
            values = getattr(block, name)
            part[name] = None if values is None else values[row : row + 1]
        part |= {"base_embeddings": None, "base_rows": None}
        part["images"] = None if block.images is None else block.images.rows([row])
        if block.base_embeddings is not None and row in places:
            part["base_embeddings"] = block.base_embeddings[places[row]][None]
        yield replace(block, **part)
