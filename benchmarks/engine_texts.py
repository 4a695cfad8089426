"""Real texts in order of arrival, 64 in flight: packed, through the batcher, and padded.

python -m benchmarks.engine_texts [--quick]
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from benchmarks.adapters import random_adapters, without_lora
from benchmarks.batching import BatcherLoop
from benchmarks.bundles import QUERY_VALUE, bare, exported
from benchmarks.engine import Engine, Streamed, chosen_provider
from benchmarks.passes import TOKENS, batches
from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.rounds import Contestant, Rates, interleave, show, timed
from benchmarks.texts import adapters_of, banking_texts_or_skip
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.tokens import Tokeniser, Tokens

RANK = 8
FEW, MANY = 32, 1024
IN_FLIGHT = 64
PADDED_BATCH = 32
PADDED_GRID = (8, 16, 32, 64, 128, 256, 512)

FULL = "full rows, no LoRA at all (the measure)"
PACKED = "packed, 32 adapters"
PACKED_BARE = "packed, no LoRA at all"
BATCHER = "through the batcher, 32 adapters"
PADDED = "padded to the batch's longest, 32 adapters"
PADDED_TO_GRID = "padded to a grid of lengths, 32 adapters"
PADDED_SORTED = "padded, all texts sorted by length first"
PACKED_MANY = "packed, 1,024 adapters, all in slots"
BATCHER_MANY = "through the batcher, 1,024 adapters in 1,024 slots"
BATCHER_EVICTING = "through the batcher, 1,024 adapters in 128 slots"

Chunk = tuple[Sequence[Tokens], Sequence[int]]  # texts, and the adapter of each


def chunks(texts: Sequence[Tokens], adapters: int, parts: int = 2) -> list[Chunk]:
    """Return the texts in equal parts, taken in turn by a contestant's rounds."""
    numbers = adapters_of(len(texts), adapters)
    size = len(texts) // parts
    return [(texts[i : i + size], numbers[i : i + size]) for i in range(0, size * parts, size)]


def in_turn(work: Sequence[Chunk], answer: Callable[..., Streamed | int]) -> Contestant:
    """Return a contestant that answers the next part; its rate is in real tokens a second."""
    following = itertools.cycle(work)

    def round_of() -> int:
        done = answer(*next(following))
        return done if isinstance(done, int) else done.tokens

    return timed(round_of)


def full_rows(engine: Engine, tokens: int) -> Contestant:
    """Return a contestant that answers about so many tokens in full rows of 16-token texts."""
    work = batches(16, FEW)

    def answer() -> int:
        return sum(engine.answer_all(*work[i % len(work)]) for i in range(-(-tokens // TOKENS)))

    return timed(answer)


def contestants_of(
    bundle: Bundle, provider: str, texts: Sequence[Tokens], stack: ExitStack
) -> dict[str, Contestant]:
    """Return everybody who takes part; batchers are stopped by the stack."""
    few = random_adapters(bundle.manifest, FEW, RANK)
    many = random_adapters(bundle.manifest, MANY, RANK)
    work, wide = chunks(texts, FEW), chunks(texts, MANY)
    by_length = [_sorted(part) for part in work]
    show("opening the engines")
    ours = Engine(bundle, few, provider)
    plain = Engine(bare(bundle), [without_lora(adapter) for adapter in few], provider)
    wider = Engine(bundle, many, provider)

    def through(adapters: Sequence[Adapter], slots: int) -> BatcherLoop:
        return stack.enter_context(BatcherLoop(bundle, adapters, provider, slots))

    def padded(lengths: Sequence[int]) -> Callable[..., Streamed]:
        return lambda texts, numbers: ours.stream_padded(texts, numbers, PADDED_BATCH, lengths)

    return {
        FULL: full_rows(plain, sum(len(text) for text in work[0][0])),
        PACKED: in_turn(work, ours.stream),
        PACKED_BARE: in_turn(work, plain.stream),
        BATCHER: in_turn(work, through(few, FEW).stream),
        PADDED: in_turn(work, padded(())),
        PADDED_TO_GRID: in_turn(work, padded(PADDED_GRID)),
        PADDED_SORTED: in_turn(by_length, padded(())),
        PACKED_MANY: in_turn(wide, wider.stream),
        BATCHER_MANY: in_turn(wide, through(many, MANY).stream),
        BATCHER_EVICTING: in_turn(wide, through(many, 128).stream),
    }


def _sorted(part: Chunk) -> Chunk:
    pairs = sorted(zip(*part, strict=True), key=lambda pair: len(pair[0]))
    return [text for text, _ in pairs], [number for _, number in pairs]


def _rows(rates: Rates, tokens_per_text: float) -> Rows:
    rows = []
    for name in rates.by_round:
        speed = rates.median(name)
        share = "" if name == FULL else str(rates.ratio(name, FULL))
        rows.append((name, f"{speed:,.0f}", f"{speed / tokens_per_text:,.0f}", share))
    columns = ("", "tokens/s", "texts/s", "of full rows without LoRA")
    return Rows("real tokens a second, padding not counted", columns, rows)


def _bars(rates: Rates) -> list[Bar]:
    def ratio(name: str, base: str) -> float:
        return rates.ratio(name, base).median

    return [
        Bar("packed, 32 adapters / full rows without LoRA", ratio(PACKED, FULL), 0.8),
        Bar("the same through the batcher", ratio(BATCHER, FULL), 0.8),
        Bar("packed / padded, both with 32 adapters", ratio(PACKED, PADDED), 2.0),
        Bar("batcher / padded, both with 32 adapters", ratio(BATCHER, PADDED), 2.0),
        Bar("packed, 1,024 adapters / full rows without LoRA", ratio(PACKED_MANY, FULL), 0.65),
        Bar("the same through the batcher", ratio(BATCHER_MANY, FULL), 0.65),
    ]


def main() -> None:
    """Run the benchmark."""
    options = arguments("Real texts in order of arrival, packed and padded.").parse_args()
    count = 256 if options.quick else 2048
    words = banking_texts_or_skip(count)
    bundle = exported("query-value", QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    texts = Tokeniser(bundle).encode(words)
    mean = sum(map(len, texts)) / count
    report = Report(
        "engine_texts",
        "How much of the engine's speed on full rows is left on real texts?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA of rank 8 on query and value, 77 labels",
            "texts": f"BANKING77, {count:,} texts in one fixed random order, {mean:.1f} tokens in"
            f" the mean, {len(texts) // 2:,} of them a round, each for a random adapter",
            "load": f"closed loop, {IN_FLIGHT} texts in flight; padded: batches of {PADDED_BATCH}",
            "provider": provider,
        },
    )
    with ExitStack() as stack:
        contestants = contestants_of(bundle, provider, texts, stack)
        slow = {PADDED_TO_GRID: 2, PADDED_SORTED: 2, BATCHER_EVICTING: 2}
        rounds = 2 if options.quick else 9
        rates = interleave(contestants, rounds, every=slow, title="real texts")
    report.bars = _bars(rates)
    report.tables = [_rows(rates, mean)]
    report.notes = [
        (
            "Sorting all texts by length before padding is not possible while they arrive; it"
            " stands here to show what padding costs."
        ),
        (
            "The engine's own loop refills its 64 places after each pass; the batcher's callers ask"
            " again only when they were answered, so a pass is planned from those that waited."
        ),
    ]
    report.measured = {"tokens_per_second": rates.document()}
    publish(report, options)


if __name__ == "__main__":
    main()
