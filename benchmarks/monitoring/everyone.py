"""Did everyone move, or a few tenants: how soon is it told, and how often is it told wrongly?

Fleets of 3 to 1,000 tenants are changed all at once, in part, or one after the other, and the fleet
detector hears what their watches report each minute. Its alarm holds each tenant's own back, which
waits half an hour for it: so what counts is the time from the first tenant's alarm to the fleet's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from benchmarks.monitoring.fleet_streams import (
    BUSY,
    CHANGES,
    HEALTHY,
    LARGE,
    MINUTES,
    POLICY,
    TRAFFIC,
    UNALIKE,
    WEEK,
    Piece,
    Stream,
    Traffic,
    dealt,
    streams,
)
from benchmarks.monitoring.plots import COLOURS, numbered
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring.detectors import fleet
from monitoring.detectors.budget import Budget

FLEETS = {3: 30, 6: 30, 12: 20, 50: 4, 1000: 1}
LENGTH = WEEK / Budget.of(POLICY.alarms_per_week).fleet  # minutes a false alarm
PATIENCE = 30  # minutes that a tenant's alarm waits for the fleet's
PILED_WEEKS, QUIET_WEEKS = 8, 26
_MINUTE_US = 60 * 10**6

Key = tuple[str, str | None]  # traffic and change
Pool = dict[Key, list[Stream]]


@dataclass(frozen=True, slots=True)
class Found:
    """Fleets of one kind."""

    tenants: int
    traffic: str
    change: str
    delays: tuple[int | None, ...]  # minutes from the change to the fleet's alarm
    waits: tuple[int, ...]  # from the first own alarm to the fleet's, where both came
    alarms: int  # of the fleets, in all


def heard(members: Sequence[Stream]) -> list[int]:
    """Return the minutes at which the fleet's alarm began."""
    names = [f"t{number:04}" for number in range(len(members))]
    state = fleet.State.begin()
    found = []
    for minute in range(MINUTES):
        reports = {
            name: paid
            for name, member in zip(names, members, strict=True)
            if (paid := member.reports[minute]) is not None
        }
        if fleet.update(state, reports, names, minute * _MINUTE_US, LENGTH):
            found.append(minute)
    return found


def told(pool: Pool, tenants: int, traffic: Traffic, change: str, moved: int, fleets: int) -> Found:
    """Let so many tenants of each fleet move at once."""
    delays: list[int | None] = []
    waits, alarms = [], 0
    for number in range(fleets):
        members = [
            *dealt(pool[traffic.name, change], moved, number),
            *dealt(pool[traffic.name, None], tenants - moved, number),
        ]
        raised = heard(members)
        own = [at for member in members[:moved] if (at := member.alarm(tenants)) is not None]
        first = next((minute for minute in raised if minute >= HEALTHY), None)
        delays.append(None if first is None else first - HEALTHY + 1)
        if first is not None and own:
            waits.append(first - min(own))
        alarms += len(raised)
    return Found(tenants, traffic.name, change, tuple(delays), tuple(waits), alarms)


def piled(pool: Pool, tenants: int, weeks: float, fleets: int) -> int:
    """Return the alarms of fleets of which half move for good, one at a time, over the weeks.

    A tick is an hour, in which a tenant reports what it did in a minute of the busy fleet.
    """
    usual, other = pool[BUSY.name, None], pool[BUSY.name, LARGE]
    names = [f"t{number:04}" for number in range(tenants)]
    ticks, raised = round(weeks * 168), 0
    for number in range(fleets):
        draw = np.random.default_rng([tenants, number, 41])
        healthy, moved = dealt(usual, tenants, number), dealt(other, tenants, number)
        from_tick = [
            ticks * (place + 1) // (tenants // 2 + 1) if place < tenants // 2 else ticks
            for place in range(tenants)
        ]
        state = fleet.State.begin()
        for tick in range(ticks):
            minute = int(draw.integers(HEALTHY, MINUTES))
            said = {
                name: (moved if tick >= from_tick[place] else healthy)[place].reports[minute]
                for place, name in enumerate(names)
            }
            reports = {name: paid for name, paid in said.items() if paid is not None}
            raised += fleet.update(state, reports, names, tick * 60 * _MINUTE_US, LENGTH / 60)
    return raised


