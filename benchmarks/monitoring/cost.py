"""What does watching cost? CPU an event, of a test and of a reference; memory; bytes at rest.

Beside the CPU of serving the same rows (the engine alone, without HTTP), and alibi-detect's tests.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.adapters import random_adapters
from benchmarks.bundles import QUERY_VALUE, exported
from benchmarks.engine import Engine, chosen_provider
from benchmarks.monitoring.comparison import Case, by_alibi
from benchmarks.monitoring.data import Population, domains, populations
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.windows import joined, reference, reference_rows, rows
from benchmarks.monitoring.written_log import WrittenLog, in_turn
from benchmarks.report import Bar, Report, Rows, arguments
from benchmarks.rounds import show
from benchmarks.texts import adapters_of, banking_texts_or_skip
from monitoring.assessment.policy import Policy
from monitoring.detectors import watch
from monitoring.ingest.features import Wanted, mapped
from monitoring.settings import MonitorSettings
from monitoring.sidecar import Sidecar
from monitoring.sketches.sketch import Sketch
from service.engine.tokens import Tokeniser

TENANTS = 1000
EVENTS_S = 1000  # events a second
REFERENCE = 100  # rows, of each tenant
SHARE_MAX = 0.05
TEST_SHARE_MAX = 1 / 20
STATE_BYTES_MAX = 16 * 1024

FRAME = 1000  # rows of a frame of the isolated update
VERSIONS = 64  # in it
TESTED, WINDOW = 1000, 250  # rows of the reference and the window of a test


@dataclass(frozen=True, slots=True)
class Update:
    """Microseconds of CPU a row."""

    features: float
    sketch: float
    watch: float


@dataclass(frozen=True, slots=True)
class Whole:
    """What the whole sidecar took."""

    reference_ms: float  # CPU to make one
    event_us: float  # CPU of an event, reading and checkpoints included
    close_ms: float  # CPU to judge a version whose bucket is over
    bucket_s: int
    events: int
    memory_mib: float  # resident, at most
    state_bytes: float  # on the disk, a version

    @property
    def cores(self) -> float:
        """Return the share of a core that the stated traffic takes."""
        return EVENTS_S * self.event_us / 1e6 + TENANTS / self.bucket_s * self.close_ms / 1e3


def serving_us(options: argparse.Namespace) -> tuple[float, str]:
    """Return the CPU of answering a text with the engine alone, and its provider."""
    count = 256 if options.quick else 2048
    words = banking_texts_or_skip(count)
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    texts = Tokeniser(bundle).encode(words)
    engine = Engine(bundle, random_adapters(bundle.manifest, 32, 8), provider)
    numbers = adapters_of(len(texts), 32)
    engine.stream(texts, numbers)
    found = []
    for _ in range(1 if options.quick else 5):
        began = time.process_time()
        engine.stream(texts, numbers)
        found.append(1e6 * (time.process_time() - began) / len(texts))
    return float(np.median(found)), provider


def update_us(population: Population, rounds: int) -> Update:
    """Return what a row costs to be counted, in frames of many versions."""
    references = [reference(population, REFERENCE, seed) for seed in range(VERSIONS)]
    watches = []
    for one in references:
        made = watch.baseline(reference_rows(one.rows), seed=0, tolerance=0.1)
        assert made is not None
        watches.append((made, watch.State.begin(made)))
    draw = np.random.default_rng(3)
    counts = np.full(VERSIONS, FRAME // VERSIONS)
    counts[: FRAME % VERSIONS] += 1
    firsts = np.cumsum(counts) - counts
    sketches = [Sketch.empty(len(population.labels), one.map) for one in references]
    spent: dict[str, list[float]] = {"features": [], "sketch": [], "watch": []}
    for _ in range(rounds):
        frame = population.taken(draw.integers(len(population), size=FRAME))
        parts = [
            rows(frame.taken(np.arange(first, first + count)))
            for first, count in zip(firsts.tolist(), counts.tolist(), strict=True)
        ]
        wanted = [
            Wanted(int(first), int(count), one.map)
            for first, count, one in zip(firsts, counts, references, strict=True)
        ]
        began = time.process_time()
        found = mapped({frame.embeddings.shape[1]: frame.embeddings}, wanted, projected=True)
        mapped_at = time.process_time()
        for sketch, part, features in zip(sketches, parts, found, strict=True):
            sketch.add(part, features.features, features.projected, None)
        added_at = time.process_time()
        for (made, state), part in zip(watches, parts, strict=True):
            watch.update(made, state, part.embeddings, 1e6)
        ended_at = time.process_time()
        spent["features"].append(mapped_at - began)
        spent["sketch"].append(added_at - mapped_at)
        spent["watch"].append(ended_at - added_at)
    return Update(**{name: 1e6 * float(np.median(all_)) / FRAME for name, all_ in spent.items()})


def whole(options: argparse.Namespace, population: Population) -> Whole:
    """Let the sidecar read a log of many tenants, and return what it took."""
    bucket_s = Policy().bucket_s
    # All within one bucket, so that judging is apart, and with rows enough to be judged.
    tenants, seconds = (50, 5) if options.quick else (TENANTS, min(75, bucket_s - 4))
    draw = np.random.default_rng(4)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        state = Path(name)
        log = WrittenLog.open(state / "events", population)
        show("writing references")
        log.references(tenants, REFERENCE, draw)
        _second(log, tenants, tenants, draw)  # each version's first row makes its reference
        sidecar = Sidecar(MonitorSettings(state=state))
        show("making references")
        first_s = _caught_up(sidecar)
        show("writing predictions")
        for _ in range(seconds):
            _second(log, EVENTS_S, tenants, draw)
        show("reading predictions")
        events_s = _caught_up(sidecar)
        log.now_s += 2 * bucket_s
        _second(log, 1, tenants, draw)  # all buckets before it are over
        show("judging")
        closing_s = _caught_up(sidecar)
        found = Whole(
            reference_ms=1e3 * first_s / tenants,
            event_us=1e6 * events_s / (seconds * EVENTS_S),
            close_ms=1e3 * closing_s / tenants,
            bucket_s=bucket_s,
            events=sidecar.log_state().events,
            memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            state_bytes=_size(state / "monitor") / tenants,
        )
        log.close()
        sidecar.close()
    return found


def _second(log: WrittenLog, count: int, tenants: int, draw: np.random.Generator) -> None:
    places = draw.integers(len(log.population), size=count)
    log.second(in_turn(count, tenants, draw), places)


def _caught_up(sidecar: Sidecar) -> float:
    began = time.process_time()
    sidecar.follower.catch_up()
    problems = sidecar.problems()
    assert not problems, problems
    return time.process_time() - began


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def tests_ms(population: Population, rounds: int) -> tuple[float, float]:
    """Return the CPU of a window test and of alibi-detect's, references being made."""
    drawn = reference(population, TESTED, 5)
    draw = np.random.default_rng(6)
    windows = [
        population.taken(draw.choice(drawn.rest, WINDOW, replace=False)) for _ in range(rounds)
    ]
    sketches = [drawn.window(window) for window in windows]
    ours = []
    for sketch in sketches:
        began = time.process_time()
        drawn.assess(sketch, 0.1)
        ours.append(time.process_time() - began)
    theirs = by_alibi(Case(drawn.rows.embeddings, [window.embeddings for window in windows]), 0)
    return 1e3 * float(np.median(ours)), 1e3 * float(np.median(theirs.seconds))


