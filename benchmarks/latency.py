"""Latency: under a given load by the open loop, and of a lone request beside the engine's own."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.connection import Connection, request_bytes
from benchmarks.engine import Engine
from benchmarks.http_work import Work
from benchmarks.machine import ROOT
from benchmarks.rounds import show
from benchmarks.servers import Server
from benchmarks.spread import Spread

_MS = 1e3


@dataclass(frozen=True, slots=True)
class Latencies:
    """What the open loop saw at one rate."""

    rate: float  # requests a second that were due
    spread: Spread
    late_p99_ms: float  # by how much requests left late, the generator's own share
    lost: int  # refused or unanswered


def open_loop(server: Server, requests: Path, rate: float, seconds: float, seed: int) -> Latencies:
    """Run the open loop in its own process against a server."""
    words = [sys.executable, "-m", "benchmarks.open_loop", str(server.port), str(requests)]
    words += [f"{rate:.3f}", f"{seconds:.3f}", str(seed)]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, timeout=seconds + 60)
    seen = orjson.loads(ran.stdout)
    return Latencies(
        rate,
        Spread([_MS * latency for latency in seen["latencies"]]),
        _MS * float(np.percentile(seen["late"], 99)),
        seen["failed"] + seen["unanswered"],
    )


def pooled(runs: list[Latencies]) -> Latencies:
    """Return runs of one rate as one."""
    return Latencies(
        runs[0].rate,
        Spread([latency for run in runs for latency in run.spread.milliseconds]),
        max(run.late_p99_ms for run in runs),
        sum(run.lost for run in runs),
    )


@dataclass(frozen=True, slots=True)
class Lone:
    """Lone requests and the engine's own time for the same texts, measured in turn."""

    http: Spread
    engine: Spread


def lone_requests(server: Server, engine: Engine, work: Work, count: int) -> Lone:
    """Ask for one text after the other, over HTTP and of the engine directly, A B A B."""
    connection = Connection(server.port)
    http_ms: list[float] = []
    engine_ms: list[float] = []
    warm_up = min(20, count)
    try:
        for turn in range(warm_up + count):
            index = turn % len(work.texts)
            request = request_bytes(*work.singles[index])
            start = time.perf_counter()
            answer = connection.ask(request)
            middle = time.perf_counter()
            engine.answer([work.texts[index]], [work.owners[index]])
            end = time.perf_counter()
            assert answer.status == 200, answer
            if turn >= warm_up:
                http_ms.append(_MS * (middle - start))
                engine_ms.append(_MS * (end - middle))
    finally:
        connection.close()
    show(f"{count} lone requests")
    return Lone(Spread(http_ms), Spread(engine_ms))
