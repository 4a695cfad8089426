"""One tenant floods: what a quiet one feels of it, and what fairness costs all of them.

python -m benchmarks.fairness [--quick]
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from benchmarks.adapters import random_adapters
from benchmarks.bundles import QUERY_VALUE, exported
from benchmarks.crowd import Arrivals, Crowd, poisson
from benchmarks.engine import chosen_provider
from benchmarks.first_come import FirstComeQueue
from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.rounds import Rates, interleave, show, timed
from benchmarks.spread import Spread
from benchmarks.texts import adapters_of, banking_texts_or_skip
from service.engine.tokens import Tokeniser, Tokens

TENANTS = 100
SLOTS = 128
RANK = 8
LOAD = 0.8  # of what the batcher answers in a closed loop
FLOOD = 50  # times its share
FEW = 40  # tenants where the flood is more than can be answered
_MS = 1e3

EQUAL = "equal tenants, each with its share"
FLOODED = "one has 50 times its share, in single texts"
BULK = "one has 50 times its share, in requests of 50 texts"
OVER = "one has 50 times its share, and all is more than can be answered"
OVER_FIRST = "the same in first-come order"

FAIR = "fair order, {} in flight"
FIRST = "first-come order, {} in flight"
IN_FLIGHT = (64, 1024)

Scenario = Callable[[int], list[Arrivals]]  # from a seed


def scenarios(rate: float, seconds: float) -> dict[str, Scenario]:
    """Return who arrives when, at `rate` texts a second in all; tenant 0 is the one that floods."""
    share = rate / TENANTS

    def quiet(tenants: range, each: float, seed: int) -> list[Arrivals]:
        return [poisson(tenant, each, seconds, seed) for tenant in tenants]

    def flooded(seed: int, texts: int = 1) -> list[Arrivals]:
        flood = poisson(0, FLOOD * share, seconds, seed, texts)
        return [flood, *quiet(range(1, TENANTS - FLOOD + 1), share, seed)]

    def over(seed: int) -> list[Arrivals]:
        flood = poisson(0, FLOOD * rate / FEW, seconds, seed)
        return [flood, *quiet(range(1, FEW), rate / FEW, seed)]

    return {
        EQUAL: lambda seed: quiet(range(1, TENANTS + 1), share, seed),
        FLOODED: flooded,
        BULK: lambda seed: flooded(seed, FLOOD),
        OVER: over,
        OVER_FIRST: over,
    }


def latencies(
    crowds: Mapping[str, Crowd],
    texts: Sequence[Tokens],
    rate: float,
    rounds: int,
    seconds: float,
) -> tuple[dict[str, list[list[float]]], dict[str, int]]:
    """Return every quiet tenant's latencies in ms, by scenario and round; and the refusals."""
    names = list(crowds)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    refused = dict.fromkeys(names, 0)
    made = scenarios(rate, seconds)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            seen = crowds[name].watch(made[name](number), texts)
            quiet = (seen.latencies[tenant] for tenant in seen.latencies if tenant)
            found[name].append([_MS * latency for each in quiet for latency in each])
            refused[name] += seen.refused
        show(f"a flood: round {number + 1} of {rounds}", last=number + 1 == rounds)
    return found, refused


def throughput(fair: Crowd, first: Crowd, texts: Sequence[Tokens], rounds: int) -> Rates:
    """Return texts a second in a closed loop, both orders in turn."""
    tenants = adapters_of(len(texts), TENANTS)
    contestants = {}
    for in_flight in IN_FLIGHT:
        for name, crowd in ((FAIR, fair), (FIRST, first)):

            def answer(crowd: Crowd = crowd, in_flight: int = in_flight) -> int:
                return crowd.stream(texts, tenants, in_flight)

            contestants[name.format(in_flight)] = timed(answer)
    return interleave(contestants, rounds, title="throughput")


def _p99(rounds: Sequence[Sequence[float]]) -> float:
    return Spread(list(itertools.chain.from_iterable(rounds))).at(99)


