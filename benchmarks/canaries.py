"""Canaries that are no worse, and canaries that are: how many are taken out, and after how long.

python -m benchmarks.canaries [--quick]
"""

import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.canary_folds import fold_runs
from benchmarks.canary_habits import habits_table
from benchmarks.canary_log import Events, fold_events
from benchmarks.canary_lots import Kind, LotRuns, Lots, simulate_lots
from benchmarks.canary_runs import NEVER, Runs, Setting, Truths, simulate
from benchmarks.report import Bar, Report, Rows, arguments, publish
from service.measures import wilson

PERCENTS = (1.0, 10.0, 50.0)
MOST = (75.0, 90.0)  # where the canary answers more than live
WITHIN = 500


def healthy() -> list[Setting]:
    """Return canaries that are as good as live, or two points better."""
    accuracies, together = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99), (0.0, 0.5, 0.9)
    return [
        Setting(live, min(live + better, 0.995), same, percent)
        for live, same, percent, better in product(accuracies, together, PERCENTS, (0.0, 0.02))
    ]


def worse() -> list[Setting]:
    """Return canaries that are ten points worse."""
    accuracies, together = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6), (0.0, 0.3, 0.6, 0.9)
    return [
        Setting(live, live - 0.1, same, percent)
        for live, same, percent in product(accuracies, together, PERCENTS)
    ]


def mostly() -> list[Setting]:
    """Return canaries that are ten points worse, and have most of the requests."""
    pairs = ((0.95, 0.6), (0.9, 0.3), (0.8, 0.3))
    return [Setting(live, live - 0.1, same, percent) for percent in MOST for live, same in pairs]


def complained_of() -> list[Setting]:
    """Return canaries where wrong answers are labelled rather: as good, or ten points worse."""
    return [
        Setting(live, live - behind, 0.3, percent, chosen)
        for behind, chosen, live, percent in product(
            (0.0, 0.1), (1.5, 3.0, 1e6), (0.7, 0.9), (10.0, 50.0)
        )
    ]


def share_of(runs: Runs, name: str, until: int, of: Truths | None = None) -> tuple[int, int]:
    """Return how many runs were called worse until a row, and how many there are."""
    when = runs.each(name)
    if of is not None:
        when = when[of]
    return int((when <= until).sum()), len(when)


def told(count: int, whole: int) -> str:
    """Return a share with its interval."""
    found = wilson(count, whole)
    return f"{found.value:.2%} ({found.lower:.2%} to {found.upper:.2%})"


def false_rollbacks(runs: Runs, rows: int) -> tuple[Rows, dict[str, object]]:
    """Return the table of canaries that were taken out and are no worse."""
    equal = np.array([each.canary == each.live for each in runs.settings])[runs.of]
    names = {
        "gone": "the controller, all measures together",
        "accuracy": "of it, by accuracy",
        "failures": "of it, by failures",
        "latency": "of it, by latency",
        "z every row": "a z-test of the same bets at 1 %, looked at after every row",
        "z at 500": "the same, looked at once, after 500 rows",
    }
    lines: list[tuple[str, ...]] = []
    measured: dict[str, object] = {}
    for name, words in names.items():
        every = share_of(runs, name, rows)
        lines.append(
            (
                words,
                told(*every),
                told(*share_of(runs, name, rows, equal)),
                told(*share_of(runs, name, rows, ~equal)),
            )
        )
        measured[name] = every
    columns = ("", "of all", "as good as live", "2 points better")
    return Rows(f"taken out within {rows:,} labelled rows, no worse", columns, lines), measured


def worst_of(runs: Runs, rows: int) -> tuple[float, Setting]:
    """Return the largest share of one setting, and the setting."""
    gone = runs.gone <= rows
    shares = [float(gone[runs.of == number].mean()) for number in range(len(runs.settings))]
    worst = int(np.argmax(shares))
    return shares[worst], runs.settings[worst]


