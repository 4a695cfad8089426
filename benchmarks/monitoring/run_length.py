"""How long does the watch run to a false alarm, and how soon does it find a change?

Null streams: rows of the population that are not in the reference, drawn with replacement, one in a
hundred sent twice. A detector that bears one false alarm in A rows must raise no more. Delays: rows
after a change until the alarm, beside alibi-detect's MMDDriftOnline at the same expected run
length, on the same rows.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from matplotlib.axes import Axes

from benchmarks.monitoring.data import Population, Shift, populations, shifts
from benchmarks.monitoring.plots import COLOURS, numbered
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.windows import reference_rows
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring import codec
from monitoring.detectors import watch
from monitoring.rows import HalfArray
from service.measures import Estimate

# Null streams.
TARGET = 2000
SIZES = (200, 500, 1000, 2000, 5000)
TWICE = 0.01  # share of events that come twice
LEFT_MIN = 4000  # rows outside the reference, for a stream that is not one sample over and over
TOLERANCES = (0.0, 0.1)

# Delays.
EQUAL = 500  # the run length of both
REFERENCE = 500  # rows: what alibi-detect's thresholds can be simulated for
WINDOW = 20  # of alibi-detect
BEFORE = 100  # healthy rows before the change
CAP = 1500  # rows after it, at which a stream ends
SHARES = (0.2, 0.4, 1.0)

_ALIBI = "alibi-detect MMDDriftOnline"
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class NullPiece:
    """A reference, and how many rows to send after it."""

    population: int
    size: int
    seed: int
    rows: int


@dataclass(frozen=True, slots=True)
class NullFound:
    """Alarms on a null stream, by tolerance."""

    piece: NullPiece
    alarms: dict[float, int]
    state_bytes: tuple[int, int]  # after a tenth of the stream, and after all of it
    seconds: float  # of CPU a row


@dataclass(frozen=True, slots=True)
class DelayPiece:
    """A reference of a shift, and how many streams to send for each share."""

    shift: int
    seed: int
    streams: int
    nulls: int  # streams without a change, each until alibi-detect's alarm


@dataclass(slots=True)
class DelayFound:
    """Delays by share and detector, at most `CAP`; and alibi-detect's null runs."""

    piece: DelayPiece
    delays: dict[float, dict[str, list[int]]] = field(default_factory=dict)
    null_rows: dict[str, int] = field(default_factory=dict)
    null_alarms: dict[str, int] = field(default_factory=dict)
    history_bytes: int = 0  # that alibi-detect has gathered at the end of a stream


@cache
def _populations() -> list[Population]:
    return populations()


@cache
def _shifts() -> list[Shift]:
    return shifts()


def name_of(tolerance: float) -> str:
    """Return what the watch is called in tables."""
    return f"watch, tolerance {tolerance:g}"


