"""The service over HTTP: against its own engine driven directly, and against other servers.

python -m benchmarks.serving [--quick] [--no-baselines]
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson

from benchmarks.adapters import random_adapters, save_folder
from benchmarks.baselines import infinity
from benchmarks.bundles import QUERY_VALUE, exported
from benchmarks.connection import Connection, request_bytes
from benchmarks.engine import Engine, chosen_provider
from benchmarks.http_work import PER_REQUEST, Work, make_work
from benchmarks.latency import Latencies, Lone, lone_requests, open_loop, pooled
from benchmarks.over_http import measure
from benchmarks.report import Bar, Report, Rows, arguments
from benchmarks.rounds import Contestant, Rates, interleave, show, timed
from benchmarks.servers import Server, ServerFailed, free_port, tenantry
from benchmarks.tenancy import publish_all
from benchmarks.wrk import load, write_requests
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle

TENANTS = 32
RANK = 8
CONNECTIONS = 64
LEVELS = (0.5, 0.8)  # of the peak

ENGINE = "engine driven directly, 64 in flight"
ONE = "HTTP, one text a request"
ENGINE_RUNS = "engine driven directly, runs of 32 of one tenant"
RUNS = "HTTP, 32 texts a request"
DTYPES = ("fp32", "bf16")


def infinity_of(dtype: str) -> str:
    """Return the name of infinity's contestant."""
    return f"infinity-emb, no LoRA, {dtype}"


def peft_of(dtype: str) -> str:
    """Return the name of peft's contestant."""
    return f"peft behind FastAPI, {dtype}"


class Contest:
    """The servers, each asleep but while it is measured, and what they are asked."""

    def __init__(self, folder: Path, seconds: float, stack: ExitStack) -> None:
        self._folder = folder
        self._seconds = seconds
        self._stack = stack
        self.contestants: dict[str, Contestant] = {}

    def keep(self, server: Server) -> Server:
        """Take over a server that is ready, and send it to sleep."""
        self._stack.enter_context(server)
        server.pause()
        return server

    def add_engine(self, name: str, engine: Engine, work: Work, owners: list[int]) -> None:
        """Add the engine on one thread of this process; its rate is in texts a second."""
        self.contestants[name] = timed(lambda: engine.stream(work.texts, owners).texts)

    def add_server(
        self, name: str, server: Server, requests: list[tuple[str, bytes]], texts: int = 1
    ) -> Path:
        """Add a server under wrk, `texts` texts a request; return the file of its requests."""
        file = write_requests(self._folder / f"{len(self.contestants)}.requests", requests)

        def contest() -> float:
            server.resume()
            try:
                return texts * load(server.url, file, CONNECTIONS, self._seconds).rate
            finally:
                server.pause()

        self.contestants[name] = contest
        return file


def add_baselines(
    contest: Contest, folder: Path, adapters: list[Adapter], bundle: Bundle, work: Work
) -> list[str]:
    """Add the other servers; return why one could not take part."""
    absent = []
    tenants = folder / "tenants"
    for number, adapter in enumerate(adapters):
        save_folder(adapter, bundle.manifest, tenants / _tenant(number))
    for dtype in DTYPES:
        show(f"starting {peft_of(dtype)}")
        port = free_port()
        words = [sys.executable, "-m", "benchmarks.baselines.peft_server", str(port)]
        server = contest.keep(Server([*words, str(tenants), dtype], port, "/ready"))
        contest.add_server(peft_of(dtype), server, work.singles)
    for dtype in DTYPES:
        show(f"starting {infinity_of(dtype)}")
        try:
            server = contest.keep(infinity.start(dtype))
        except (infinity.NotInstalled, ServerFailed) as error:
            absent.append(f"{infinity_of(dtype)} did not take part: {error}")
            continue
        contest.add_server(infinity_of(dtype), server, work.embeddings)
    return absent


def _tenant(number: int) -> str:
    return f"tenant-{number:02d}"


def check_answers(server: Server, engine: Engine, work: Work, count: int = 64) -> float:
    """Return the largest score difference between HTTP and the engine; labels must agree."""
    connection = Connection(server.port)
    worst = 0.0
    for index in range(count):
        answer = connection.ask(request_bytes(*work.singles[index]))
        told = orjson.loads(answer.body)["predictions"][0]
        row = engine.answer([work.texts[index]], [work.owners[index]]).probabilities[0]
        assert row is not None
        assert told["label"] == f"label {int(np.argmax(row))}", told
        worst = max(worst, abs(told["score"] - float(row.max())))
    connection.close()
    return worst


def measure_latency(
    server: Server, requests: Path, peak: float, seconds: float
) -> dict[float, Latencies]:
    """Return the latencies at each level of the peak, in two runs that alternate."""
    found: dict[float, list[Latencies]] = {level: [] for level in LEVELS}
    for seed in (1, 2):
        for level in LEVELS:
            show(f"open loop at {level:.0%} of the peak, run {seed} of 2")
            found[level].append(open_loop(server, requests, level * peak, seconds / 2, seed))
    return {level: pooled(runs) for level, runs in found.items()}


