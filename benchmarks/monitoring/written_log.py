"""An event log of many tenants, through the real writer, at times of its own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.event_log import Uncounted
from benchmarks.monitoring.data import Population
from monitoring.rows import IntArray
from service.events.log import EventLog, LogLimits
from service.events.ports import Clock
from service.events.predictions import PredictionBlock
from service.events.records import Reference
from service.events.text_figures import TextFigures

BEGIN_S = 4_102_444_800.0  # the start of 2100, UTC: the clock alone closes none of its buckets

_WAIT_S = 120.0
_LIMITS = LogLimits(
    waiting_max=1 << 20, waiting_bytes_max=1 << 40, flush_s=3600.0, segment_s=1e9, janitor_s=1e9
)


@dataclass(slots=True)
class WrittenLog:
    """A log that is written second by second; each second is a frame, as the service flushes."""

    log: EventLog
    population: Population
    now_s: float = BEGIN_S
    written: int = 0

    @staticmethod
    def open(folder: Path, population: Population) -> "WrittenLog":
        """Begin a log."""
        found: list[WrittenLog] = []
        clock = Clock(wall_s=lambda: found[0].now_s if found else BEGIN_S)
        log = EventLog.open(folder, _LIMITS, redact=str, metrics=Uncounted(), clock=clock)
        found.append(WrittenLog(log, population))
        return found[0]

    def references(self, tenants: int, size: int, draw: np.random.Generator) -> None:
        """Write a reference of each tenant's version, drawn from the population."""
        for tenant in range(tenants):
            rows = self.population.taken(draw.choice(len(self.population), size, replace=False))
            event = Reference(
                tenant=f"tenant-{tenant:04d}",
                adapter="intent",
                version=1,
                digest=f"sha256:{tenant:064x}",
                backbone="sha256:" + "b" * 64,
                precision="fp32",
                provider="cpu",
                time_s=self.now_s,
                labels=rows.labels,
                class_index=rows.class_index,
                label_index=rows.label_index,
                probabilities=rows.probabilities.astype(np.float32),
                embeddings=rows.embeddings.astype(np.float32),
                base_embeddings=None,
                tokens=[12] * size,
                unknown=[0] * size,
                truncated=[False] * size,
            )
            self.log.append([event]).result(_WAIT_S)

    def second(self, tenants: IntArray, rows: IntArray) -> None:
        """Write one second: row i of the population is asked for by tenant i; then flush."""
        chosen = self.population.taken(rows)
        probabilities = chosen.probabilities.astype(np.float32)
        embeddings = chosen.embeddings.astype(np.float32)
        for place, tenant in enumerate(tenants.tolist()):
            self.log.predictions(
                PredictionBlock(
                    tenant=f"tenant-{tenant:04d}",
                    adapter="intent",
                    version=1,
                    digest=f"sha256:{tenant:064x}",
                    backbone="sha256:" + "b" * 64,
                    precision="fp32",
                    provider="cpu",
                    role="live",
                    revision=1,
                    time_s=self.now_s + place / len(tenants),
                    ids=[f"{self.written:048x}"],
                    request_id=f"{self.written:032x}",
                    trace_id=None,
                    class_index=chosen.class_index[place : place + 1],
                    probabilities=probabilities[place : place + 1],
                    embeddings=embeddings[place : place + 1],
                    base_embeddings=None,
                    tokens=[12],
                    unknown=[0],
                    truncated=[False],
                    queue_s=0.001,
                    compute_s=0.004,
                    group=None,
                    audit=[False],
                    audit_probability=0.0,
                    texts=None,
                    labels=chosen.labels,
                    figures=TextFigures([60], [61], [0], [self.written + 1]),
                )
            )
            self.written += 1
        self.now_s += 1.0
        assert self.log.flush(_WAIT_S), "the log was written"

    def close(self) -> None:
        """Seal the log."""
        self.log.close()


def in_turn(count: int, tenants: int, draw: np.random.Generator) -> IntArray:
    """Return whose rows come in a second: `count` tenants drawn, each as often as any other."""
    times = -(-count // tenants)
    found: IntArray = draw.permutation(np.tile(np.arange(tenants), times))[:count]
    return found
