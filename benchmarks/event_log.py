"""The event log: what it adds to a request's processor time, and what one event costs.

python -m benchmarks.event_log [--quick]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.adapters import random_adapters
from benchmarks.bundles import QUERY_VALUE, exported
from benchmarks.engine import chosen_provider
from benchmarks.http_work import make_work
from benchmarks.over_http import measure
from benchmarks.report import Bar, Report, Rows, arguments
from benchmarks.rounds import show
from benchmarks.servers import Server, free_port
from benchmarks.tenancy import publish_all
from benchmarks.wrk import load, write_requests
from service.events.log import EventLog, LogLimits
from service.events.ports import DropReason, EventKind
from service.events.predictions import PredictionBlock
from service.events.reader import LogReader
from service.events.text_figures import TextFigures

TENANTS = 32
RANK = 8
CONNECTIONS = 16
HIDDEN, CLASSES = 384, 77
_FLUSHED_S = 2.5  # after which the log has written what a load left behind
_T_95 = {4: 2.776, 15: 2.131, 24: 2.064}  # of Student, by degrees of freedom: pairs less one

_NOTES = (
    (
        "Processor time is of the whole process, threads of the runtime and of the log included,"
        " up to the moment when all events are on the disk."
    ),
    "A server gets no processor time (SIGSTOP) while the other one is measured.",
)


class MeasuredServer(Server):
    """A server whose processor time is asked for."""

    @property
    def processor_s(self) -> float:
        """Return the processor seconds that it has used, all threads together."""
        return self._processor_s()


@dataclass(frozen=True, slots=True)
class Added:
    """What the log adds, as a share of the processor time without it."""

    mean: float
    low: float  # of the 95 % interval over the pairs
    high: float
    pairs: int

    @classmethod
    def of(cls, with_log: Sequence[float], without: Sequence[float]) -> "Added":
        """Return it for paired processor times a request."""
        shares = np.asarray(with_log) / np.asarray(without) - 1.0
        spread = shares.std(ddof=1) / np.sqrt(len(shares)) * _T_95[len(shares) - 1]
        mean = float(shares.mean())
        return cls(mean, mean - spread, mean + spread, len(shares))

    def __str__(self) -> str:
        return f"{self.mean:.2%} ({self.low:.2%} to {self.high:.2%})"


def start(bundle: Path, state: Path, provider: str, *, logs: bool) -> MeasuredServer:
    """Start a service that logs, or does not."""
    port = free_port()
    program = Path(sys.executable).parent / "tenantry"
    words = [str(program), "serve", "--bundle", str(bundle), "--state", str(state)]
    words += ["--port", str(port), "--provider", provider]
    environment = {"TENANTRY_EVENT_LOG": str(logs).lower()}
    return MeasuredServer(words, port, "/readyz", environment)


def processor_s_a_request(server: MeasuredServer, requests: Path, seconds: float) -> float:
    """Return the processor seconds of one request, those of the log's thread included."""
    server.resume()
    try:
        before = server.processor_s
        seen = load(server.url, requests, CONNECTIONS, seconds)
        time.sleep(_FLUSHED_S)
        return (server.processor_s - before) / seen.requests
    finally:
        server.pause()


def measure_service(
    options: argparse.Namespace, words: list[str], stack: ExitStack
) -> tuple[dict[str, list[float]], str]:
    """Return the processor times a request of a service that logs and one that does not."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    adapters = random_adapters(bundle.manifest, TENANTS, RANK)
    named = [(f"tenant-{n:02d}", "intent", adapter) for n, adapter in enumerate(adapters)]
    servers: dict[str, MeasuredServer] = {}
    requests = folder / "requests"
    for name, logs in (("with", True), ("without", False)):
        server = stack.enter_context(start(bundle.path, folder / name, provider, logs=logs))
        placed = publish_all(server.url, named, bundle.manifest)
        write_requests(requests, make_work(words, bundle, placed).singles)
        server.pause()
        servers[name] = server
    pairs, seconds = (5, 1.0) if options.quick else (25, 4.0)
    found: dict[str, list[float]] = {name: [] for name in servers}
    for name, server in servers.items():
        show(f"warming {name}")
        processor_s_a_request(server, requests, seconds)
    for pair in range(pairs):
        for name in list(servers) if pair % 2 == 0 else reversed(servers):
            found[name].append(processor_s_a_request(servers[name], requests, seconds))
        show(f"event log: pair {pair + 1} of {pairs}", last=pair + 1 == pairs)
    return found, provider


class Uncounted:
    """Takes the log's counts and does nothing with them."""

    def events_written(self, kind: EventKind, count: int) -> None: ...

    def events_dropped(self, reason: DropReason, count: int) -> None:
        raise AssertionError(f"{count} events dropped for want of {reason}")

    def log_state(self, *, failing: bool, size_bytes: int) -> None: ...

    def log_wrote(self, seconds: float) -> None: ...

    def unread_deleted(self, segments: int) -> None: ...


