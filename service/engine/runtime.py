"""The runtime: one opened graph, one bank, and a forward pass over packed texts of many tenants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable
from service.engine.execution.provider import AS_IT_COMES, DeviceOptions, Opening, Shaping
from service.engine.feed import NO_ADAPTER, PADDING, Feed, Layout, Lease
from service.engine.image_feed import ImageFeed, blank_images
from service.engine.inputs import graph_inputs
from service.engine.packing import Grid, Shape
from service.engine.processor import processors
from service.engine.providers import provider_named

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
    """A `Runtime` of one variant of the bundle's ONNX graph, on one of the execution providers."""

    def __init__(
        self,
        bundle: Bundle,
        provider: str,
        slots: int,
        threads: int | None = None,
        variant: str = "fp32",
        *,
        shaping: Shaping | None = None,
        device: DeviceOptions = AS_IT_COMES,
    ) -> None:
        """Open the session.

        `slots` adapters can be resident at once; `threads` of None means every processor. The
        variant is `fp32`, the reference that every bundle has, unless another is named;
        `service/engine/tuning` finds the best. `shaping` of None is the provider's own.

        Raises `ProviderUnavailable` where the provider does not run here or does not multiply in
        what the variant says, or `InvalidBundle`.
        """
        traits = provider_named(provider)
        manifest = bundle.manifest
        bundle.model_path(variant)  # refuses one that the bundle lacks
        compute = manifest.variants[variant].compute
        if compute not in traits.computes:
            raise ProviderUnavailable(
                f"{provider}: it does not multiply in {compute}, so it cannot run the variant"
                f" {variant!r}; it runs {', '.join(sorted(traits.computes))}"
            )
        chosen = shaping or traits.shaping
        opened = traits.open(
            Opening(bundle, variant, chosen, slots, threads or processors(), device)
        )
        self.provider = provider
        self.precision = opened.precision
        self.layout = chosen.layout
        self.slots = slots
        self.position_offset = manifest.position_offset
        self.grid = chosen.grid(bundle)
        self._image = manifest.image
        self._names = graph_inputs(manifest)
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