def delays(runs: Runs, title: str) -> tuple[Rows, dict[str, object]]:
    """Return the table of canaries that are ten points worse."""
    lines: list[tuple[str, ...]] = []
    measured: dict[str, object] = {}
    for number, setting in enumerate(runs.settings):
        mine = runs.of == number
        when = runs.gone[mine]
        within = float((when <= WITHIN).mean())
        once = share_of(runs, "z at 500", WITHIN, mine)
        lines.append(
            (
                f"{setting.live:g} to {setting.canary:.2g}",
                f"{setting.together:g}",
                f"{setting.percent:g}",
                f"{within:.1%}",
                shown(float(np.median(when))),
                shown(float(np.quantile(when, 0.9, method="higher"))),
                f"{once[0] / once[1]:.1%}",
            )
        )
        key = f"{setting.live:g} {setting.together:g} {setting.percent:g}"
        measured[key] = {"within": within, "median": lines[-1][4], "p90": lines[-1][5]}
    columns = (
        "accuracy",
        "errors together",
        "percent",
        f"gone within {WITHIN}",
        "median",
        "9 in 10",
        "one z-test at 500",
    )
    return Rows(f"{title}: labelled rows of its own until it is gone", columns, lines), measured


def shown(rows: float) -> str:
    """Return a number of rows; beyond what was run, only that."""
    return "beyond" if rows >= NEVER / 2 else f"{rows:,.0f}"


def biased(runs: Runs, rows: int) -> Rows:
    """Return the table of labels that depend on the answers."""
    lines = []
    for number, setting in enumerate(runs.settings):
        mine = runs.of == number
        chosen = "only wrong ones" if setting.chosen > 100 else f"{setting.chosen:g} times"
        equal = setting.live == setting.canary
        within = rows if equal else WITHIN
        lines.append(
            (
                f"{chosen}, accuracy {setting.live:g}, percent {setting.percent:g}",
                "as good" if equal else "10 points worse",
                f"{within:,}",
                *(told(*share_of(runs, name, within, mine)) for name in ("gone", "bare")),
            )
        )
    columns = (
        "wrong answers are labelled so much likelier",
        "the canary",
        "labelled rows",
        "taken out",
        "by the canary's own answers alone",
    )
    return Rows("labels that depend on the answers", columns, lines)


def complained(runs: Runs, rows: int) -> tuple[int, int]:
    """Return how many were taken out of those that are as good as live, and how many there are."""
    equal = np.array([each.canary == each.live for each in runs.settings])[runs.of]
    return share_of(runs, "gone", rows, equal)


def folded_runs(runs: int, rows: int) -> tuple[Rows, dict[str, object]]:
    """Return the table of canaries that went through the service's own fold."""
    lines: list[tuple[str, ...]] = []
    measured: dict[str, object] = {}
    for name, setting in {
        "as good as live: 0.9": Setting(0.9, 0.9, 0.5, 30.0),
        "ten points worse: 0.9 to 0.8": Setting(0.9, 0.8, 0.5, 30.0),
    }.items():
        when = fold_runs(setting, runs, rows, seed=4)
        count = int((when <= WITHIN).sum())
        whole = int((when < NEVER).sum())
        lines.append((name, told(whole, runs), told(count, runs), shown(float(np.median(when)))))
        measured[name] = {"gone": whole, "within": count, "runs": runs}
    columns = ("", f"gone within {rows:,}", f"gone within {WITHIN}", "median")
    title = "through the service's own fold: labels late, in any order, one in ten twice"
    return Rows(title, columns, lines), measured


def lots_of() -> list[Lots]:
    """Return canaries whose rows are no draws of their own."""
    kinds: tuple[Kind, ...] = ("identical", "noisy", "by domain", "worse")
    return [
        lots
        for kind in kinds
        for lots in (
            *(Lots(kind, rows) for rows in (1, 5, 20, 50)),
            *(Lots(kind, rows, chosen=5.0) for rows in (1, 20)),
            Lots(kind, keyed=True),
        )
    ]


