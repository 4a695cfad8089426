"""The bank: adapters' weights side by side, and the ways in which they reach the graph.

Per target there are two arrays, A [bank rows, in] and B [bank rows, out]. A slot is a fixed range
of `max_rank` rows, of which an adapter of rank r uses the first r. Slot 0 stays zero: row 0 pads
the columns of a feed, and a text without an adapter uses none.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest, Target
from service.engine.feed import Feed, IntArray, Lease


class Bank(Protocol):
    """Holds adapters in slots 1 to `slots`; writes and feeds happen on one thread."""

    slots: int

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        ...

    def lease(self, slot: int, rank: int) -> Lease:
        """Return where a slot's adapter lies."""
        ...


def input_names(targets: Sequence[Target]) -> list[str]:
    """Return the graph's bank inputs: A and B of every target, alternating."""
    return [f"{side}.{target.name}" for target in targets for side in ("A", "B")]


class HostBank:
    """A bank in host memory.

    The memory is zeroed lazily by the system, so rows that were never written cost nothing.
    """

    def __init__(self, manifest: Manifest, slots: int) -> None:
        self.slots = slots
        self._targets = manifest.targets
        self._stride = manifest.max_rank
        rows = (slots + 1) * self._stride
        self.arrays: list[FloatArray] = []  # A and B of every target, alternating
        for target in self._targets:
            self.arrays.append(np.zeros((rows, target.in_features), dtype=np.float32))
            self.arrays.append(np.zeros((rows, target.out_features), dtype=np.float32))

    def lease(self, slot: int, rank: int) -> Lease:
        """Return where a slot's adapter lies."""
        return Lease(slot * self._stride, rank)

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        assert 1 <= slot <= self.slots, "slot 0 is the bare backbone"
        assert adapter.rank <= self._stride, "an adapter must not reach into the next slot"
        start = slot * self._stride
        for i, target in enumerate(self._targets):
            delta = adapter.deltas.get(target.name)
            rank = 0 if delta is None else len(delta[0])
            for side in (0, 1):
                rows = self.arrays[2 * i + side][start : start + adapter.rank]
                if delta is not None:
                    rows[:rank] = delta[side]
                rows[rank:] = 0.0
        return Lease(start, adapter.rank)


class LocalRows:
    """The bank rows of one batch, stacked and renumbered, in buffers of few sizes.

    For providers that copy or convert the whole bank input at each run: they then see only the
    rows that the batch uses. How many rows the buffers have follows from the shape of the feed's
    columns, so that they add no shapes of their own.
    """

    def __init__(self, bank: HostBank) -> None:
        self._bank = bank
        self._buffers: dict[int, list[FloatArray]] = {}

    def gather(self, feed: Feed) -> tuple[list[FloatArray], IntArray]:
        """Return the arrays to feed as banks, and `feed.columns` renumbered for them."""
        used, renumbered = np.unique(feed.columns, return_inverse=True)
        size = feed.columns.size
        buffers = self._buffers.get(size)
        if buffers is None:
            buffers = [np.zeros((size, a.shape[1]), np.float32) for a in self._bank.arrays]
            self._buffers[size] = buffers
        for buffer, array in zip(buffers, self._bank.arrays, strict=True):
            np.take(array, used, axis=0, out=buffer[: len(used)])
        columns: IntArray = renumbered.reshape(feed.columns.shape).astype(np.int64)
        return buffers, columns
