"""How long does the watch run to a false alarm, and how soon does it find a change?

Null streams: rows of the population that are not in the reference, drawn with replacement, one in a
hundred sent twice. A detector that bears one false alarm in A rows must raise no more. Delays: rows
after a change until the alarm, beside alibi-detect's MMDDriftOnline at the same expected run
length, on the same rows.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from benchmarks.monitoring.plots import COLOURS, numbered
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.streams import (
    ALIBI,
    BEFORE,
    CAP,
    EQUAL,
    LEFT_MIN,
    REFERENCE,
    SHARES,
    SIZES,
    TARGET,
    TOLERANCES,
    TWICE,
    WINDOW,
    DelayFound,
    DelayPiece,
    NullFound,
    NullPiece,
    all_populations,
    all_shifts,
    delayed,
    name_of,
    null,
)
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from service.measures import Z95, Estimate


def main() -> None:
    options = arguments("Run length and delay of the continuous watch.").parse_args()
    rows, seeds = (2000, 1) if options.quick else (30_000, 4)
    references, streams, nulls = (1, 1, 1) if options.quick else (4, 6, 6)
    null_work = [
        NullPiece(number, size, seed, rows)
        for seed in range(seeds)
        for number, population in enumerate(all_populations())
        for size in SIZES
        if len(population) - size >= LEFT_MIN
    ]
    delay_work = [
        DelayPiece(shift, seed, streams, nulls)
        for seed in range(references)
        for shift in range(len(all_shifts()))
    ]
    nulls_found = spread(null, null_work, "null streams")
    delays = spread(delayed, delay_work, "streams that change")
    report = Report(
        f"{PREFIX}run-length",
        "How long does the watch run to a false alarm, and how soon does it find a change?",
        {
            "null streams": f"{len(null_work)} references of {SIZES[0]} to {SIZES[-1]:,} rows,"
            f" {rows:,} rows after each, {TWICE:.0%} of them twice; run length {TARGET:,}",
            "changes": f"{'; '.join(shift.name for shift in all_shifts())}; after {BEFORE} healthy"
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
        "alibi-detect's thresholds do not reckon with events that come twice; ours must bear them.",
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
    low = (max(0.0, math.sqrt(alarms + 0.25) - Z95 / 2)) ** 2
    high = (math.sqrt(alarms + 1) + Z95 / 2) ** 2
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
    for name in (*map(name_of, TOLERANCES), ALIBI):
        alarms = sum(one.null_alarms.get(name, 0) for one in found)
        sent = sum(one.null_rows[name] for one in found)
        rows.append((name, f"{sent:,}", str(alarms), _told(run_length(alarms, sent))))
    columns = ("", "rows sent", "false alarms", "rows a false alarm")
    return Rows(f"the detectors of the delays without a change, run length {EQUAL}", columns, rows)


def _delays(found: Sequence[DelayFound], shift: int, share: float, name: str) -> list[int]:
    return [delay for one in found if one.piece.shift == shift for delay in one.delays[share][name]]


def _delay_table(found: Sequence[DelayFound]) -> Rows:
    names = [*map(name_of, TOLERANCES), ALIBI]
    rows = []
    for number, shift in enumerate(all_shifts()):
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
            ours, theirs = one.delays[share][name], one.delays[share][ALIBI]
            logs.append(math.log(float(np.mean(ours)) / float(np.mean(theirs))))
    middle = float(np.mean(logs))
    half = Z95 * float(np.std(logs, ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
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
    names = [*map(name_of, TOLERANCES), ALIBI]
    for number, name in enumerate(names):
        means = [
            float(np.mean([_delays(delays, i, share, name) for i in range(len(all_shifts()))]))
            for share in SHARES
        ]
        right.plot(SHARES, means, "-o", color=COLOURS[number], markersize=3, label=name)
    right.set_yscale("log")
    right.set_xlabel("share of other rows")
    right.set_ylabel("rows to the alarm, mean over changes")
    right.legend(frameon=False)


if __name__ == "__main__":
    main()
