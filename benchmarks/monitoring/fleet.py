"""A thousand tenants, four weeks, nothing changed: how many alarms?

The watches and the fleet detector run as in the sidecar: by event time, one tick every five
minutes, run lengths by the budget. Labels are looked at as the sidecar does, for a part of the
tenants. Then, so that silence alone does not pass, some tenants drift, and all at once break.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks.monitoring.data import Population, populations
from benchmarks.monitoring.plots import COLOURS
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.shares import share_of
from benchmarks.monitoring.windows import labelled, reference_rows
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring.assessment import harm
from monitoring.assessment.alarms import Alarms
from monitoring.assessment.memo import Memo
from monitoring.assessment.policy import Policy
from monitoring.detectors import calibration, fleet, watch
from monitoring.detectors.budget import WEEK_US, Budget, level, run_lengths
from monitoring.rows import HalfArray, IntArray
from service.measures import Z95, wilson

POLICY = Policy()
WEEKS = 4
SIZES = (200, 500, 1000)
PER_DAY, SPREAD = 60.0, 1.0  # median of predictions a day, and of its logarithm the deviation
TWICE = 0.01
DRIFTED = 0.4  # share of other rows where a tenant drifts
LABELLED_TENANTS = 10  # every so many has labels,
LABELLED = 20  # of every so many predictions

_DAY_US = 86_400 * 10**6
_TICK_US = POLICY.bucket_s * 10**6
_TICKS = WEEK_US // _TICK_US
_AFTER_US = 2 * _DAY_US  # that the changed part lasts

Ticks = dict[int, float]  # what a tenant reports, by tick


@dataclass(frozen=True, slots=True)
class Piece:
    """Some tenants of the fleet."""

    tenants: tuple[int, ...]
    of: int  # tenants in all
    weeks: int


@dataclass(slots=True)
class Tenant:
    """What one tenant's detectors said."""

    number: int
    rows: int = 0
    alarms: int = 0  # of the watch
    label_alarms: int | None = None  # None: no labels
    healthy: Ticks = field(default_factory=dict)
    broken: Ticks = field(default_factory=dict)  # after the weeks, everything broken
    broken_rows: int | None = None  # to the watch's alarm
    drifted_rows: int | None = None  # the same, where some rows come from elsewhere
    drifted_hours: float | None = None


@cache
def _populations() -> list[Population]:
    return populations()


def lived(piece: Piece) -> list[Tenant]:
    """Let some tenants live through the weeks, and through changes after them."""
    return [_lived(number, piece) for number in piece.tenants]


