"""Traces: what recording adds to a request's processor time, off, at 5 % and at all requests.

python -m benchmarks.tracing [--quick]
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from benchmarks.adapters import random_adapters
from benchmarks.bundles import QUERY_VALUE, exported
from benchmarks.engine import chosen_provider
from benchmarks.event_log import Added, MeasuredServer
from benchmarks.http_work import make_work
from benchmarks.over_http import measure
from benchmarks.report import Bar, Report, Rows, arguments
from benchmarks.rounds import show
from benchmarks.servers import Server, free_port
from benchmarks.tenancy import publish_all
from benchmarks.wrk import load, write_requests
from service.api.call import begin_call
from service.batching.traces import TracedPart, TracedPass
from service.tracing.notes import Note, PassNote, RequestNote, Trace
from service.tracing.sampling import Sampling
from service.tracing.spans import Spans, resource_of
from service.tracing.tracing import Tracing

TENANTS = 8
RANK = 8
CONNECTIONS = 16
OFF, SOME, ALL = "off", "5 % recorded", "all recorded"
RATIOS = {OFF: None, SOME: 0.05, ALL: 1.0}
_SENT_S = 1.5  # after which log and traces have sent what a load left behind

_NOTES = (
    (
        "Processor time is of the whole process, threads of the runtime, of the log and of the"
        " traces included, up to the moment when all spans are sent."
    ),
    "`off` has no endpoint set; the collector is a process of its own that takes and forgets.",
    "A server gets no processor time (SIGSTOP) while another one is measured.",
)


@dataclass(frozen=True, slots=True)
class Round:
    """What one load of one server showed."""

    processor_s: float  # a request
    rate: float  # answers a second


def start(bundle: Path, state: Path, provider: str, collector: str, name: str) -> MeasuredServer:
    """Start a service that records a share of its requests, or has nowhere to send them."""
    port = free_port()
    program = Path(sys.executable).parent / "tenantry"
    words = [str(program), "serve", "--bundle", str(bundle), "--state", str(state)]
    words += ["--port", str(port), "--provider", provider]
    ratio = RATIOS[name]
    environment = {}
    if ratio is not None:
        environment = {"TENANTRY_OTLP_ENDPOINT": collector, "TENANTRY_TRACE_RATIO": str(ratio)}
    return MeasuredServer(words, port, "/readyz", environment)


def measured(server: MeasuredServer, requests: Path, seconds: float) -> Round:
    """Return what a load costs and brings."""
    server.resume()
    try:
        before = server.processor_s
        seen = load(server.url, requests, CONNECTIONS, seconds)
        time.sleep(_SENT_S)
        return Round((server.processor_s - before) / seen.requests, seen.rate)
    finally:
        server.pause()


def spans_of(server: MeasuredServer) -> dict[str, float]:
    """Return how many spans a server has sent and dropped."""
    server.resume()
    lines = httpx.get(f"{server.url}/metrics", timeout=30.0).text.splitlines()
    server.pause()
    told = [line for line in lines if line.startswith("tenantry_spans_total{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in told}


def measure_service(
    options: argparse.Namespace, words: list[str], stack: ExitStack
) -> tuple[dict[str, list[Round]], dict[str, dict[str, float]], str]:
    """Return the rounds of each server, the spans that it sent, and the provider."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    adapters = random_adapters(bundle.manifest, TENANTS, RANK)
    named = [(f"tenant-{n:02d}", "intent", adapter) for n, adapter in enumerate(adapters)]
    port = free_port()
    collector = stack.enter_context(
        Server([sys.executable, "-m", "benchmarks.collector", str(port)], port, "/")
    )
    servers: dict[str, MeasuredServer] = {}
    requests = folder / "requests"
    for name in RATIOS:
        state = folder / name.replace(" ", "-")
        server = stack.enter_context(start(bundle.path, state, provider, collector.url, name))
        placed = publish_all(server.url, named, bundle.manifest)
        write_requests(requests, make_work(words, bundle, placed).singles)
        server.pause()
        servers[name] = server
    rounds, seconds = (5, 1.0) if options.quick else (16, 2.0)
    found: dict[str, list[Round]] = {name: [] for name in servers}
    for name, server in servers.items():
        show(f"warming {name}")
        measured(server, requests, seconds)
    for number in range(rounds):
        for name in list(servers) if number % 2 == 0 else reversed(servers):
            found[name].append(measured(servers[name], requests, seconds))
        show(f"tracing: round {number + 1} of {rounds}", last=number + 1 == rounds)
    return found, {name: spans_of(server) for name, server in servers.items()}, provider


