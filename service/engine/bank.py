"""The bank: adapters' weights side by side, and the ways in which they reach the graph.

Per target there are two arrays, A [bank rows, in] and B [bank rows, out]. A slot is a fixed range
of `max_rank` rows, of which an adapter of rank r uses the first r. Slot 0 stays zero: row 0 pads
the columns of a feed, and a text without an adapter uses none.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest, Target
from service.engine.feed import Lease


class Bank(Protocol):
    """Holds adapters in slots 1 to `slots`; writes and feeds happen on one thread."""

    slots: int

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        ...


def input_names(targets: Sequence[Target]) -> list[str]:
    """Return the graph's bank inputs: A and B of every target, alternating."""
    return [f"{side}.{target.name}" for target in targets for side in ("A", "B")]


def bfloat16_bits(x: FloatArray) -> NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16 values, ties to even; finite values only."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


class HostBank:
    """A bank in host memory, in float32 or, where the provider computes in it, in bfloat16.

    The memory is zeroed lazily by the system, so rows that were never written cost nothing.
    """

    def __init__(self, manifest: Manifest, slots: int, *, half: bool = False) -> None:
        self.slots = slots
        self.half = half
        self._targets = manifest.targets
        self._stride = manifest.max_rank
        rows = (slots + 1) * self._stride
        kind = np.uint16 if half else np.float32  # numpy has no bfloat16: its bits
        self.arrays: list[NDArray[Any]] = [  # A and B of every target
            np.zeros((rows, width), dtype=kind)
            for target in self._targets
            for width in (target.in_features, target.out_features)
        ]

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
                    rows[:rank] = bfloat16_bits(delta[side]) if self.half else delta[side]
                rows[rank:] = 0
        return Lease(start, adapter.rank)