def _rate_rows(rates: Rates) -> Rows:
    rows = []
    for name in rates.by_round:
        against_engine = "" if name == ENGINE else str(rates.ratio(name, ENGINE))
        ours = "" if name == ONE else str(rates.ratio(ONE, name))
        rows.append((name, f"{rates.median(name):,.0f}", against_engine, ours))
    columns = ("64 connections", "texts/s", "this / engine", "HTTP, one text / this")
    return Rows("throughput, medians and quartiles over rounds", columns, rows)


def _latency_rows(levels: dict[float, Latencies], lone: Lone) -> Rows:
    rows = [
        (
            f"{level:.0%} of the peak: {seen.rate:,.0f} requests/s",
            *seen.spread.cells(),
            f"{seen.late_p99_ms:.2f}",
            str(seen.lost),
        )
        for level, seen in levels.items()
    ]
    rows += [
        ("a lone request", *lone.http.cells(), "", ""),
        ("the engine's own time for it", *lone.engine.cells(), "", ""),
    ]
    columns = ("milliseconds", "p50", "p95", "p99", "sent late, p99", "lost")
    return Rows("latency, from the time at which a request was due", columns, rows)


def _bars(rates: Rates, lone: Lone) -> list[Bar]:
    bars = [
        Bar("HTTP, one text a request / engine", rates.ratio(ONE, ENGINE).median, 0.7),
        Bar("HTTP, 32 texts a request / engine", rates.ratio(RUNS, ENGINE_RUNS).median, 0.9),
        Bar(
            "a lone request's p50, less 1 ms, / the engine's own",
            (lone.http.at(50) - 1.0) / lone.engine.at(50),
            1.5,
            at_least=False,
        ),
    ]
    others = [infinity_of(d) for d in DTYPES if infinity_of(d) in rates.by_round]
    if others:
        best = max(others, key=rates.median)
        bars.append(Bar(f"HTTP, one text a request / {best}", rates.ratio(ONE, best).median, 3.0))
    return bars


_NOTES = (
    "Server, load generator and, in its turns, the engine share the cores of this machine.",
    "A server gets no processor time (SIGSTOP) while another contestant is measured.",
    (
        "wrk sends on an answer, so under it latency means little; the open loop sends when a"
        " request is due (Poisson) and counts from then. It is written in Python and shares the"
        " cores too; `sent late` is its own share."
    ),
    "The engine driven directly is given tokens; over HTTP texts are tokenised.",
    "Answers hold the scores of all 77 labels; infinity answers 384 numbers of an embedding.",
)


def run(options: argparse.Namespace, words: list[str], stack: ExitStack) -> Report:
    """Measure everything and return the report."""
    quick: bool = options.quick
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    report = Report(
        "serving",
        "How much of the engine's speed reaches the wire, and what do others do?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA of rank 8 on query and value, 77 labels",
            "texts": f"BANKING77, {len(words):,} texts in one fixed random order, over and over,"
            f" each for one of {TENANTS} tenants",
            "load": f"wrk, one thread, {CONNECTIONS} connections",
            "provider": provider,
        },
        notes=list(_NOTES),
    )
    adapters = random_adapters(bundle.manifest, TENANTS, RANK)
    server = tenantry(bundle.path, folder / "state", provider)
    stack.enter_context(server)
    named = [(_tenant(n), "intent", adapter) for n, adapter in enumerate(adapters)]
    work = make_work(words, bundle, publish_all(server.url, named, bundle.manifest))
    engine = Engine(bundle, adapters, provider)
    worst = check_answers(server, engine, work)
    report.notes.append(f"Scores over HTTP and of the engine differ by at most {worst:.0e}.")
    server.pause()

    contest = Contest(folder, 1.0 if quick else 4.0, stack)
    contest.add_engine(ENGINE, engine, work, work.owners)
    singles = contest.add_server(ONE, server, work.singles)
    contest.add_engine(ENGINE_RUNS, engine, work, work.run_owners)
    contest.add_server(RUNS, server, work.runs, PER_REQUEST)
    if not options.no_baselines:
        report.notes += add_baselines(contest, folder, adapters, bundle, work)
    slow = {name: 2 for d in DTYPES for name in (peft_of(d), infinity_of(d))}
    rounds = 2 if quick else 5
    rates = interleave(contest.contestants, rounds, every=slow, title="serving")
    server.resume()
    levels = measure_latency(server, singles, rates.median(ONE), 2.0 if quick else 10.0)
    lone = lone_requests(server, engine, work, 30 if quick else 300)

    report.bars = _bars(rates, lone)
    report.tables = [_rate_rows(rates), _latency_rows(levels, lone)]
    report.measured = {
        "texts_per_second": rates.document(),
        "latency_ms": {f"{level:.0%}": seen.spread.document() for level, seen in levels.items()},
        "lone_ms": {"http": lone.http.document(), "engine": lone.engine.document()},
    }
    return report


def main() -> None:
    """Run the benchmark."""
    parser = arguments("The service over HTTP, against its engine and other servers.")
    parser.add_argument("--no-baselines", action="store_true", help="leave peft and infinity out")
    measure(parser.parse_args(), run)


if __name__ == "__main__":
    main()
