"""Method (b), the continuous watch: alarm once, soon, and rarely for nothing.

A Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo, arXiv 2203.03532): evidence that the rows
changed at some time. With increments e_n whose mean is at most 1 whatever happened before, as long
as nothing changed,

    R_n = (R_(n-1) + 1 / A_n) e_n,        alarm at R_n >= 1, then R_n = 0,

raises on average at most the sum of 1 / A_n false alarms: R_n less that sum falls in the mean, and
every alarm takes at least 1 away. With one run length A it is the usual form, divided by A: no
more than one false alarm in A rows, wherever one stops. A_n may follow traffic, as long as it is
known before the row is looked at.

R is the mean over some thirty bets, and a mean of e-detectors is one. They are on bounded events:
that a row is far from every prototype of the reference (`typical.py`), that it is more like recent
strangers (`newcomers.py`), that it lies where recent rows moved to (`witness.py`). The mean of what
a bet pays is at most 1 if its event is no likelier than a bound. The bound has two margins. One is
for the tolerance: the null is that up to this share of the rows is anything at all. The other is
for the reference's sampling error, since without it any such test in the end finds that a finite
reference is not the truth; so the claim is made given the reference, like that of arXiv
2602.13848, and not in the mean over references. For far rows all bounds together hold in 95 of 100
references, for any number of rows; along a direction of recent rows each bound does in 99.

Rows are taken to be independent while nothing changed. Some events sent twice do no harm.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitoring.detectors import newcomers, witness
from monitoring.detectors.axes import AXES, Coordinates, axes_of, coordinates
from monitoring.detectors.heading import BLOCK, Heading
from monitoring.detectors.prototypes import Steps, cross_fitted_nearness, prototypes_of, shuffled
from monitoring.detectors.typical import tails_of, tails_shown
from monitoring.references.rows import ReferenceRows
from monitoring.rows import FloatArray, HalfArray, IntArray
from monitoring.sketches.directions import quantised

ROWS_MIN = 50  # of a reference

_SHARES = (0.4, 0.4, 0.2)  # of what is bet: on far rows, on newcomers, on half-spaces
_STRANGE = 0.1  # share of the reference's rows as far as strangers
_SPELL_MAX = 1e12  # what a bet pays in a spell is cut here,
_SPELL_MIN = 1e-12  # and is at least this: a spell's mean is above 1 by no more
_SPELL_ROWS_MIN = 8
_SPELL_ANEW = 0.05  # share of a spell's stakes that goes by the weights, whatever paid before


@dataclass(frozen=True, slots=True)
class Baseline:
    """What rows are compared with: at most 320 KB for embeddings of 384."""

    rows: int  # m
    tolerance: float
    directions: IntArray  # [k + 16, hidden] int16: prototypes, then axes
    centre: FloatArray  # [16], of products with the axes
    factor: FloatArray  # [16]
    coordinates: IntArray  # [m or 1,000, 16] int16: of the reference's rows
    mean: FloatArray  # [hidden] float32, of the reference's rows
    sample: IntArray  # [r, hidden] int8: some of them
    sample_unit: float
    sample_nearness: FloatArray  # [r] float32
    strange: float  # nearness below which a row is a stranger
    limits: FloatArray  # [tails] of nearness
    far: FloatArray  # [tails + 1, bets]: what bets on far rows pay
    newcomer: FloatArray  # [levels + 2, bets]: the last line while there is no heading
    half_space: FloatArray  # [levels + 2, bets]
    weights: FloatArray  # [all bets], sum 1


def _none() -> FloatArray:
    return np.zeros(0)


@dataclass(slots=True)
class State:
    """What the watch remembers: about 6 KB for embeddings of 384, for ever."""

    rows: int  # seen since it began
    alarms: int
    alarm_rows: int  # rows seen at the last alarm; 0: there was none
    evidence: FloatArray  # [bets], in alarms: it alarms where the sum comes to 1
    axes: Heading
    strangers: Heading
    spell_rows: int  # since `taken`
    spell_paid: FloatArray = field(default_factory=_none)  # [bets], by them; [0] before any row
    spell_stakes: FloatArray = field(default_factory=_none)  # [bets], sum 1: by what paid before

    @staticmethod
    def begin(baseline: Baseline) -> "State":
        """Return the state before any row."""
        return State(
            rows=0,
            alarms=0,
            alarm_rows=0,
            evidence=np.zeros(len(baseline.weights)),
            axes=Heading.begin(AXES, len(witness.LEVELS)),
            strangers=Heading.begin(len(baseline.mean), len(newcomers.LEVELS)),
            spell_rows=0,
        )


def baseline(rows: ReferenceRows, *, seed: int, tolerance: float) -> Baseline | None:
    """Return the baseline of a reference; None without embeddings or for fewer than 50 rows.

    `tolerance` is the share of wholly foreign rows that is borne for ever, in [0, 1). Raises
    `ValueError` for an embedding that is not finite or whose norm is far from 1.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"a tolerance of {tolerance}")
    if rows.embeddings is None or len(rows.embeddings) < ROWS_MIN:
        return None
    steps = quantised(rows.embeddings)
    axes = axes_of(steps)
    kept = steps[:: -(-len(steps) // witness.ROWS_MAX)]
    nearness = cross_fitted_nearness(steps, seed)
    tails = tails_of(nearness, tolerance)
    drawn = np.sort(shuffled(len(steps), seed)[: newcomers.BYTES_MAX // steps.shape[1]])
    sample, unit = newcomers.coarse(steps[drawn])
    tables = (
        tails.factors,
        _with_none(newcomers.newcomer_factors(len(drawn), tolerance)),
        _with_none(witness.witness_factors(len(kept), tolerance)),
    )
    weights = [
        np.full(table.shape[1], share / table.shape[1])
        for share, table in zip(_SHARES, tables, strict=True)
    ]
    return Baseline(
        rows=len(steps),
        tolerance=tolerance,
        directions=np.concatenate([prototypes_of(steps, seed), axes.directions]).astype(np.int16),
        centre=axes.centre,
        factor=axes.factor,
        coordinates=axes.coordinates(kept @ axes.directions.T).astype(np.int16),
        mean=steps.mean(axis=0, dtype=np.float64).astype(np.float32),
        sample=sample,
        sample_unit=unit,
        sample_nearness=nearness[drawn],
        strange=float(np.sort(nearness)[math.ceil(_STRANGE * len(nearness))]),
        limits=tails.limits,
        far=tables[0],
        newcomer=tables[1],
        half_space=tables[2],
        weights=np.concatenate(weights),
    )


def update(
    baseline: Baseline, state: State, embeddings: HalfArray, run_length: float | FloatArray
) -> list[int]:
    """Take rows [n, hidden] in; return at which of them an alarm was raised.

    `run_length`, of all rows or of each [n], is in how many such rows one false alarm is borne,
    above 0; infinite: the row may spend nothing. After an alarm the evidence begins anew. The
    state's bits depend on the rows, their order and their run lengths alone, not on how the rows
    are split over calls. Raises `ValueError`, with nothing taken in, for an embedding that is not
    finite or whose norm is far from 1, and for a run length that is none.
    """
    lengths = np.broadcast_to(np.asarray(run_length, dtype=np.float64), (len(embeddings),))
    if not (lengths > 0).all():
        raise ValueError("a run length is not above 0")
    steps = quantised(embeddings)
    if not len(steps):
        return []
    products = steps @ baseline.directions.astype(np.float32).T
    nearness = products[:, :-AXES].max(axis=1)
    moved = coordinates(products[:, -AXES:], baseline.centre, baseline.factor)
    newcomer, half_space = _tried(baseline, state, steps, nearness, moved)
    paid = np.concatenate(
        [
            baseline.far[tails_shown(nearness, baseline.limits)],
            baseline.newcomer[newcomer],
            baseline.half_space[half_space],
        ],
        axis=1,
    )
    return _taken_in(state, baseline.weights, paid, 1 / lengths)


def evidence_log10(state: State, run_length: float) -> float | None:
    """Return the evidence as a power of ten: an alarm is raised at that of the run length.

    None before the first row, and right after an alarm.
    """
    total = float(state.evidence.sum())
    return math.log10(total) + math.log10(run_length) if total > 0 else None


def rows_since_alarm(state: State) -> int | None:
    """Return how many rows came after the last alarm; None where there was none.

    While a change lasts, the watch alarms again and again.
    """
    return state.rows - state.alarm_rows if state.alarm_rows else None


def taken(state: State) -> float | None:
    """Return the evidence against the rows since this was last asked, and begin a new spell.

    Its mean is at most 1 while nothing changed, whatever came before. It is what the bets paid,
    each at the stake that it won in the spells before; a twentieth is staked by the weights again
    at each, so that what paid long ago is given up (Herbster and Warmuth 1998, fixed share). None,
    and the spell goes on, while it has fewer than 8 rows.
    """
    if state.spell_rows < _SPELL_ROWS_MIN:
        return None
    won = state.spell_stakes * np.maximum(state.spell_paid, _SPELL_MIN)
    evidence = float(np.add.reduce(won))
    state.spell_stakes = won / evidence
    state.spell_rows = 0
    return evidence


def _with_none(table: FloatArray) -> FloatArray:
    """Return the table with a last line of bets that neither win nor lose."""
    return np.concatenate([table, np.ones((1, table.shape[1]))])


Places = npt.NDArray[np.intp]


def _tried(
    baseline: Baseline, state: State, steps: Steps, nearness: Steps, moved: Coordinates
) -> tuple[Places, Places]:
    """Return lines of the tables of bets on newcomers and on half-spaces, by row."""
    newcomer = np.full(len(steps), len(baseline.newcomer) - 1, dtype=np.intp)
    half_space = np.full(len(steps), len(baseline.half_space) - 1, dtype=np.intp)
    strange = nearness < baseline.strange
    start = 0
    while start < len(steps):
        part = slice(start, start + BLOCK - state.axes.count)
        if state.strangers.is_known:
            along = steps[part] @ state.strangers.direction - nearness[part]
            newcomer[part] = state.strangers.beyond(along)
        if state.axes.is_known:
            half_space[part] = state.axes.beyond(moved[part] @ state.axes.direction)
        state.strangers.saw(steps[part][strange[part]])
        state.axes.saw(moved[part])
        start = part.stop
        if state.axes.count == BLOCK:
            _turned(baseline, state)
    return newcomer, half_space


def _turned(baseline: Baseline, state: State) -> None:
    """Begin a block."""
    witness.turn(state.axes, baseline.coordinates.astype(np.float32))
    if state.strangers.count >= newcomers.STRANGERS_MIN:
        newcomers.turn(
            state.strangers,
            baseline.mean,
            baseline.sample,
            baseline.sample_unit,
            baseline.sample_nearness,
        )


def _taken_in(state: State, weights: FloatArray, paid: FloatArray, spent: FloatArray) -> list[int]:
    """Multiply the evidence by what each row's bets [n, bets] paid; return the alarms."""
    alarms = []
    if not state.spell_rows or not len(state.spell_paid):
        _begin_spell(state, weights)
    evidence, spell = state.evidence, state.spell_paid
    for row, (share, factor) in enumerate(zip(spent[:, None] * weights, paid, strict=True)):
        evidence += share
        evidence *= factor
        if np.add.reduce(evidence) >= 1:
            alarms.append(row)
            evidence[:] = 0
        spell *= factor
        np.minimum(spell, _SPELL_MAX, out=spell)
    state.spell_rows += len(paid)
    if alarms:
        state.alarm_rows = state.rows + alarms[-1] + 1
    state.rows += len(paid)
    state.alarms += len(alarms)
    return alarms


def _begin_spell(state: State, weights: FloatArray) -> None:
    before = state.spell_stakes if len(state.spell_stakes) else weights
    state.spell_stakes = (1 - _SPELL_ANEW) * before + _SPELL_ANEW * weights
    state.spell_paid = np.ones(len(weights))
