"""The bank in device memory: a slot is written by copying its own bytes, nothing else."""

from typing import Literal

import numpy as np
import onnxruntime as ort

from service.engine.adapter import Adapter
from service.engine.bundle import Manifest
from service.engine.device import Device
from service.engine.feed import Lease

_KINDS = {"fp32": np.float32, "fp16": np.float16}


class DeviceBank:
    """A bank of `OrtValue`s on one device; see `service/engine/bank.py` for the layout.

    It is held in the type of the graph's bank inputs. An upload's magnitudes are bounded, so that
    every weight is finite in fp16 too.
    """

    def __init__(
        self,
        manifest: Manifest,
        slots: int,
        device: Device,
        kind: Literal["fp32", "fp16"] = "fp32",
    ) -> None:
        self.slots = slots
        self._targets = manifest.targets
        self._stride = manifest.max_rank
        self._device = device
        self._kind = np.dtype(_KINDS[kind])
        rows = (slots + 1) * self._stride
        self.values: list[ort.OrtValue] = []  # A and B of every target, alternating
        for target in self._targets:
            for width in (target.in_features, target.out_features):
                zeros = np.zeros((rows, width), dtype=self._kind)
                self.values.append(ort.OrtValue.ortvalue_from_numpy(zeros, device.name, 0))

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Copy the adapter's weights into the slot; return where they lie."""
        assert 1 <= slot <= self.slots, "slot 0 is the bare backbone"
        assert adapter.rank <= self._stride, "an adapter must not reach into the next slot"
        start = slot * self._stride
        for i, target in enumerate(self._targets):
            delta = adapter.deltas.get(target.name)
            for side, width in ((0, target.in_features), (1, target.out_features)):
                rows = np.zeros((adapter.rank, width), dtype=self._kind)
                if delta is not None:
                    rows[: len(delta[side])] = delta[side]
                if rows.nbytes:
                    base = self.values[2 * i + side].data_ptr()
                    at = base + start * width * self._kind.itemsize
                    self._device.copy_in(at, rows.ctypes.data, rows.nbytes)
        return Lease(start, adapter.rank)
