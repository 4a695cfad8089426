"""What a shadow costs: the same texts with none, one and four, and the bare backbone beside some.

python -m benchmarks.shadows [--quick]
"""

from contextlib import ExitStack

import numpy as np

from benchmarks.adapters import random_adapters
from benchmarks.bundles import QUERY_VALUE, exported
from benchmarks.crowd import Crowd
from benchmarks.engine import chosen_provider
from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.rounds import Rates, Ratio, interleave, show, timed
from benchmarks.texts import adapters_of, banking_texts_or_skip
from service.engine.tokens import Tokeniser

TENANTS = 32
RANK = 8
IN_FLIGHT = 64
SHADOWS = (1, 4)
MOST = max(SHADOWS)

SHARES = (0.02, 1.0)  # of the texts, which the bare backbone answers too; the first is the default

NONE = "no shadow"
TWICE = "no shadow, every text asked of two adapters"


def named(shadows: int) -> str:
    """Return the contestant's name."""
    return f"{shadows} shadow{'s' if shadows > 1 else ''}"


def beside(share: float) -> str:
    """Return the contestant's name."""
    return f"the bare backbone beside {share:.0%} of the texts"


def cost(rates: Rates, name: str, shadows: float = 1) -> Ratio:
    """Return what one shadow adds to a text, over what a text takes without; paired by round."""
    mine, plain = rates.by_round[name], rates.by_round[NONE]
    paired = [(plain[n] / mine[n] - 1.0) / shadows for n in sorted(mine.keys() & plain.keys())]
    low, median, high = np.percentile(paired, [25, 50, 75]).tolist()
    return Ratio(median, low, high, len(paired))


def main() -> None:
    """Run the benchmark."""
    options = arguments("What a shadow costs.").parse_args()
    count = 256 if options.quick else 1024
    words = banking_texts_or_skip(count)
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    texts = Tokeniser(bundle).encode(words)
    tenants = adapters_of(count, TENANTS)
    # Tenant t is answered by adapter t; its shadows are t + 32, t + 64 and so on.
    adapters = random_adapters(bundle.manifest, TENANTS * (1 + MOST), RANK)
    riding = {
        number: {t: [t + TENANTS * (1 + i) for i in range(number)] for t in range(TENANTS)}
        for number in SHADOWS
    }
    both = [tenant + TENANTS * i for tenant in tenants for i in range(2)]
    doubled = [text for text in texts for _ in range(2)]
    with ExitStack() as stack:
        show("opening the engine")
        crowd = stack.enter_context(Crowd(bundle, adapters, provider, len(adapters)))
        contestants = {NONE: timed(lambda: crowd.stream(texts, tenants, IN_FLIGHT))}
        for number in SHADOWS:

            def answer(number: int = number) -> int:
                return crowd.stream(texts, tenants, IN_FLIGHT, riding[number])

            contestants[named(number)] = timed(answer)
        drawn = np.random.default_rng(1).permutation(count).tolist()
        for share in SHARES:

            def ride(based: frozenset[int] = frozenset(drawn[: round(share * count)])) -> int:
                return crowd.stream(texts, tenants, IN_FLIGHT, based=based)

            contestants[beside(share)] = timed(ride)
        contestants[TWICE] = timed(lambda: crowd.stream(doubled, both, 2 * IN_FLIGHT) // 2)
        rates = interleave(contestants, 2 if options.quick else 15, title="shadows")
    report = Report(
        "shadows",
        "What does a shadow cost, as a part of what one ordinary text costs?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA of rank 8 on query and value, 77 labels",
            "texts": f"BANKING77, {count:,} texts a round, {TENANTS} tenants; shadows have adapters"
            f" of their own, all {len(adapters)} of them in slots",
            "load": f"closed loop, {IN_FLIGHT} callers of one text each; a round ends when every"
            " shadow was shown",
            "provider": provider,
        },
    )
    one = cost(rates, named(1), 1)
    report.bars = [Bar("1 shadow / one ordinary text", one.median, 1.15, at_least=False)]
    counts = {NONE: 0, **{named(number): number for number in SHADOWS}, TWICE: 1}
    rows = [
        (
            name,
            f"{rates.median(name):,.0f}",
            str(cost(rates, name, number)) if number else "",
        )
        for name, number in counts.items()
    ]
    columns = ("", "texts answered/s", "each further row / one ordinary text")
    bare = [
        (name, f"{rates.median(name):,.0f}", str(cost(rates, name))) for name in map(beside, SHARES)
    ]
    report.tables = [
        Rows("callers' texts a second", columns, rows),
        Rows(
            "with base embeddings for the log",
            ("", "texts answered/s", "added to one ordinary text"),
            bare,
        ),
    ]
    report.notes = [
        "The last line is what two ordinary requests cost: a second text that somebody waits for.",
    ]
    report.measured = {"texts_per_second": rates.document()}
    publish(report, options)


if __name__ == "__main__":
    main()