def unchanged(pool: Pool, tenants: int, weeks: float) -> int:
    """Return the alarms of a fleet in which nothing changes, for so many weeks of minutes."""
    draw = np.random.default_rng([tenants, 43])
    members = dealt(pool[BUSY.name, None], tenants, 0)
    names = [f"t{number:04}" for number in range(tenants)]
    state, raised = fleet.State.begin(), 0
    for tick in range(round(weeks * WEEK)):
        minutes = draw.integers(MINUTES, size=tenants).tolist()
        said = {
            name: member.reports[minute]
            for name, member, minute in zip(names, members, minutes, strict=True)
        }
        reports = {name: paid for name, paid in said.items() if paid is not None}
        raised += fleet.update(state, reports, names, tick * _MINUTE_US, LENGTH)
    return raised


def _parts(tenants: int) -> list[tuple[str, int]]:
    """Return how many move in what is not everyone."""
    found = {"1 tenant": 1, "2 tenants": 2, "a fifth": tenants // 5, "a third": tenants // 3}
    found["half"] = tenants // 2
    return [(name, moved) for name, moved in found.items() if 0 < moved < tenants]


def main() -> None:
    options = arguments("How soon a fleet's alarm is raised, and when not.").parse_args()
    count, parts = (12, 4) if options.quick else (72, 6)
    fleets = {3: 2, 6: 2} if options.quick else FLEETS
    kinds = [(traffic, change) for traffic in TRAFFIC for change in (None, *CHANGES)]
    work = [
        Piece(tuple(range(part, count, parts)), traffic, change)
        for traffic, change in kinds
        for part in range(parts)
    ]
    pool: Pool = {}
    for piece, found in zip(work, spread(streams, work, "tenants"), strict=True):
        pool.setdefault((piece.traffic.name, piece.change), []).extend(found)
    everyone = [
        told(pool, tenants, traffic, change, tenants, of)
        for traffic in TRAFFIC
        for change in CHANGES
        for tenants, of in fleets.items()
    ]
    partly = [
        (name, told(pool, tenants, traffic, LARGE, moved, of))
        for traffic in (BUSY, UNALIKE)
        for tenants, of in fleets.items()
        for name, moved in _parts(tenants)
    ]
    weeks, piled_weeks = (0.05, 1.0) if options.quick else (QUIET_WEEKS, PILED_WEEKS)
    quiet = {tenants: unchanged(pool, tenants, weeks) for tenants in fleets if tenants <= 12}
    stacked = {
        tenants: piled(pool, tenants, piled_weeks, 2 if options.quick else 4)
        for tenants in fleets
        if 6 <= tenants <= 50
    }
    report = Report(
        f"{PREFIX}everyone",
        "Did everyone move, or a few tenants: how soon is it told, and how often wrongly?",
        {
            "tenants": f"{count} for each change and traffic, of CLINC150, BANKING77 and film"
            " reviews in turn, references of 200, 500, 1000 rows; fleets are drawn from them",
            "fleets": ", ".join(f"{of} of {tenants:,}" for tenants, of in fleets.items()),
            "traffic": f"{', '.join(one.name for one in TRAFFIC)}; the last is a median of 6 a"
            " minute, a deviation of 1.5 of the logarithm, half of the minutes, each at its time",
            "change": f"after {HEALTHY} minutes, for {MINUTES - HEALTHY}; buckets of a minute",
            "budget": f"{POLICY.alarms_per_week:g} false alarms a week, tolerance"
            f" {POLICY.drift_tolerance:g}",
        },
    )
    report.tables += [_table(everyone, traffic) for traffic in TRAFFIC]
    report.tables += [_waits(everyone), _partly(partly), _null(quiet, stacked, weeks, piled_weeks)]
    few = [one for name, one in partly if name in {"1 tenant", "2 tenants", "a fifth"}]
    clear = [
        one for one in everyone if one.traffic == BUSY.name and not one.change.startswith("small")
    ]
    in_time = [wait <= PATIENCE for one in clear for wait in one.waits]
    report.bars += [
        Bar(
            f"alarms in {weeks:g} weeks without a change, the most of a fleet",
            max(quiet.values()),
            weeks * Budget.of(POLICY.alarms_per_week).fleet,
            at_least=False,
        ),
        Bar(
            "alarms where at most a fifth or two moved",
            sum(one.alarms for one in few),
            0,
            at_least=False,
        ),
        Bar("alarms where half moved one by one", sum(stacked.values()), 0, at_least=False),
        Bar(
            "share of moderate and large changes of busy fleets that are told within half an hour"
            " of the first tenant's alarm",
            float(np.mean(in_time)) if in_time else 0.0,
            0.95,
        ),
    ]
    report.measured = {
        "everyone": [
            [one.tenants, one.traffic, one.change, one.delays, one.waits, one.alarms]
            for one in everyone
        ],
        "partly": [
            [name, one.tenants, one.traffic, one.delays, one.alarms] for name, one in partly
        ],
    }

    def draw(panels: Sequence[Axes]) -> None:
        _draw(panels[0], everyone)

    published(report, options, draw)


def _table(everyone: Sequence[Found], traffic: Traffic) -> Rows:
    ours = [one for one in everyone if one.traffic == traffic.name]
    sizes = sorted({one.tenants for one in ours})
    return Rows(
        f"everyone moves, {traffic.name}: median minutes to the fleet's alarm (share told)",
        ("change", *(f"{size:,} tenants" for size in sizes)),
        [
            (change, *(_cell(one) for size in sizes for one in ours if _is(one, size, change)))
            for change in CHANGES
        ],
    )


def _is(one: Found, tenants: int, change: str) -> bool:
    return one.tenants == tenants and one.change == change


def _cell(one: Found) -> str:
    came = [delay for delay in one.delays if delay is not None]
    middle = np.median([delay or np.inf for delay in one.delays])
    minutes = f"{middle:.0f}" if np.isfinite(middle) else "-"
    return f"{minutes} ({len(came) / len(one.delays):.2f})"


def _waits(everyone: Sequence[Found]) -> Rows:
    lines = []
    for traffic in TRAFFIC:
        for tenants in sorted({one.tenants for one in everyone}):
            ours = [
                one for one in everyone if (one.tenants, one.traffic) == (tenants, traffic.name)
            ]
            waits = [wait for one in ours for wait in one.waits]
            came = [delay for one in ours for delay in one.delays if delay is not None]
            if waits:
                lines.append(
                    (
                        traffic.name,
                        f"{tenants:,}",
                        f"{np.median(waits):.0f}",
                        f"{np.quantile(waits, 0.95):.0f}",
                        f"{np.mean([wait <= PATIENCE for wait in waits]):.2f}",
                        f"{sum(one.alarms for one in ours) / len(came):.2f}",
                    )
                )
    return Rows(
        "from the first tenant's own alarm to the fleet's, all changes that were told",
        ("traffic", "tenants", "median minutes", "95 of 100", "within 30", "alarms a change"),
        lines,
    )


def _partly(partly: Sequence[tuple[str, Found]]) -> Rows:
    return Rows(
        "some tenants move at once, by another backbone, the others do not",
        ("tenants", "traffic", "that move", "fleets with an alarm", "median minutes to it"),
        [
            (
                f"{one.tenants:,}",
                one.traffic,
                name,
                f"{sum(delay is not None for delay in one.delays)} of {len(one.delays)}",
                _median([delay for delay in one.delays if delay is not None]),
            )
            for name, one in partly
        ],
    )


def _null(quiet: dict[int, int], stacked: dict[int, int], weeks: float, piled_weeks: float) -> Rows:
    allowed = weeks * Budget.of(POLICY.alarms_per_week).fleet
    return Rows(
        "alarms of fleets that did not move at once",
        ("tenants", "what happens", "alarms", "allowed in the mean"),
        [
            *(
                (f"{size:,}", f"nothing, {weeks:g} weeks", str(alarms), f"{allowed:.1f}")
                for size, alarms in quiet.items()
            ),
            *(
                (f"{size:,}", f"half move one by one in {piled_weeks:g} weeks", str(alarms), "")
                for size, alarms in stacked.items()
            ),
        ],
    )


def _median(values: Sequence[int]) -> str:
    return f"{np.median(values):.0f}" if values else "-"


def _draw(axes: Axes, everyone: Sequence[Found]) -> None:
    sizes = sorted({one.tenants for one in everyone})
    for colour, change in zip((*COLOURS, "#000000"), CHANGES, strict=False):
        ours = [
            next(one for one in everyone if _is(one, size, change) and one.traffic == BUSY.name)
            for size in sizes
        ]
        delays = [
            float(np.median([np.nan if delay is None else delay for delay in one.delays]))
            for one in ours
        ]
        axes.plot(sizes, delays, marker="o", markersize=3, color=colour, label=change)
    numbered(axes, sizes)
    axes.set_yscale("log")
    axes.set_xlabel("tenants")
    axes.set_ylabel(f"minutes to the alarm, {BUSY.name}")
    axes.legend(fontsize=6)


if __name__ == "__main__":
    main()
