"""Streams of rows, without a change and with one, through the watch and alibi-detect's detector."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from benchmarks.monitoring.data import Population, Shift, populations, shifts
from benchmarks.monitoring.windows import reference_rows
from monitoring import codec
from monitoring.detectors import watch
from monitoring.rows import HalfArray

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

ALIBI = "alibi-detect MMDDriftOnline"


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
def all_populations() -> list[Population]:
    return populations()


@cache
def all_shifts() -> list[Shift]:
    return shifts()


def name_of(tolerance: float) -> str:
    """Return what the watch is called in tables."""
    return f"watch, tolerance {tolerance:g}"


def null(piece: NullPiece) -> NullFound:
    """Send a null stream, and count alarms."""
    population = all_populations()[piece.population]
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

    shift = all_shifts()[piece.shift]
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
        delays = found.delays[share] = {name: [] for name in (*ours, ALIBI)}
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
            delays[ALIBI].append(_delay(_their_alarms(theirs, stream)))
    _null_runs(found, ours, theirs, rest, draw)
    return found


def _alarms(baseline: watch.Baseline, stream: HalfArray) -> list[int]:
    return watch.update(baseline, watch.State.begin(baseline), stream, EQUAL)


def _their_alarms(detector: Any, stream: HalfArray) -> list[int]:
    """Return where alibi-detect alarms, up to the first one after the change.

    It begins anew after an alarm, as its documentation asks for.
    """
    detector.reset_state()
    alarms = []
    for row, embedding in enumerate(stream.astype(np.float32)):
        if detector.predict(embedding)["data"]["is_drift"]:
            alarms.append(row)
            if row >= BEFORE:
                break
            detector.reset_state()
    return alarms


def _delay(alarms: Sequence[int]) -> int:
    """Return how many rows after the change the first alarm came."""
    return next((row - BEFORE + 1 for row in alarms if row >= BEFORE), CAP)


def _null_runs(
    found: DelayFound,
    ours: dict[str, watch.Baseline | None],
    theirs: Any,
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
        theirs.reset_state()
        for embedding in stream.astype(np.float32):
            if theirs.predict(embedding)["data"]["is_drift"]:
                found.null_alarms[ALIBI] = found.null_alarms.get(ALIBI, 0) + 1
                theirs.reset_state()
            kept = theirs._detector  # noqa: SLF001
            found.history_bytes = max(
                found.history_bytes, kept.test_stats.nbytes + kept.drift_preds.nbytes
            )
        found.null_rows[ALIBI] = found.null_rows.get(ALIBI, 0) + len(stream)