def simulated_lots(runs: int, rows: int) -> list[tuple[Lots, LotRuns]]:
    """Return the runs of each, with more rows where a request has 20 and more.

    Of those with one row a request there are more runs: they come nearest to alpha.
    """
    return [
        (
            lots,
            simulate_lots(
                lots,
                runs * (4 if lots.rows == 1 and not lots.keyed and lots.kind != "worse" else 1),
                rows * (1 if lots.rows < 20 else 4),
                seed=5,
            ),
        )
        for lots in lots_of()
    ]


def lots_table(found: list[tuple[Lots, LotRuns]], rows: int) -> tuple[Rows, dict[str, object]]:
    """Return the table of requests with many rows, and of callers with keys."""
    lines: list[tuple[str, ...]] = []
    measured: dict[str, object] = {}
    for lots, runs in found:
        count, whole = int((runs.gone < NEVER).sum()), len(runs.gone)
        single, bare = (float((each < NEVER).mean()) for each in (runs.by_rows, runs.bare))
        median = shown(float(np.median(runs.gone)))
        within = f"{rows * (1 if lots.rows < 20 else 4):,}"
        lines.append(
            (lots.told, within, told(count, whole), f"{bare:.2%}", f"{single:.2%}", median)
        )
        measured[lots.told] = {"gone": count, "runs": whole, "by rows": single, "median": median}
        if lots.keyed and lots.kind == "by domain":
            worse = runs.worse_for_them
            its = int((runs.gone[worse] < NEVER).sum())
            measured["keyed by domain, worse for its own callers"] = (its, int(worse.sum()))
    columns = (
        "10 % of the requests",
        "labelled rows",
        "gone",
        "by the canary's own requests alone",
        "had each row been bet on",
        "median",
    )
    return Rows("rows that are no draws of their own", columns, lines), measured


def no_draws(found: list[tuple[Lots, LotRuns]]) -> tuple[int, int]:
    """Return how many canaries without keys were taken out that are no worse, and how many are."""
    mine = [runs.gone for lots, runs in found if lots.kind != "worse" and not lots.keyed]
    return int(sum((gone < NEVER).sum() for gone in mine)), sum(map(len, mine))


def worst_lots(found: list[tuple[Lots, LotRuns]]) -> float:
    """Return the largest share of one of these."""
    mine = [runs.gone for lots, runs in found if lots.kind != "worse" and not lots.keyed]
    return max(float((gone < NEVER).mean()) for gone in mine)


def realistic(setting: Setting) -> bool:
    """Return whether versions of one adapter are like that."""
    return setting.live >= 0.8 and setting.together >= 0.3


def main() -> None:
    """Run the benchmark."""
    options = arguments("False and missed rollbacks of canaries.").parse_args()
    begun = time.process_time()
    each, rows, poor = (20, 500, 50) if options.quick else (190, 3_000, 400)
    well = simulate(healthy(), each, rows, seed=1, requests=True)
    bad = simulate(worse(), poor, 500 if options.quick else 1_000, seed=2)
    complaints = simulate(complained_of(), poor, rows if options.quick else 2_000, seed=3)
    most = simulate(mostly(), poor, 500 if options.quick else 2_000, seed=6)
    many = simulated_lots(40 if options.quick else 1_000, 500 if options.quick else 2_500)
    simulated_s = time.process_time() - begun
    with TemporaryDirectory() as folder:
        folded = fold_events(Path(folder), 5_000 if options.quick else 60_000)
    own = folded_runs(*((10, 300) if options.quick else (150, 800)))
    habits, (changed, of) = habits_table(20 if options.quick else 300)
    report = report_of(well, bad, complaints, rows, folded)
    lots = lots_table(many, 500 if options.quick else 2_500)
    late, _ = delays(most, "ten points worse, with most of the requests")
    report.tables[3:3] = [habits, late, lots[0], own[0]]
    count, whole = no_draws(many)
    report.bars[2:2] = [
        Bar("false rollbacks, complaints", np.divide(*complained(complaints, 2_000)), 0.01, False),
        Bar("false rollbacks, labels that come otherwise with time", changed / of, 0.01, False),
        Bar("false rollbacks, many rows a request", count / whole, 0.01, at_least=False),
        Bar("the same, worst setting", worst_lots(many), 0.01, at_least=False),
    ]
    report.measured |= {"lots": lots[1]} | {"own fold": own[1], "simulated_cpu_s": simulated_s}
    publish(report, options)


