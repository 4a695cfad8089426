"""The runtime: one ONNX session, one bank, and a forward pass over packed texts of many tenants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnxruntime as ort

from service.engine.adapter import Adapter, FloatArray
from service.engine.bank import Bank, HostBank, LocalRows, input_names
from service.engine.bundle import Bundle
from service.engine.device_bank import DeviceBank
from service.engine.feed import NO_ADAPTER, PADDING, Feed, Layout, Lease
from service.engine.packing import Grid, Shape, make_grid
from service.engine.providers import Provider, processors, provider_named

_WIDTHS = 3  # how many doublings of the columns a static layout is warmed with


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
    """A `Runtime` on one of ONNX Runtime's execution providers."""

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
        self._traits: Provider = provider_named(provider)
        manifest = bundle.manifest
        self.provider = provider
        self.precision = self._traits.precision(variant)
        self.layout = self._traits.layout
        self.slots = slots
        self.grid = make_grid(
            manifest.max_length, self._traits.token_budget, self._traits.row_counts
        )
        self.position_offset = manifest.position_offset
        self._session = self._traits.session(bundle.model_path(variant), threads or processors())
        self._names = input_names(manifest.targets)
        self._takes_types = manifest.token_types
        self._binding = self._session.io_binding()
        self._bank: Bank
        self._local: LocalRows | None = None
        self._resident: list[ort.OrtValue] = []
        if self._traits.bank == "device":
            device_bank = DeviceBank(manifest, slots)
            self._bank = device_bank
            self._resident = device_bank.values
        else:
            host = HostBank(manifest, slots)
            self._bank = host
            if self._traits.bank == "local":
                self._local = LocalRows(host)
            else:
                self._resident = [ort.OrtValue.ortvalue_from_numpy(a) for a in host.arrays]
        for name, value in zip(self._names, self._resident, strict=False):
            self._binding.bind_ortvalue_input(name, value)

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        return self._bank.write(slot, adapter)

    def run(self, feed: Feed) -> Output:
        """Run one forward pass."""
        columns = feed.columns
        binding = self._binding
        if self._local is not None:
            banks, columns = self._local.gather(feed)
            for name, array in zip(self._names, banks, strict=True):
                binding.bind_cpu_input(name, array)
        binding.bind_cpu_input("ids", feed.ids)
        binding.bind_cpu_input("positions", feed.positions)
        binding.bind_cpu_input("texts", feed.texts)
        if self._takes_types:
            binding.bind_cpu_input("token_types", feed.token_types)
        binding.bind_cpu_input("first", feed.first)
        if self._names:
            binding.bind_cpu_input("adapters", feed.adapters)
            binding.bind_cpu_input("columns", columns)
            binding.bind_cpu_input("owners", feed.owners)
        binding.bind_output("output.pooled", "cpu")
        binding.bind_output("output.embedding", "cpu")
        self._session.run_with_iobinding(binding)
        pooled, embedding = binding.copy_outputs_to_cpu()
        return Output(pooled, embedding)

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