class Forgetting:
    """Takes notes and forgets them."""

    def offer(self, note: Note) -> None: ...

    def close(self, timeout_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor microseconds, on one thread that does nothing else."""

    passed_over_us: float  # on the event loop, of a request that is not recorded
    made_us: float  # on the tracing thread, of a recorded request's spans and its share of a batch
    encoded_us: float  # the same as bytes of OTLP


def measure_costs(count: int = 5_000) -> Costs:
    """Return what single steps cost."""
    scope = {"type": "http", "headers": [(b"host", b"localhost")]}
    tracing = Tracing(Sampling(1e-9), Forgetting())

    def handled(tracing: Tracing | None) -> float:
        begun = time.thread_time()
        for _ in range(count):
            begin_call(scope, tracing).record("tenant-00")
        return time.thread_time() - begun

    passed_over = min(handled(tracing) for _ in range(5)) - min(handled(None) for _ in range(5))
    traces = [
        Trace(
            f"{n + 1:032x}",
            f"{n + 1:016x}",
            None,
            b"",
            10.0,
            {f"tenantry.{n}": n for n in range(16)},
        )
        for n in range(count)
    ]
    notes: list[Note] = []
    for number, trace in enumerate(traces):
        trace.stage("prepare", 10.1, 10.2, {"tenantry.inputs": 1})
        part = TracedPart(trace, 10.2, 1)
        ran = TracedPass([part], 10.3, 10.4, 8, 160, 256, 8, "openvino", "fp32")
        notes += [
            PassNote(ran, f"{number + 1:032x}"),
            RequestNote(trace, "POST /v1/tenants/{tenant}/adapters/{adapter}/predict", 10.5, None),
        ]
    spans = Spans(resource_of("0", "sha256:b", "one"), "0")
    begun = time.thread_time()
    made = spans.make(notes)
    made_s = time.thread_time() - begun
    begun = time.thread_time()
    for start_ in range(0, len(made), 512):
        encode_spans(made[start_ : start_ + 512]).SerializeToString()
    encoded_s = time.thread_time() - begun
    per = 1e6 / count
    return Costs(passed_over * per, made_s * per, encoded_s * per)


def _added(found: dict[str, list[Round]], name: str) -> Added:
    return Added.of(
        [one.processor_s for one in found[name]], [one.processor_s for one in found[OFF]]
    )


def _rate_ratio(found: dict[str, list[Round]], name: str) -> str:
    ratios = [mine.rate / off.rate for mine, off in zip(found[name], found[OFF], strict=True)]
    low, median, high = np.percentile(ratios, [25, 50, 75]).tolist()
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


def _service_rows(found: dict[str, list[Round]], spans: dict[str, dict[str, float]]) -> Rows:
    rows = []
    for name, rounds in found.items():
        added = "" if name == OFF else str(_added(found, name))
        rate = "" if name == OFF else _rate_ratio(found, name)
        rows.append(
            (
                name,
                f"{1e3 * np.median([one.processor_s for one in rounds]):.3f}",
                added,
                f"{np.median([one.rate for one in rounds]):,.0f}",
                rate,
                f"{spans[name]['exported']:,.0f}",
                f"{spans[name]['dropped']:,.0f}",
            )
        )
    columns = (
        "",
        "processor ms a request",
        "added, mean and 95 %",
        "answers/s",
        "of off, quartiles",
        "spans sent",
        "dropped",
    )
    return Rows("a service under load, medians over rounds", columns, rows)


def _cost_rows(costs: Costs) -> Rows:
    rows = [
        ("a request that is not recorded, on the event loop", f"{costs.passed_over_us:.1f}"),
        ("a recorded request: its five spans made", f"{costs.made_us:.0f}"),
        ("a recorded request: its five spans encoded", f"{costs.encoded_us:.0f}"),
    ]
    return Rows("single steps", ("processor microseconds", "found"), rows)


def run(options: argparse.Namespace, words: list[str], stack: ExitStack) -> Report:
    """Measure everything and return the report."""
    costs = measure_costs()
    found, spans, provider = measure_service(options, words, stack)
    some, every = _added(found, SOME), _added(found, ALL)
    off_us = 1e6 * float(np.median([one.processor_s for one in found[OFF]]))
    steps = costs.passed_over_us + 0.05 * (costs.made_us + costs.encoded_us)
    report = Report(
        "tracing",
        "What does recording traces add to a request, at 5 % of the requests and at all?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA of rank 8 on query and value, 77 labels",
            "texts": f"BANKING77, one a request, {TENANTS} tenants",
            "load": f"wrk, one thread, {CONNECTIONS} connections, closed loop",
            "provider": provider,
        },
    )
    unit = "%"
    report.bars = [
        Bar(f"processor time added, {SOME}, mean", 100 * some.mean, 3.0, at_least=False, unit=unit),
        Bar(
            f"processor time added, {SOME}, upper end",
            100 * some.high,
            3.0,
            at_least=False,
            unit=unit,
        ),
        Bar(
            f"a twentieth of what is added, {ALL}, upper end",
            100 * every.high / 20,
            3.0,
            at_least=False,
            unit=unit,
        ),
        Bar(
            "single steps at 5 %, over a request's processor time",
            100 * steps / off_us,
            3.0,
            at_least=False,
            unit=unit,
        ),
    ]
    report.tables = [_service_rows(found, spans), _cost_rows(costs)]
    report.notes = list(_NOTES)
    report.measured = {
        "processor_s_a_request": {n: [one.processor_s for one in r] for n, r in found.items()},
        "answers_a_second": {n: [one.rate for one in r] for n, r in found.items()},
    }
    return report


def main() -> None:
    """Run the benchmark."""
    measure(arguments("What recording traces costs.").parse_args(), run)


if __name__ == "__main__":
    main()
