"""Contestants that answer full passes: 512 tokens, all texts of one length, many adapters."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.baselines.lora_adapter import LoraAdapterRuns, write_adapter, write_overridable
from benchmarks.baselines.torch_models import TorchBatches
from benchmarks.engine import Engine
from benchmarks.rounds import Contestant, timed
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.feed import Layout, Lease, make_feed
from service.engine.packing import ROW_TOKENS, Plan, Shape
from service.engine.tokens import Tokens

TOKENS = 512
_BATCHES = 8  # different ones, in turn

Batch = tuple[list[Tokens], list[int]]  # texts, and the adapter of each


def batches(length: int, adapters: int, count: int = _BATCHES) -> list[Batch]:
    """Return batches of `TOKENS` random tokens in texts of one length.

    Each has as many different adapters as it has texts, or as there are.
    """
    rng = np.random.default_rng(20260101)
    texts = TOKENS // length
    order = rng.permutation(adapters)
    made = []
    for batch in range(count):
        ids = rng.integers(1_000, 20_000, (texts, length)).tolist()
        numbers = [int(order[(batch * texts + i) % adapters]) for i in range(texts)]
        made.append(([Tokens(row, None, False, 0) for row in ids], numbers))
    return made


def engine_passes(engine: Engine, work: Sequence[Batch], one: bool = False) -> Contestant:
    """Return a contestant that plans and answers the next batch; `one`: all by adapter 0."""
    return _in_turn(
        work, lambda texts, numbers: engine.answer_all(texts, [0] * len(texts) if one else numbers)
    )


def torch_passes(model: TorchBatches, work: Sequence[Batch]) -> Contestant:
    """Return a contestant that asks a torch model."""
    return _in_turn(
        work, lambda texts, numbers: model.answer(texts, numbers).shape[0] * len(texts[0])
    )


def _in_turn(work: Sequence[Batch], answer: Callable[[list[Tokens], list[int]], int]) -> Contestant:
    following = itertools.cycle(work)
    return timed(lambda: answer(*next(following)))


def lora_adapter_passes(
    bundle: Bundle, adapters: Sequence[Adapter], work: Sequence[Batch]
) -> tuple[Contestant, Contestant]:
    """Return two contestants that use onnxruntime's `LoraAdapter`; heads are left out.

    The first answers a batch packed, all by one adapter; the second each text by its own, which
    takes one run per adapter.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        write_overridable(bundle.manifest, model)
        files = [Path(folder) / f"{number}.adapter" for number in range(len(adapters))]
        for adapter, file in zip(adapters, files, strict=True):
            write_adapter(adapter, file)
        runs = LoraAdapterRuns(model, files)
    texts, numbers = work[0]
    length = len(texts[0])
    per_row = ROW_TOKENS // length
    starts = range(0, len(texts), per_row)
    rows = tuple(tuple(range(start, start + per_row)) for start in starts)
    leases = [Lease(0, 0)] * len(adapters)
    offset = bundle.manifest.position_offset
    packed = Plan(Shape(len(rows), ROW_TOKENS), rows)
    together = make_feed(packed, texts, numbers, leases, offset, Layout())
    alone = Plan(Shape(1, length), ((0,),))
    singles = [make_feed(alone, [text], [0], leases, offset, Layout()) for text in texts]

    def one() -> int:
        runs.run(together, 0)
        return together.tokens

    def many() -> int:
        for feed, number in zip(singles, numbers, strict=True):
            runs.run(feed, number)
        return together.tokens

    return timed(one), timed(many)


def probabilities(engine: Engine, batch: Batch) -> FloatArray:
    """Return the probabilities [texts, labels] of one batch, for a comparison of answers."""
    texts, numbers = batch
    answered = engine.answer(texts, numbers)
    rows = dict(zip(answered.indices, answered.probabilities, strict=True))
    return np.stack([row for _, row in sorted(rows.items()) if row is not None])