def _lived(number: int, piece: Piece) -> Tenant:
    draw = np.random.default_rng([number, 11])
    population = _populations()[number % 3]
    other = _populations()[(number + 1) % 3].embeddings
    order = draw.permutation(len(population))
    size = SIZES[number // 3 % len(SIZES)]
    own, rest = population.taken(order[:size]), order[size:]
    baseline = watch.baseline(
        reference_rows(own), seed=POLICY.seed, tolerance=POLICY.drift_tolerance
    )
    assert baseline is not None
    rate = float(np.clip(PER_DAY * np.exp(SPREAD * draw.normal()), 10, 1500))
    end_us = piece.weeks * WEEK_US
    times = _arrivals(rate, 0, end_us, draw)
    rows = rest[draw.integers(len(rest), size=len(times))]
    again = np.flatnonzero(draw.random(len(times) - 1) < TWICE)
    rows[again + 1] = rows[again]
    found = Tenant(number, rows=len(rows))
    state, latest = watch.State.begin(baseline), None
    alarms, latest = _watched(
        baseline, state, population.embeddings, rows, times, latest, piece.of, found.healthy
    )
    found.alarms = len(alarms)
    if number % LABELLED_TENANTS == 0:
        found.label_alarms = _looked_at(own, population.taken(rows), times, piece.of)
    later = _arrivals(rate, end_us, end_us + _AFTER_US, draw)
    usual = population.embeddings[rest[draw.integers(len(rest), size=len(later))]]
    foreign = other[draw.integers(len(other), size=len(later))]
    mixed = np.where(draw.random(len(later))[:, None] < DRIFTED, foreign, usual)
    broken = usual[:, draw.permutation(usual.shape[1])]  # a dimension in another's place
    kept = _copied(state)
    at, _ = _watched(baseline, kept, mixed, None, later, latest, piece.of, {})
    if at:
        found.drifted_rows = at[0] + 1
        found.drifted_hours = float(later[at[0]] - end_us) / 3.6e9
    at, _ = _watched(baseline, state, broken, None, later, latest, piece.of, found.broken)
    found.broken_rows = at[0] + 1 if at else None
    return found


def _arrivals(per_day: float, start_us: int, end_us: int, draw: np.random.Generator) -> IntArray:
    """Return times of a Poisson process that is slower at night."""
    days = (end_us - start_us) / _DAY_US
    count = 2 + int(draw.poisson(per_day * days))
    whole = draw.integers(0, int(days), size=count)
    part = draw.random(count)
    part = part + 0.1 * np.sin(2 * np.pi * part)
    found: IntArray = np.sort(start_us + ((whole + part % 1) * _DAY_US).astype(np.int64))
    return found


def _watched(
    baseline: watch.Baseline,
    state: watch.State,
    embeddings: HalfArray,
    rows: IntArray | None,
    times: IntArray,
    latest: int | None,
    tenants: int,
    ticks: Ticks,
) -> tuple[list[int], int | None]:
    """Send rows tick by tick, as the sidecar does; note reports, return where alarms were."""
    lengths, latest = run_lengths(
        times,
        latest,
        alarms_per_week=Budget.of(POLICY.alarms_per_week).watches,
        detectors=tenants,
    )
    alarms: list[int] = []
    ends = np.flatnonzero(np.diff(times // _TICK_US)) + 1
    edges = [0, *ends.tolist(), len(times)]
    for start, stop in itertools.pairwise(edges):
        own = embeddings[start:stop] if rows is None else embeddings[rows[start:stop]]
        alarms += [start + at for at in watch.update(baseline, state, own, lengths[start:stop])]
        evidence = watch.taken(state)
        if evidence is not None:
            ticks[int(times[stop - 1] // _TICK_US)] = evidence
    return alarms, latest


def _copied(state: watch.State) -> watch.State:
    from monitoring import codec

    return codec.decode(codec.encode(state), watch.State)


def _looked_at(own: Population, stream: Population, times: IntArray, tenants: int) -> int:
    """Return how many alarms labels raise, looked at whenever one came; the latest 7 days."""
    right = own.class_index == own.label_index
    reference = wilson(int(right.sum()), len(right))
    kept = np.arange(0, len(times), LABELLED)
    confidence = stream.probabilities[kept, stream.class_index[kept]].astype(np.float32)
    truths = stream.class_index[kept] == stream.label_index[kept]
    came = times[kept]
    alarms: Alarms = ()
    for number, now in enumerate(came.tolist(), 1):
        first = int(np.searchsorted(came, now - WEEK_US))
        if number - first < POLICY.labels_min:
            continue
        told = calibration.assess(
            None,
            labelled(confidence[first:number], truths[first:number]),
            labels_min=POLICY.labels_min,
        )
        memo = Memo(calibration_error=told.error, accuracy=told.accuracy)
        wider = _wider(tenants, number)
        alarms = harm.judged(alarms, memo, reference, POLICY, wider, now)
    return len(alarms)


def _wider(tenants: int, labels: int) -> float:
    """Return how much wider an interval must be to alarm: what the sidecar's budget gives."""
    allowed = level(
        alarms_per_week=Budget.of(POLICY.alarms_per_week).labels,
        detectors=tenants,
        decisions_per_week=2 * min(float(_TICKS), labels),
    )
    return max(1.0, -NormalDist().inv_cdf(min(0.025, allowed)) / Z95)


def fleet_alarms(tenants: Sequence[Tenant], weeks: int, *, broken: bool) -> list[int]:
    """Return the ticks at which the fleet detector alarms, from its beginning.

    With `broken`, those after the weeks; the healthy weeks come before them.
    """
    length = _TICKS / Budget.of(POLICY.alarms_per_week).fleet
    by_tick: dict[int, dict[str, float]] = {}
    for tenant in tenants:
        reports = {**tenant.healthy, **(tenant.broken if broken else {})}
        for tick, paid in reports.items():
            by_tick.setdefault(tick, {})[str(tenant.number)] = paid
    names = [str(tenant.number) for tenant in tenants]
    state = fleet.State.begin()
    last = weeks * _TICKS + (_AFTER_US // _TICK_US if broken else 0)
    return [
        tick
        for tick in range(last)
        if fleet.update(state, by_tick.get(tick, {}), names, tick * _TICK_US, length)
    ]


def main() -> None:
    options = arguments("False alarms of a fleet in four weeks.").parse_args()
    count, weeks = (20, 1) if options.quick else (1000, WEEKS)
    parts = 4 if options.quick else 50
    work = [Piece(tuple(range(part, count, parts)), count, weeks) for part in range(parts)]
    found = [tenant for part in spread(lived, work, "tenants") for tenant in part]
    healthy = fleet_alarms(found, weeks, broken=False)
    broken = [tick for tick in fleet_alarms(found, weeks, broken=True) if tick >= weeks * _TICKS]
    with_labels = [tenant.label_alarms for tenant in found if tenant.label_alarms is not None]
    watches = sum(tenant.alarms for tenant in found)
    alarms = watches + len(healthy) + sum(with_labels)
    report = Report(
        f"{PREFIX}fleet",
        "A thousand tenants, four weeks, nothing changed: how many alarms?",
        {
            "tenants": f"{count:,}: CLINC150, BANKING77 and film reviews in turn, references of"
            f" {', '.join(map(str, SIZES))} rows",
            "traffic": f"{sum(tenant.rows for tenant in found):,} predictions in {weeks} weeks, a"
            f" median of {PER_DAY:g} a day and tenant, less at night; {TWICE:.0%} come twice",
            "budget": f"{POLICY.alarms_per_week:g} false alarms a week over the whole fleet,"
            f" tolerance {POLICY.drift_tolerance:g}",
            "labels": f"of one tenant in {LABELLED_TENANTS}, of one prediction in {LABELLED}",
        },
    )
    budget = Budget.of(POLICY.alarms_per_week)
    looks = share_of([1.0 if any_ else 0.0 for any_ in with_labels])
    report.tables.append(
        Rows(
            f"alarms in {weeks} weeks without a change",
            ("", "detectors", "alarms", "allowed in the mean"),
            [
                ("watches", f"{count:,}", str(watches), f"{weeks * budget.watches:.1f}"),
                ("fleet detector", "1", str(len(healthy)), f"{weeks * budget.fleet:.1f}"),
                (
                    "labels",
                    f"{len(with_labels)} of {count:,}",
                    str(sum(with_labels)),
                    f"{weeks * budget.labels * len(with_labels) / count:.2f}",
                ),
                (
                    "a test at 0.05 every hour",
                    f"{count:,}",
                    f"{0.05 * 168 * weeks * count:,.0f} (reckoned)",
                    "",
                ),
                ("fires never", f"{count:,}", "0", ""),
            ],
        )
    )
    report.tables.append(_changes(found, broken, weeks))
    report.bars.append(Bar("alarms a week", alarms / weeks, POLICY.alarms_per_week, at_least=False))
    report.measured = {
        "tenants": [
            [
                t.number,
                t.rows,
                t.alarms,
                t.label_alarms,
                t.drifted_rows,
                t.drifted_hours,
                t.broken_rows,
            ]
            for t in found
        ],
        "fleet alarms": healthy,
        "fleet alarms when all broke": broken,
        "labelled tenants that alarmed": [looks.times, looks.of],
    }

    def draw(panels: Sequence[Axes]) -> None:
        _draw(panels[0], found)

    published(report, options, draw)


def _changes(found: Sequence[Tenant], broken: Sequence[int], weeks: int) -> Rows:
    """Return what happened when something did change: the alarms are not bought by silence."""
    drifted = [tenant.drifted_rows for tenant in found if tenant.drifted_rows is not None]
    hours = [tenant.drifted_hours for tenant in found if tenant.drifted_hours is not None]
    broke = [tenant.broken_rows for tenant in found if tenant.broken_rows is not None]
    first = (
        f"{(broken[0] + 1 - weeks * _TICKS) * POLICY.bucket_s / 60:,.0f} minutes"
        if broken
        else "never"
    )
    return Rows(
        "and when something changes, each for two days",
        ("", "alarmed", "median rows to it", "median time to it"),
        [
            (
                f"{DRIFTED:.0%} of a tenant's rows from elsewhere",
                str(share_of([tenant.drifted_rows is not None for tenant in found])),
                _median(drifted),
                f"{_median(hours)} hours",
            ),
            (
                "everything broke: tenants' own watches",
                str(share_of([tenant.broken_rows is not None for tenant in found])),
                _median(broke),
                "",
            ),
            ("everything broke: the fleet detector", "yes" if broken else "no", "", first),
        ],
    )


def _median(values: Sequence[float]) -> str:
    return f"{float(np.median(values)):,.1f}" if values else "-"


def _draw(axes: Axes, found: Sequence[Tenant]) -> None:
    rates: NDArray[np.float64] = np.array([t.rows / WEEKS / 7 for t in found])
    hours = np.array([np.nan if t.drifted_hours is None else t.drifted_hours for t in found])
    axes.scatter(rates, hours, s=5, alpha=0.5, color=COLOURS[0])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("predictions a day")
    axes.set_ylabel(f"hours to the alarm, {DRIFTED:.0%} other rows")


if __name__ == "__main__":
    main()