def _latency_rows(found: Mapping[str, list[list[float]]], refused: Mapping[str, int]) -> Rows:
    rows = []
    base = _p99(found[EQUAL])
    for name, rounds in found.items():
        spread = Spread(list(itertools.chain.from_iterable(rounds)))
        paired = [
            Spread(mine).at(99) / Spread(theirs).at(99)
            for mine, theirs in zip(rounds, found[EQUAL], strict=True)
        ]
        low, high = np.percentile(paired, [25, 75]).tolist()
        ratio = f"{_p99(rounds) / base:.2f} ({low:.2f} to {high:.2f})"
        rows.append((name, *spread.cells(), ratio, f"{refused[name]:,}"))
    columns = ("", "p50 ms", "p95 ms", "p99 ms", "p99 / equal tenants'", "refused")
    return Rows("latency of the quiet tenants", columns, rows)


def _rate_rows(rates: Rates) -> Rows:
    rows = []
    for in_flight in IN_FLIGHT:
        fair, first = FAIR.format(in_flight), FIRST.format(in_flight)
        rows.append((first, f"{rates.median(first):,.0f}", ""))
        rows.append((fair, f"{rates.median(fair):,.0f}", str(rates.ratio(fair, first))))
    return Rows("texts a second, closed loop", ("", "texts/s", "of first-come order"), rows)


def _bars(found: Mapping[str, list[list[float]]], rates: Rates) -> list[Bar]:
    base = _p99(found[EQUAL])
    bars = [
        Bar(f"quiet tenants' p99 / equal tenants': {name}", _p99(found[name]) / base, 1.5, False)
        for name in (FLOODED, BULK, OVER)
    ]
    for in_flight in IN_FLIGHT:
        ratio = rates.ratio(FAIR.format(in_flight), FIRST.format(in_flight)).median
        bars.append(Bar(f"fair / first-come texts a second, {in_flight} in flight", ratio, 0.95))
    return bars


def main() -> None:
    """Run the benchmark."""
    options = arguments("One tenant floods; what others feel.").parse_args()
    count = 512 if options.quick else 4096
    rounds, seconds = (2, 2.0) if options.quick else (9, 6.0)
    words = banking_texts_or_skip(count)
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    texts = Tokeniser(bundle).encode(words)
    adapters = random_adapters(bundle.manifest, TENANTS + 1, RANK)
    with ExitStack() as stack:
        show("opening the engines")
        fair = stack.enter_context(Crowd(bundle, adapters, provider, SLOTS))
        first = stack.enter_context(Crowd(bundle, adapters, provider, SLOTS, FirstComeQueue))
        rates = throughput(fair, first, texts, rounds)
        rate = LOAD * rates.median(FAIR.format(IN_FLIGHT[0]))
        crowds = {EQUAL: fair, FLOODED: fair, BULK: fair, OVER: fair, OVER_FIRST: first}
        found, refused = latencies(crowds, texts, rate, rounds, seconds)
    report = Report(
        "fairness",
        "One tenant floods with 50 times its share: what does a quiet one feel of it?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA of rank 8 on query and value, 77 labels",
            "texts": f"BANKING77, {sum(map(len, texts)) / count:.1f} tokens in the mean",
            "load": f"{rate:,.0f} texts a second, {LOAD:.0%} of what a closed loop reaches; open"
            f" loop, Poisson arrivals, {rounds} rounds of {seconds:g} s each, latency from when a"
            " text was due",
            "tenants": f"{TENANTS} equal ones; or 1 with {FLOOD} shares and {TENANTS - FLOOD} with"
            f" one; or, beyond what can be answered, {FEW} of which 1 sends {FLOOD} shares",
            "provider": provider,
        },
    )
    report.bars = _bars(found, rates)
    report.tables = [_latency_rows(found, refused), _rate_rows(rates)]
    report.notes = [
        "Callers and the engine share one process, as they do in `tenantry serve`.",
        "Refused: by admission, nearly all of them the flooding tenant's own requests.",
    ]
    report.measured = {
        "latencies_ms": {
            name: [Spread(each).document() for each in each_round]
            for name, each_round in found.items()
        },
        "refused": refused,
        "texts_per_second": rates.document(),
    }
    publish(report, options)


if __name__ == "__main__":
    main()
