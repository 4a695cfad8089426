"""The runtime: one opened graph, one bank, and a forward pass over packed texts of many tenants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.feed import NO_ADAPTER, PADDING, Feed, Layout, Lease
from service.engine.packing import Grid, Shape, make_grid
from service.engine.providers import Opening, Provider, processors, provider_named

_WIDTHS = 4  # how many doublings of the columns a static layout is warmed with


@dataclass(frozen=True, slots=True)
class Output:
    """What a pass gives for its texts, in the feed's order."""

    pooled: FloatArray  # [texts, hidden], the head's input
    embedding: FloatArray  # [texts, hidden], mean over the text's tokens

    @property
    def finite(self) -> bool:
        """Return whether every number is finite."""
        return bool(np.isfinite(self.pooled).all() and np.isfinite(self.embedding).all())


class Runtime(Protocol):
    """Runs passes and holds the bank; all calls come from one thread."""

    provider: str
    precision: str  # what it computes in
    grid: Grid
    layout: Layout
    slots: int

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        ...

    def run(self, feed: Feed) -> Output:
        """Run one forward pass."""
        ...

    def warm(self, done: Callable[[int, int], None]) -> None:
        """Run every shape of the grid once, so that no request waits for a preparation."""
        ...


class OnnxRuntime:
    """A `Runtime` of the bundle's ONNX graph, on one of the execution providers."""

    def __init__(
        self,
        bundle: Bundle,
        provider: str,
        slots: int,
        threads: int | None = None,
        variant: str = "fp32",
    ) -> None:
        """Open the session.

        `slots` adapters can be resident at once; `threads` of None means every processor. Raises
        `ProviderUnavailable` or `InvalidBundle`.
        """
        traits: Provider = provider_named(provider)
        manifest = bundle.manifest
        model = bundle.model_path(variant)
        opened = traits.open(Opening(model, manifest, slots, threads or processors()))
        self.provider = provider
        self.precision = opened.precision
        self.layout = traits.layout
        self.slots = slots
        self.grid = make_grid(manifest.max_length, traits.token_budget, traits.row_counts)
        self.position_offset = manifest.position_offset
        self._takes_types = manifest.token_types
        self._takes_adapters = bool(manifest.targets)
        self._session = opened.session
        self._bank = opened.bank

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        return self._bank.write(slot, adapter)

    def run(self, feed: Feed) -> Output:
        """Run one forward pass."""
        inputs = {"ids": feed.ids, "positions": feed.positions, "texts": feed.texts}
        if self._takes_types:
            inputs["token_types"] = feed.token_types
        inputs["first"] = feed.first
        if self._takes_adapters:
            inputs["adapters"] = feed.adapters
            inputs["columns"] = feed.columns
            inputs["owners"] = feed.owners
        return Output(*self._session.run(inputs))

    def warm(self, done: Callable[[int, int], None]) -> None:
        """Run every shape of the grid once, so that no request waits for a preparation.

        `done(n, of)` is called after each. Providers with static shapes, which they prepare one by
        one, also see the usual numbers of columns.
        """
        passes = [(shape, width) for shape in self.grid.shapes for width in self._widths()]
        for n, (shape, width) in enumerate(passes, 1):
            self.run(self.blank(shape, width))
            done(n, len(passes))

    def _widths(self) -> list[int]:
        if not self.layout.static:
            return [self.layout.column_step]
        return [self.layout.column_step << i for i in range(_WIDTHS)]

    def blank(self, shape: Shape, width: int) -> Feed:
        """Return a feed of one text of padding that fills the shape, `width` columns a block."""
        size = (shape.rows, shape.tokens)
        blocks = shape.capacity // self.layout.block(shape.capacity)
        texts = np.full(size, -1, dtype=np.int64)
        texts[0] = 0
        return Feed(
            ids=np.zeros(size, dtype=np.int64),
            positions=np.full(size, self.position_offset, dtype=np.int64),
            texts=texts,
            token_types=np.zeros(size, dtype=np.int64),
            adapters=np.full(size, NO_ADAPTER, dtype=np.int64),
            first=np.zeros(self.layout.texts(1, shape.capacity), dtype=np.int64),
            columns=np.zeros((blocks, width), dtype=np.int64),
            owners=np.full((blocks, width), PADDING, dtype=np.int64),
            tokens=shape.tokens,
        )
