"""The runtime: one opened graph, one bank, and a forward pass over packed texts of many tenants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle, Manifest
from service.engine.feed import NO_ADAPTER, PADDING, Feed, Layout, Lease
from service.engine.image_feed import ImageFeed, blank_images
from service.engine.packing import Grid, Shape, make_grid, make_image_grid
from service.engine.providers import Opening, Provider, processors, provider_named

_WIDTHS = 4  # how many doublings of the columns a static layout is warmed with


@dataclass(frozen=True, slots=True)
class Output:
    """What a pass gives for its texts, in the feed's order."""

    pooled: FloatArray  # [inputs, pooled], the head's input
    embedding: FloatArray  # [inputs, hidden], mean over the input's tokens

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

    def run(self, feed: Feed | ImageFeed) -> Output:
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
        self.position_offset = manifest.position_offset
        self._image = manifest.image
        if manifest.image is None:
            self.grid = make_grid(manifest.max_length, traits.token_budget, traits.row_counts)
        else:
            self.grid = make_image_grid(manifest.image.tokens, traits.token_budget)
        self._names = _input_names(manifest)
        self._session = opened.session
        self._bank = opened.bank

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        return self._bank.write(slot, adapter)

    def run(self, feed: Feed | ImageFeed) -> Output:
        """Run one forward pass."""
        return Output(*self._session.run(feed.inputs(self._names)))

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

    def blank(self, shape: Shape, width: int) -> Feed | ImageFeed:
        """Return a feed of nothing that fills the shape, `width` columns a block.

        One text of padding, or black images.
        """
        if self._image is not None:
            return blank_images(self._image, shape.rows, width)
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


def _input_names(manifest: Manifest) -> frozenset[str]:
    """Return the graph's inputs but for its banks."""
    if manifest.image is not None:
        names = {"pixels"}
        lora = {"columns"}
    else:
        names = {"ids", "positions", "texts", "first"}
        names |= {"token_types"} if manifest.token_types else set()
        lora = {"adapters", "columns", "owners"}
    return frozenset(names | (lora if manifest.targets else set()))