def notes(worst: Setting, share: float) -> list[str]:
    """Return what has to be said beside the tables."""
    words = f"""
Realistic: live is right in 0.8 of the cases or more, and a share of 0.3 or more of the texts is as
hard for one version as for the other.

The worst setting of those that are no worse, by chance too: {share:.1%} taken out, {worst}.

`errors together` is the share of texts on which one draw decides for both versions whether they are
wrong; on the others each has a draw of its own.

The last column is what one z-test of the same bets after 500 rows finds, which may look only once.
One request in ten has no twin, here as in the service; to each labelled request of the canary's
that both answered there is one of live's. Where the canary has most of the requests, fewer of its
own have twins, and evidence comes as slowly as live's labels do.

Labels that depend on the answers: a wrong answer, of whichever version was shown, is labelled so
much likelier than a right one. By the canary's own answers alone every complaint is evidence.

Many rows a request: each request has one domain and one difficulty (0.12, or 0.4 for one in four),
and all its rows are labelled together; it is bet on once. Callers with keys: 200, asking as 1 / n,
each of one domain and on one side for good. A version that is as good on the whole may be worse for
the callers that it happened to get; that is what these are taken out for.
"""
    return [" ".join(each.split()) for each in words.strip().split("\n\n")]


def report_of(well: Runs, bad: Runs, complaints: Runs, rows: int, folded: Events) -> Report:
    """Return what was found."""
    report = Report(
        "canaries",
        "How many canaries are taken out that are no worse than live, and how soon is one gone that"
        " is ten points worse?",
        {
            "no worse": f"{len(well.of):,} canaries, {len(well.settings)} settings: accuracy 0.5 to"
            " 0.99; errors independent, half and nine tenths on the same texts; 1, 10 and 50 % of"
            f" the requests; as good, or 2 points better; {rows:,} labelled rows of their own each,"
            " looked at after every one; requests fail and lag in bursts meanwhile",
            "worse": f"{len(bad.of):,} canaries, {len(bad.settings)} settings",
            "live's own labels": "of as many requests that both answered, by its share of them",
            "alpha": "0.01, all measures together",
        },
    )
    table, measured = false_rollbacks(well, rows)
    late, delayed = delays(bad, "ten points worse")
    worst, setting = worst_of(well, rows)
    within = {
        number: float((bad.gone[bad.of == number] <= WITHIN).mean())
        for number in range(len(bad.settings))
    }
    like = [within[number] for number, each in enumerate(bad.settings) if realistic(each)]
    count, whole = share_of(well, "gone", rows)
    report.bars = [
        Bar("false rollbacks, of all that are no worse", count / whole, 0.01, at_least=False),
        Bar("the same, upper end of its interval", wilson(count, whole).upper, 0.01, False),
        Bar("gone within 500, mean of realistic settings", float(np.mean(like)), 0.95),
        Bar("gone within 500, worst of realistic settings", min(like), 0.9),
        Bar("gone within 500, worst of all settings", min(within.values()), 0.9),
        Bar("CPU of 1,000 events, all of adapters on trial", folded.mine_s, 0.05, False, "s"),
    ]
    report.tables = [table, late, biased(complaints, 2_000), folded.table()]
    report.notes = notes(setting, worst)
    report.measured = {"false": measured, "delays": delayed, "fold": folded.measured()}
    return report


if __name__ == "__main__":
    main()