def blocks_of(count: int) -> list[PredictionBlock]:
    """Return prediction blocks of one text each."""
    draw = np.random.default_rng(1)
    embeddings = draw.standard_normal((count, HIDDEN)).astype(np.float32)
    probabilities = draw.dirichlet(np.ones(CLASSES), count).astype(np.float32)
    tops = probabilities.argmax(axis=1)
    labels = tuple(f"label {number}" for number in range(CLASSES))
    return [
        PredictionBlock(
            tenant=f"tenant-{row % TENANTS:02d}",
            adapter="intent",
            version=1,
            digest=f"sha256:{row % TENANTS:064x}",
            backbone="sha256:" + "b" * 64,
            precision="fp32",
            provider="cpu",
            role="live",
            revision=1,
            time_s=1_743_413_400.0 + row,
            ids=[f"{row:048x}"],
            request_id=f"{row:032x}",
            trace_id=None,
            class_index=tops[row : row + 1],
            probabilities=probabilities[row : row + 1],
            embeddings=embeddings[row : row + 1],
            base_embeddings=None,
            tokens=[20],
            unknown=[0],
            truncated=[False],
            queue_s=0.001,
            compute_s=0.004,
            group=None,
            audit=[False],
            audit_probability=0.0,
            texts=None,
            labels=labels,
            figures=TextFigures([60], [61], [0], [row + 1]),
        )
        for row in range(count)
    ]


@dataclass(frozen=True, slots=True)
class EventCosts:
    """Processor microseconds of one event, and its size."""

    taken_us: float  # on the caller's thread
    written_us: float  # all in
    read_us: float
    bytes: float


def measure_events(count: int, folder: Path) -> EventCosts:
    """Return what prediction events cost that come one a request."""
    blocks = blocks_of(count)
    limits = LogLimits(waiting_max=2 * count, waiting_bytes_max=1 << 40)
    log = EventLog.open(folder, limits, redact=str, metrics=Uncounted())
    log.predictions(blocks[0])  # makes the writer's files
    assert log.flush(30.0)
    begun, own = time.process_time(), time.thread_time()
    for block in blocks:
        log.predictions(block)
    taken = time.thread_time() - own
    assert log.flush(60.0)
    written = time.process_time() - begun
    log.close()
    size = sum(path.stat().st_size for path in folder.rglob("*.log"))
    with LogReader(folder, "benchmark") as reader:
        begun = time.process_time()
        rows = sum(batch.records.num_rows for batch in reader.batches())
        read = time.process_time() - begun
    assert rows == count + 1
    per = 1e6 / count
    return EventCosts(taken * per, written * per, read * per, size / count)


def _request_rows(found: dict[str, list[float]], added: Added) -> Rows:
    rows = [(f"{name} log", f"{1e3 * np.median(times):.3f}") for name, times in found.items()]
    rows.append((f"added, mean and 95 % interval of {added.pairs} pairs", str(added)))
    return Rows("processor time a request", ("milliseconds", "median"), rows)


def _event_rows(costs: EventCosts) -> Rows:
    rows = [
        ("taken from the caller, us", f"{costs.taken_us:.1f}"),
        ("written, all in, us", f"{costs.written_us:.1f}"),
        ("read, us", f"{costs.read_us:.1f}"),
        ("on the disk, bytes", f"{costs.bytes:,.0f}"),
    ]
    title = f"one prediction event: {HIDDEN} numbers of an embedding, {CLASSES} classes"
    return Rows(title, ("", "found"), rows)


def run(options: argparse.Namespace, words: list[str], stack: ExitStack) -> Report:
    """Measure everything and return the report."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
    tries = [measure_events(20_000, folder / str(number)) for number in range(5)]
    costs = sorted(tries, key=lambda seen: seen.written_us)[len(tries) // 2]
    found, provider = measure_service(options, words, stack)
    added = Added.of(found["with"], found["without"])
    report = Report(
        "event_log",
        "What does logging every prediction with its embedding add to a request?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA of rank 8 on query and value, 77 labels",
            "texts": f"BANKING77, one a request, {TENANTS} tenants",
            "load": f"wrk, one thread, {CONNECTIONS} connections, closed loop",
            "provider": provider,
        },
    )
    report.bars = [
        Bar(
            "processor time a request, added by the log, upper end",
            100 * added.high,
            3.0,
            at_least=False,
            unit="%",
        ),
        Bar("processor time of an event", costs.written_us, 25.0, at_least=False, unit="us"),
    ]
    report.tables = [_request_rows(found, added), _event_rows(costs)]
    report.notes = list(_NOTES)
    report.measured = {"processor_s_a_request": found}
    return report


def main() -> None:
    """Run the benchmark."""
    measure(arguments("What the event log costs.").parse_args(), run)


if __name__ == "__main__":
    main()