def null(piece: NullPiece) -> NullFound:
    """Send a null stream, and count alarms."""
    population = _populations()[piece.population]
    draw = np.random.default_rng([piece.population, piece.size, piece.seed, 7])
    order = draw.permutation(len(population))
    own = population.taken(order[: piece.size])
    stream = repeated(population.embeddings[draw.choice(order[piece.size :], piece.rows)], draw)
    alarms, sizes, seconds = {}, (0, 0), 0.0
    for tolerance in TOLERANCES:
        baseline = watch.baseline(reference_rows(own), seed=piece.seed, tolerance=tolerance)
        assert baseline is not None
        state = watch.State.begin(baseline)
        began = time.process_time()
        found = watch.update(baseline, state, stream[: len(stream) // 10], TARGET)
        early = len(codec.encode(state))
        rest = watch.update(baseline, state, stream[len(stream) // 10 :], TARGET)
        seconds += (time.process_time() - began) / len(stream) / len(TOLERANCES)
        alarms[tolerance] = len(found) + len(rest)
        sizes = (max(sizes[0], early), max(sizes[1], len(codec.encode(state))))
    return NullFound(piece, alarms, sizes, seconds)


def repeated(stream: HalfArray, draw: np.random.Generator) -> HalfArray:
    """Return a stream in which a share of the events comes twice, at once."""
    times = 1 + (draw.random(len(stream)) < TWICE)
    return np.repeat(stream, times, axis=0)[: len(stream)]


def delayed(piece: DelayPiece) -> DelayFound:
    """Send streams that change, to the watch and to alibi-detect."""
    import torch
    from alibi_detect.cd import MMDDriftOnline

    shift = _shifts()[piece.shift]
    draw = np.random.default_rng([piece.shift, piece.seed, 8])
    order = draw.permutation(len(shift.usual))
    own = shift.usual.taken(order[:REFERENCE])
    rest, other = shift.usual.embeddings[order[REFERENCE:]], shift.other.embeddings
    torch.set_num_threads(1)
    torch.manual_seed(piece.seed)
    theirs = MMDDriftOnline(
        own.embeddings.astype(np.float32),
        ert=EQUAL,
        window_size=WINDOW,
        n_bootstraps=10 * EQUAL,
        backend="pytorch",
        device="cpu",
        verbose=False,
    )
    ours = {
        name_of(tolerance): watch.baseline(
            reference_rows(own), seed=piece.seed, tolerance=tolerance
        )
        for tolerance in TOLERANCES
    }
    found = DelayFound(piece)
    for share in SHARES:
        delays = found.delays[share] = {name: [] for name in (*ours, _ALIBI)}
        for _ in range(piece.streams):
            changed = draw.random(CAP) < share
            after = np.where(
                changed[:, None],
                other[draw.integers(len(other), size=CAP)],
                rest[draw.integers(len(rest), size=CAP)],
            )
            stream = np.concatenate([rest[draw.integers(len(rest), size=BEFORE)], after])
            for name, baseline in ours.items():
                assert baseline is not None
                delays[name].append(_delay(_alarms(baseline, stream)))
            delays[_ALIBI].append(_delay(_their_alarms(theirs, stream)))
    _null_runs(found, ours, theirs, rest, draw)
    return found


def _alarms(baseline: watch.Baseline, stream: HalfArray) -> list[int]:
    return watch.update(baseline, watch.State.begin(baseline), stream, EQUAL)


def _their_alarms(detector: "object", stream: HalfArray) -> list[int]:
    """Return where alibi-detect alarms, up to the first one after the change.

    It begins anew after an alarm, as its documentation asks for.
    """
    detector.reset_state()  # type: ignore[attr-defined]
    alarms = []
    for row, embedding in enumerate(stream.astype(np.float32)):
        if detector.predict(embedding)["data"]["is_drift"]:  # type: ignore[attr-defined]
            alarms.append(row)
            if row >= BEFORE:
                break
            detector.reset_state()  # type: ignore[attr-defined]
    return alarms


def _delay(alarms: Sequence[int]) -> int:
    """Return how many rows after the change the first alarm came."""
    return next((row - BEFORE + 1 for row in alarms if row >= BEFORE), CAP)


def _null_runs(
    found: DelayFound,
    ours: dict[str, watch.Baseline | None],
    theirs: "object",
    rest: HalfArray,
    draw: np.random.Generator,
) -> None:
    """Count alarms in streams without a change, of four run lengths each."""
    for _ in range(found.piece.nulls):
        stream = repeated(rest[draw.integers(len(rest), size=4 * EQUAL)], draw)
        for name, baseline in ours.items():
            assert baseline is not None
            alarms = len(_alarms(baseline, stream))
            found.null_alarms[name] = found.null_alarms.get(name, 0) + alarms
            found.null_rows[name] = found.null_rows.get(name, 0) + len(stream)
        theirs.reset_state()  # type: ignore[attr-defined]
        for embedding in stream.astype(np.float32):
            if theirs.predict(embedding)["data"]["is_drift"]:  # type: ignore[attr-defined]
                found.null_alarms[_ALIBI] = found.null_alarms.get(_ALIBI, 0) + 1
                theirs.reset_state()  # type: ignore[attr-defined]
            kept = theirs._detector  # type: ignore[attr-defined]  # noqa: SLF001
            found.history_bytes = max(
                found.history_bytes, kept.test_stats.nbytes + kept.drift_preds.nbytes
            )
        found.null_rows[_ALIBI] = found.null_rows.get(_ALIBI, 0) + len(stream)


def main() -> None:
    options = arguments("Run length and delay of the continuous watch.").parse_args()
    rows, seeds = (2000, 1) if options.quick else (30_000, 4)
    references, streams, nulls = (1, 1, 1) if options.quick else (4, 6, 6)
    null_work = [
        NullPiece(number, size, seed, rows)
        for seed in range(seeds)
        for number, population in enumerate(_populations())
        for size in SIZES
        if len(population) - size >= LEFT_MIN
    ]
    delay_work = [
        DelayPiece(shift, seed, streams, nulls)
        for seed in range(references)
        for shift in range(len(_shifts()))
    ]
    nulls_found = spread(null, null_work, "null streams")
    delays = spread(delayed, delay_work, "streams that change")
    report = Report(
        f"{PREFIX}run-length",
        "How long does the watch run to a false alarm, and how soon does it find a change?",
        {
            "null streams": f"{len(null_work)} references of {SIZES[0]} to {SIZES[-1]:,} rows,"
            f" {rows:,} rows after each, {TWICE:.0%} of them twice; run length {TARGET:,}",
            "changes": f"{'; '.join(shift.name for shift in _shifts())}; after {BEFORE} healthy"
            f" rows, {references} references of {REFERENCE} rows each, {streams} streams for each"
            f" share of other rows, run length {EQUAL}",
            "alibi-detect": f"MMDDriftOnline on the same streams, window {WINDOW},"
            f" {10 * EQUAL:,} bootstraps; it begins anew after an alarm",
        },
    )
    report.tables += [_null_table(nulls_found), _delay_table(delays), _null_delay_table(delays)]
    report.bars += _bars(nulls_found, delays)
    early = max(one.state_bytes[0] for one in nulls_found)
    late = max(one.state_bytes[1] for one in nulls_found)
    history = max(one.history_bytes for one in delays)
    cost_us = 1e6 * float(np.median([one.seconds for one in nulls_found]))
    report.notes += [
        f"The watch's state took {early:,} bytes after a tenth of the stream, {late:,} at its end.",
        f"alibi-detect had gathered {history:,} bytes of statistics by the end of its longest run.",
        f"A row costs the watch {cost_us:.0f} microseconds of CPU.",
        f"Delays are cut at {CAP:,} rows. `fires always` alarms at each, `fires never` at none.",
        "alibi-detect bears no drift at all: the watch that is compared with it bears none either.",
        "Beside it stands one that bears a tenth of the rows, which is the sidecar's default.",
    ]
    report.measured = {
        "null": [
            [one.piece.population, one.piece.size, one.piece.rows, one.alarms]
            for one in nulls_found
        ],
        "delays": [[one.piece.shift, one.piece.seed, one.delays] for one in delays],
        "null runs": [[one.null_alarms, one.null_rows] for one in delays],
    }

    def draw(panels: Sequence[Axes]) -> None:
        _draw(panels, nulls_found, delays)

    published(report, options, draw, panels=2)


def run_length(alarms: int, rows: int) -> Estimate:
    """Return rows a false alarm, with an interval of 95 % for a Poisson number of alarms.

    By the square root's normal approximation; no alarm leaves no upper end.
    """
    low = (max(0.0, math.sqrt(alarms + 0.25) - _Z95 / 2)) ** 2
    high = (math.sqrt(alarms + 1) + _Z95 / 2) ** 2
    return Estimate(
        rows / alarms if alarms else math.inf, rows / high, rows / low if low else math.inf
    )


def _told(found: Estimate) -> str:
    return f"{found.value:,.0f} ({found.lower:,.0f} to {found.upper:,.0f})"


def _null_table(found: Sequence[NullFound]) -> Rows:
    rows = []
    for size in (*SIZES, None):
        own = [one for one in found if size is None or one.piece.size == size]
        if not own:
            continue
        sent = sum(one.piece.rows for one in own)
        for tolerance in TOLERANCES:
            alarms = sum(one.alarms[tolerance] for one in own)
            name = "all" if size is None else f"{size:,}"
            rows.append(
                (
                    name_of(tolerance),
                    name,
                    f"{sent:,}",
                    str(alarms),
                    _told(run_length(alarms, sent)),
                )
            )
    sent = sum(one.piece.rows for one in found)
    rows += [
        ("fires always", "all", f"{sent:,}", f"{sent:,}", "1"),
        ("fires never", "all", f"{sent:,}", "0", "inf"),
    ]
    columns = ("", "rows of the reference", "rows sent", "false alarms", "rows a false alarm")
    return Rows(f"null streams, run length {TARGET:,}", columns, rows)


def _null_delay_table(found: Sequence[DelayFound]) -> Rows:
    rows = []
    for name in (*map(name_of, TOLERANCES), _ALIBI):
        alarms = sum(one.null_alarms.get(name, 0) for one in found)
        sent = sum(one.null_rows[name] for one in found)
        rows.append((name, f"{sent:,}", str(alarms), _told(run_length(alarms, sent))))
    columns = ("", "rows sent", "false alarms", "rows a false alarm")
    return Rows(f"the detectors of the delays without a change, run length {EQUAL}", columns, rows)


def _delays(found: Sequence[DelayFound], shift: int, share: float, name: str) -> list[int]:
    return [delay for one in found if one.piece.shift == shift for delay in one.delays[share][name]]


def _delay_table(found: Sequence[DelayFound]) -> Rows:
    names = [*map(name_of, TOLERANCES), _ALIBI]
    rows = []
    for number, shift in enumerate(_shifts()):
        for share in SHARES:
            each = [_delays(found, number, share, name) for name in names]
            means = [f"{np.mean(delays):,.0f} ({np.median(delays):,.0f})" for delays in each]
            rows.append((shift.name, f"{share:.0%}", str(len(each[0])), *means, "1", f"{CAP:,}"))
    columns = ("change", "other rows", "streams", *names, "fires always", "fires never")
    return Rows(f"rows to the alarm, mean (median), run length {EQUAL}", columns, rows)


def ratio(found: Sequence[DelayFound], name: str) -> Estimate:
    """Return the delay over alibi-detect's, geometric mean over changes; the reference the unit."""
    logs = []
    for one in found:
        for share in SHARES:
            ours, theirs = one.delays[share][name], one.delays[share][_ALIBI]
            logs.append(math.log(float(np.mean(ours)) / float(np.mean(theirs))))
    middle = float(np.mean(logs))
    half = _Z95 * float(np.std(logs, ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def _bars(nulls: Sequence[NullFound], delays: Sequence[DelayFound]) -> list[Bar]:
    bars = []
    for tolerance in TOLERANCES:
        for size in SIZES:
            own = [one for one in nulls if one.piece.size == size]
            if own:
                sent = sum(one.piece.rows for one in own)
                found = run_length(sum(one.alarms[tolerance] for one in own), sent)
                shown = min(found.value, float(sent))
                bars.append(
                    Bar(
                        f"{name_of(tolerance)}: rows a false alarm, reference of {size:,}",
                        shown,
                        TARGET,
                    )
                )
        bars.append(
            Bar(
                f"{name_of(tolerance)}: delay / alibi-detect's, geometric mean",
                ratio(delays, name_of(tolerance)).value,
                1.0,
                at_least=False,
                applies=tolerance == 0,
            )
        )
    grown = max(one.state_bytes[1] / one.state_bytes[0] for one in nulls)
    bars.append(Bar("state after the stream / after a tenth of it", grown, 1.05, at_least=False))
    return bars


def _draw(panels: Sequence[Axes], nulls: Sequence[NullFound], delays: Sequence[DelayFound]) -> None:
    left, right = panels
    for number, tolerance in enumerate(TOLERANCES):
        points = []
        for size in SIZES:
            own = [one for one in nulls if one.piece.size == size]
            if own:
                sent = sum(one.piece.rows for one in own)
                points.append((size, run_length(sum(o.alarms[tolerance] for o in own), sent).lower))
        left.plot(
            *zip(*points, strict=True),
            "-o",
            color=COLOURS[number],
            markersize=3,
            label=name_of(tolerance),
        )
    left.axhline(TARGET, color="#3a7d34", linewidth=0.8)
    left.set_yscale("log")
    numbered(left, SIZES)
    left.set_xlabel("rows of the reference")
    left.set_ylabel("rows a false alarm, lower end of 95 %")
    left.legend(frameon=False)
    names = [*map(name_of, TOLERANCES), _ALIBI]
    for number, name in enumerate(names):
        means = [
            float(np.mean([_delays(delays, i, share, name) for i in range(len(_shifts()))]))
            for share in SHARES
        ]
        right.plot(SHARES, means, "-o", color=COLOURS[number], markersize=3, label=name)
    right.set_yscale("log")
    right.set_xlabel("share of other rows")
    right.set_ylabel("rows to the alarm, mean over changes")
    right.legend(frameon=False)


if __name__ == "__main__":
    main()
