"""What following the event log costs, in a log of predictions with and without a trial."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.report import Rows
from service.events.log import EventLog, LogLimits
from service.events.predictions import PredictionBlock, Role
from service.events.reader import LogBatch, LogReader
from service.events.records import Label
from service.metrics import Metrics
from service.trials.folding import fold
from service.trials.trial import Arms, Trial

_LIMITS = LogLimits(waiting_max=1 << 20, waiting_bytes_max=1 << 40)
_LABELS = ("refund", "delivery", "invoice", "other")
_HIDDEN = 384
_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Events:
    """Seconds of CPU for a thousand events."""

    events: int
    read_s: float  # frames read, and nothing made of them
    others_s: float  # of adapters that have no canary
    mine_s: float  # all of them of an adapter with one

    def table(self) -> Rows:
        """Return the figures as a table."""
        lines = [
            ("frames read", f"{1e3 * self.read_s:.2f}"),
            ("read and folded, none of an adapter with a canary", f"{1e3 * self.others_s:.2f}"),
            ("read and folded, all of one adapter with a canary", f"{1e3 * self.mine_s:.2f}"),
        ]
        columns = ("", "ms of CPU for 1,000 events")
        return Rows(f"what the controller's thread costs, {self.events:,} events", columns, lines)

    def measured(self) -> dict[str, float]:
        """Return the figures for the record."""
        return {"read_s": self.read_s, "others_s": self.others_s, "mine_s": self.mine_s}


def fold_events(folder: Path, events: int) -> Events:
    """Write a log of one adapter with a canary at a tenth, every tenth row labelled; fold it."""
    written = _written(folder, events)
    read = _timed(folder, lambda _: None)
    others = {("globex", "support"): [_trial("globex")]}
    mine = {("acme", "support"): [_trial("acme")]}
    return Events(
        written,
        read / written * 1e3,
        _timed(folder, lambda batch: fold(batch, others)) / written * 1e3,
        _timed(folder, lambda batch: fold(batch, mine)) / written * 1e3,
    )


def _trial(tenant: str) -> Trial:
    return Trial(Arms(tenant, "support", 2, 1, 1, 0.0), alpha=0.01, objective_s=0.5)


def _timed(folder: Path, take: Callable[[LogBatch], object]) -> float:
    begun = time.process_time()
    with LogReader(folder, "bench") as reader:
        for batch in reader.batches():
            take(batch)
    return time.process_time() - begun


def _written(folder: Path, events: int) -> int:
    draw = np.random.default_rng(1)
    written = 0
    log = EventLog.open(folder, _LIMITS, redact=str, metrics=Metrics(CollectorRegistry()))
    try:
        for number in range(events):
            if written >= events:
                break
            canary = draw.random() < 0.1
            ids = [f"{number:048d}"]
            log.predictions(_block(ids, 2 if canary else 1, "canary" if canary else "live", draw))
            paired = canary or draw.random() < 0.1
            if paired:
                log.predictions(_block(ids, 1 if canary else 2, "paired", draw))
            if number % 10 == 0:
                log.append([_label(ids[0], canary=canary)])
            written += 1 + paired + (number % 10 == 0)
            if number % 1_000 == 0:
                log.flush(_WAIT_S)
        log.flush(_WAIT_S)
    finally:
        log.close()
    return written


def _block(
    ids: Sequence[str], version: int, role: Role, draw: np.random.Generator
) -> PredictionBlock:
    probabilities = draw.dirichlet(np.ones(len(_LABELS)), len(ids)).astype(np.float32)
    return PredictionBlock(
        tenant="acme",
        adapter="support",
        version=version,
        digest=f"sha256:{version:064d}",
        backbone="sha256:" + "b" * 64,
        precision="fp32",
        provider="cpu",
        role=role,
        revision=1,
        time_s=time.time(),
        ids=list(ids),
        request_id=ids[0],
        trace_id=None,
        class_index=probabilities.argmax(axis=1),
        probabilities=probabilities,
        embeddings=draw.standard_normal((len(ids), _HIDDEN)).astype(np.float32),
        base_embeddings=None,
        tokens=[12] * len(ids),
        unknown=[0] * len(ids),
        truncated=[False] * len(ids),
        queue_s=0.001,
        compute_s=0.004,
        group=None,
        audit=[False] * len(ids),
        audit_probability=0.0,
        texts=None,
        labels=_LABELS,
    )


def _label(name: str, *, canary: bool) -> Label:
    return Label(
        tenant="acme",
        adapter="support",
        version=2 if canary else 1,
        digest="sha256:" + "d" * 64,
        prediction_id=name,
        predicted_s=int(time.time()),
        class_index=0,
        confidence=0.9,
        live=not canary,
        canary=canary,
        audit=False,
        audit_probability=0.0,
        label_index=int(name) % 2,
        label=_LABELS[int(name) % 2],
        group=None,
        actor="0123456789abcdef",
        time_s=time.time(),
    )
