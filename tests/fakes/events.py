"""Events, clocks, disks and counters for tests of the event log."""

import errno
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.events.disk import LocalDisk
from service.events.log import EventLog, LogLimits
from service.events.ports import Clock, DropReason, EventKind, Redactor, TracedWrites
from service.events.predictions import PredictionBlock
from service.events.reader import LogBatch, LogReader
from service.events.records import Label, Quarantine, Reference, RolloutEvent

HIDDEN = 8
CLASSES = ("refund", "delivery", "other")
# Nothing is flushed, sealed or retired by time: tests say when.
QUIET = LogLimits(flush_s=3600.0, segment_s=1e9, kept_s=1e9, janitor_s=3600.0)


class CountedLogMetrics:
    """Counts what the log reports; called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.written: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.unread = 0
        self.writes: list[float] = []  # seconds of each
        self.states: list[bool] = []
        self.size_bytes = 0
        self.gate = threading.Event()  # shut, it holds up the log's thread behind a write
        self.gate.set()

    def events_written(self, kind: EventKind, count: int) -> None:
        assert self.gate.wait(20.0)
        with self._lock:
            self.written[kind] += count

    def events_dropped(self, reason: DropReason, count: int) -> None:
        with self._lock:
            self.dropped[reason] += count

    def log_state(self, *, failing: bool, size_bytes: int) -> None:
        with self._lock:
            if not self.states or self.states[-1] != failing:
                self.states.append(failing)
            self.size_bytes = size_bytes

    def log_wrote(self, seconds: float) -> None:
        with self._lock:
            self.writes.append(seconds)

    def unread_deleted(self, segments: int) -> None:
        with self._lock:
            self.unread += segments


class SetClock:
    """Two clocks that are set by hand."""

    def __init__(self, wall_s: float = 1_743_413_400.0) -> None:
        self.wall_s = wall_s
        self.monotonic_s = 1000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_s, lambda: self.monotonic_s)

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


class FailingDisk(LocalDisk):
    """A disk that takes so many bytes and no more, or fails in one kind of call."""

    def __init__(self) -> None:
        self.room: int | None = None  # bytes; None: enough
        self.piece: int | None = None  # the longest write
        self.failing: set[str] = set()
        self.calls: Counter[str] = Counter()

    def write(self, handle: int, data: Any, offset: int) -> int:
        self._call("write")
        view = memoryview(data)
        if self.piece is not None:
            view = view[: self.piece]
        if self.room is not None:
            view = view[: self.room]
            self.room -= len(view)
            if not view:
                raise _full()
        return super().write(handle, view, offset)

    def sync(self, handle: int) -> None:
        self._call("sync")
        super().sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._call("truncate")
        super().truncate(handle, size)

    def create(self, path: Path) -> int:
        self._call("create")
        return super().create(path)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        super().rename(old, new)

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder")
        super().sync_folder(path)

    def _call(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.failing:
            raise _full()


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def open_log(
    folder: Path,
    limits: LogLimits = QUIET,
    *,
    metrics: CountedLogMetrics | None = None,
    redact: Redactor = str,
    clock: Clock | None = None,
    disk: FailingDisk | None = None,
    on_traced: TracedWrites | None = None,
) -> Iterator[EventLog]:
    log = EventLog.open(
        folder,
        limits,
        redact=redact,
        metrics=metrics or CountedLogMetrics(),
        clock=clock or Clock(),
        disk=disk,
        on_traced=on_traced,
    )
    try:
        yield log
    finally:
        log.close()


def block_of(
    tenant: str = "acme", count: int = 1, *, first: int = 0, **others: Any
) -> PredictionBlock:
    """Return a block whose figures follow from `first`, so that rows can be told apart."""
    draw = np.random.default_rng(first)
    fields: dict[str, Any] = {
        "tenant": tenant,
        "adapter": "support",
        "version": 3,
        "digest": "sha256:" + "d" * 64,
        "backbone": "sha256:" + "b" * 64,
        "precision": "fp32",
        "provider": "cpu",
        "role": "live",
        "revision": 2,
        "time_s": 1_743_413_400.25,
        "ids": [f"{tenant}-{first + row}" for row in range(count)],
        "request_id": f"request-{first}",
        "trace_id": None,
        "class_index": draw.integers(0, len(CLASSES), count),
        "probabilities": draw.dirichlet(np.ones(len(CLASSES)), count).astype(np.float32),
        "embeddings": draw.normal(size=(count, HIDDEN)).astype(np.float32),
        "base_embeddings": None,
        "tokens": [5 + row for row in range(count)],
        "unknown": [0] * count,
        "truncated": [False] * count,
        "queue_s": 0.001,
        "compute_s": 0.004,
        "group": None,
        "audit": [False] * count,
        "audit_probability": 0.0,
        "texts": None,
        "labels": CLASSES,
    }
    return PredictionBlock(**{**fields, **others})


def label_of(number: int = 0, tenant: str = "acme", **others: Any) -> Label:
    fields: dict[str, Any] = {
        "tenant": tenant,
        "adapter": "support",
        "version": 3,
        "digest": "sha256:" + "d" * 64,
        "prediction_id": f"label-{number}",
        "predicted_s": 1_743_000_000,
        "class_index": 1,
        "confidence": 0.75,
        "live": True,
        "canary": False,
        "audit": False,
        "audit_probability": 0.0,
        "label_index": 0,
        "label": "refund",
        "group": None,
        "actor": "0123456789abcdef",
        "time_s": 1_743_413_400.5,
    }
    return Label(**{**fields, **others})


def reference_of(count: int, tenant: str = "acme") -> Reference:
    block = block_of(tenant, count)
    return Reference(
        tenant=tenant,
        adapter=block.adapter,
        version=block.version,
        digest=block.digest,
        backbone=block.backbone,
        precision=block.precision,
        provider=block.provider,
        time_s=block.time_s,
        labels=CLASSES,
        class_index=block.class_index,
        label_index=block.class_index,
        probabilities=block.probabilities,
        embeddings=block.embeddings,
        base_embeddings=None,
        tokens=block.tokens,
        unknown=block.unknown,
        truncated=block.truncated,
        actor="admin",
    )


def rollout_of(revision: int = 1, tenant: str = "acme") -> RolloutEvent:
    return RolloutEvent(tenant, "support", revision, None, {"live": 3}, "admin", 1_743_413_400.0)


def quarantine_of(tenant: str = "acme") -> Quarantine:
    return Quarantine(
        tenant, "support", 3, "sha256:" + "d" * 64, "non-finite output", 1_743_413_400.0
    )


def read_all(folder: Path, name: str = "test") -> list[LogBatch]:
    """Return all batches that a new reader gets."""
    reader = LogReader(folder, name)
    try:
        return list(reader.batches())
    finally:
        reader.close()


def rows_of(batches: list[LogBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.records.to_pylist()]


def ids_of(batches: list[LogBatch]) -> list[str]:
    return [str(row["prediction_id"]) for row in rows_of(batches)]
