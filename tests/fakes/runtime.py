"""A runtime in numpy, and what it must answer in a loop that anyone can read.

The encoder works on small whole numbers, so every sum is exact in any order: an answer that
differs at all from the loop's has seen another text, another adapter or another slot. As in the
real graph, a block's columns are multiplied for all of its tokens, so that a neighbour's inf or
NaN poisons whoever shares a block with it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bank import HostBank
from service.engine.bundle import Bundle, Head, HeadStep
from service.engine.feed import Feed, Layout, Lease
from service.engine.image_feed import ImageFeed
from service.engine.packing import make_grid
from service.engine.runtime import Output
from service.engine.tokens import Tokens, Window, Windowed
from tests.fakes.adapters import digest_of
from tests.fakes.manifests import BACKBONE, HIDDEN, manifest_of
from tests.fakes.packages import labels_of

VOCABULARY = 97
_MODULUS = np.float32(13)
_WORDS = np.random.default_rng(7).integers(-2, 3, (VOCABULARY, HIDDEN)).astype(np.float32)


def whole_bundle() -> Bundle:
    """Return a bundle without a graph: LoRA on the two query layers, a head of one matrix."""
    head = Head(
        pooling="first",
        steps=(HeadStep(kind="linear", module="classifier", in_features=HIDDEN),),
        held=(),
        missing=("classifier",),
    )
    manifest = manifest_of("bert", endings=("query",), max_rank=4)
    return Bundle(Path("nowhere"), BACKBONE, manifest.model_copy(update={"head": head}), {})


def whole_adapter(name: str, *, rank: int = 2, labels: int = 3) -> Adapter:
    """Return an adapter of small whole numbers, drawn from its name."""
    manifest = whole_bundle().manifest
    random = np.random.default_rng(list(name.encode()))

    def draw(*shape: int) -> FloatArray:
        return random.integers(-1, 2, shape).astype(np.float32)

    return Adapter(
        digest=digest_of(name),
        rank=rank,
        deltas={
            t.name: (draw(rank, t.in_features), draw(rank, t.out_features))
            for t in manifest.targets
            if rank
        },
        head={"classifier.weight": draw(labels, HIDDEN), "classifier.bias": draw(labels)},
        labels=tuple(labels_of(labels)),
    )


def poisonous_adapter(name: str, value: float = np.inf) -> Adapter:
    """Return an adapter that passed no validation: one number of its B is not finite."""
    adapter = whole_adapter(name)
    for _, b in adapter.deltas.values():
        b[0, 0] = value
    return adapter


def text_of(*ids: int) -> Tokens:
    """Return a text of these tokens."""
    return Tokens(list(ids), None, False, 0)


def windowed_of(*windows: tuple[int, ...]) -> Windowed:
    """Return a long text in windows of these tokens."""
    pieces = tuple(Window(list(ids), None, False, 0) for ids in windows)
    return Windowed(pieces, truncated=False, unknown=0)


def answer_alone(adapter: Adapter | None, text: Tokens) -> tuple[FloatArray, FloatArray]:
    """Return pooled state and embedding [hidden] of one text: the loop that anyone can read."""
    x = _WORDS[text.ids]
    for target in whole_bundle().manifest.targets:
        y = x
        if adapter is not None and target.name in adapter.deltas:
            a, b = adapter.deltas[target.name]
            y = x + (x @ a.T) @ b
        y = np.fmod(y, _MODULUS)
        x = y + np.fmod(y.sum(axis=0), _MODULUS)
    return x[0], x.sum(axis=0) / np.float32(len(x))


class FakeRuntime:
    """A `Runtime` over a real host bank; passes can be held, failed and watched."""

    provider = "fake"
    precision = "whole"

    def __init__(self, bundle: Bundle, slots: int, layout: Layout | None = None) -> None:
        self.slots = slots
        self.layout = layout or Layout(block_tokens=16, column_step=4)
        self.grid = make_grid(bundle.manifest.max_length, 128, (2,))
        self.bank = HostBank(bundle.manifest, slots)
        self.feeds: list[Feed] = []
        self.written: list[tuple[int, str]] = []  # slot, digest
        self.failures: list[Exception] = []  # what the next passes raise
        self.unwritable: dict[str, Exception] = {}  # by digest
        self.inside = threading.Event()  # a pass has begun and waits for the gate
        self.before_run: Callable[[Feed], None] = lambda _: None
        self.spoilt = False  # whether the backbone itself gives no numbers
        self._gate = threading.Event()
        self._gate.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold passes at their beginning; `inside` says that one waits."""
        self.inside.clear()
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def write(self, slot: int, adapter: Adapter) -> Lease:
        if adapter.digest in self.unwritable:
            raise self.unwritable[adapter.digest]
        self.written.append((slot, adapter.digest))
        return self.bank.write(slot, adapter)

    def warm(self, done: Callable[[int, int], None]) -> None:
        done(1, 1)

    def run(self, feed: Feed | ImageFeed) -> Output:
        assert isinstance(feed, Feed), "the fake has no images"
        self.feeds.append(feed)
        self.inside.set()
        assert self._gate.wait(30.0), "nobody opened the gate"
        self.before_run(feed)
        if self.failures:
            raise self.failures.pop(0)
        with np.errstate(all="ignore"):
            return self._run(feed)

    def _run(self, feed: Feed) -> Output:
        numbers = feed.texts.reshape(-1)
        texts = range(len(feed.first))
        x = _WORDS[feed.ids.reshape(-1)]
        for a, b in zip(self.bank.arrays[0::2], self.bank.arrays[1::2], strict=True):
            y = np.fmod(x + banked(x, feed, a, b), _MODULUS)
            x = y.copy()
            for text in texts:
                mine = numbers == text
                x[mine] += np.fmod(y[mine].sum(axis=0), _MODULUS)
        if self.spoilt:
            x[:] = np.nan
        mean = [x[numbers == t].sum(axis=0) / max(1, (numbers == t).sum()) for t in texts]
        return Output(x[feed.first], np.stack(mean).astype(np.float32))


def banked(x: FloatArray, feed: Feed, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return what LoRA adds to x [tokens, in]: the graph's banked layer, [tokens, out]."""
    blocks = len(feed.columns)
    allowed = feed.adapters.reshape(blocks, -1, 1) == feed.owners[:, None, :]
    h = x.reshape(blocks, -1, x.shape[1]) @ a[feed.columns].transpose(0, 2, 1)
    y: FloatArray = np.where(allowed, h, np.float32(0)) @ b[feed.columns]
    return y.reshape(len(x), -1)