def state_bytes(population: Population) -> tuple[int, int]:
    """Return the bytes of a bucket of 5,000 rows without class projections, and with them."""
    drawn = reference(population, TESTED, 7)
    draw = np.random.default_rng(8)
    window = population.taken(draw.choice(drawn.rest, 5000))
    window = joined(window, window.taken(np.arange(1)))
    with_them = drawn.window(window)
    without = Sketch.empty(len(population.labels), drawn.map)
    without.add(rows(window), drawn.map.fixed(window.embeddings), None, None)
    return without.bytes, with_them.bytes


def main() -> None:
    options = arguments("What watching costs.").parse_args()
    threadpool_limits(limits=1, user_api="blas")
    ten, (clinc, banking, _) = domains(), populations()
    serving, provider = serving_us(options)
    update = update_us(ten, 5 if options.quick else 40)
    test, alibi = tests_ms(banking, 3 if options.quick else 15)
    plain, full = state_bytes(clinc)
    found = whole(options, ten)
    report = Report(
        f"{PREFIX}cost",
        "What does watching cost?",
        {
            "serving": "the engine alone on BANKING77 texts, 32 adapters, no HTTP, no tokenising;"
            f" provider {provider}; CPU of all threads",
            "update": f"frames of {FRAME:,} rows of {VERSIONS} versions, 10 classes",
            "test": f"reference of {TESTED:,} rows, window of {WINDOW}, 77 classes",
            "bucket": "of 5,000 rows, 150 classes",
            "sidecar": f"{TENANTS:,} tenants, {EVENTS_S:,} events a second through the log, each"
            f" tenant a reference of {REFERENCE} rows; the whole of it but the web server",
        },
    )
    share = (update.features + update.sketch) / serving
    report.bars += [
        Bar("sketch update / serving the same rows", share, SHARE_MAX, at_least=False),
        Bar("cores for 1,000 tenants at 1,000 events a second", found.cores, 1.0, at_least=False),
        Bar("CPU of a test / alibi-detect's", test / alibi, TEST_SHARE_MAX, at_least=False),
        Bar("bytes a bucket, class projections apart", plain, STATE_BYTES_MAX, at_least=False),
    ]
    report.tables.append(_table(serving, update, found, (test, alibi), (plain, full)))
    report.measured = {
        "serving_us": serving,
        "update_us": [update.features, update.sketch, update.watch],
        "whole": [found.reference_ms, found.event_us, found.close_ms, found.memory_mib],
        "test_ms": [test, alibi],
        "bytes": [plain, full, found.state_bytes],
    }
    published(report, options)


def _table(
    serving: float,
    update: Update,
    found: Whole,
    tests: tuple[float, float],
    sizes: tuple[int, int],
) -> Rows:
    lines: Sequence[tuple[str, str]] = (
        ("answering a text, engine alone, us", f"{serving:.0f}"),
        ("features of a row, us", f"{update.features:.1f}"),
        ("adding it to its sketch, us", f"{update.sketch:.1f}"),
        ("the watch, us", f"{update.watch:.1f}"),
        ("an event through the whole sidecar, us", f"{found.event_us:.0f}"),
        ("judging a version at the end of its bucket, ms", f"{found.close_ms:.2f}"),
        (f"making a reference of {REFERENCE} rows, ms", f"{found.reference_ms:.0f}"),
        ("a window test after that, ms", f"{tests[0]:.2f}"),
        ("alibi-detect's MMDDrift on the same windows, ms", f"{tests[1]:.0f}"),
        ("a bucket at rest without class projections, bytes", f"{sizes[0]:,}"),
        ("with those of 150 classes, bytes", f"{sizes[1]:,}"),
        ("the sidecar's state on the disk, bytes a version", f"{found.state_bytes:,.0f}"),
        ("resident memory at most, this benchmark's own included, MiB", f"{found.memory_mib:,.0f}"),
    )
    return Rows("CPU and bytes", ("", "found"), lines)


if __name__ == "__main__":
    main()
