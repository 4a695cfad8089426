"""The bank in CUDA device memory: a slot is written by copying its own bytes, nothing else."""

import ctypes
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from service.engine.adapter import Adapter
from service.engine.bundle import Manifest
from service.engine.errors import ProviderUnavailable
from service.engine.feed import Lease

# (destination address, source address, bytes)
Copy = Callable[[int, int, int], None]

_HOST_TO_DEVICE = 1  # cudaMemcpyHostToDevice
_RUNTIMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")


def cuda_copy() -> Copy:
    """Return a copy from host to device memory by the CUDA runtime."""
    for name in _RUNTIMES:
        try:
            runtime = ctypes.CDLL(name)
            break
        except OSError:
            continue
    else:
        raise ProviderUnavailable(f"cuda: none of {', '.join(_RUNTIMES)} can be loaded")
    memcpy = runtime.cudaMemcpy
    memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    memcpy.restype = ctypes.c_int

    def copy(destination: int, source: int, count: int) -> None:
        status = memcpy(destination, source, count, _HOST_TO_DEVICE)
        if status:
            raise ProviderUnavailable(f"cuda: cudaMemcpy failed with error {status}")

    return copy


class DeviceBank:
    """A bank of `OrtValue`s on one device; see `service/engine/bank.py` for the layout."""

    def __init__(
        self,
        manifest: Manifest,
        slots: int,
        device: str = "cuda",
        copy: Copy | None = None,
    ) -> None:
        self.slots = slots
        self._targets = manifest.targets
        self._stride = manifest.max_rank
        self._copy = copy or cuda_copy()
        rows = (slots + 1) * self._stride
        self.values: list[ort.OrtValue] = []  # A and B of every target, alternating
        for target in self._targets:
            for width in (target.in_features, target.out_features):
                zeros = np.zeros((rows, width), dtype=np.float32)
                self.values.append(ort.OrtValue.ortvalue_from_numpy(zeros, device, 0))

    def lease(self, slot: int, rank: int) -> Lease:
        """Return where a slot's adapter lies."""
        return Lease(slot * self._stride, rank)

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Copy the adapter's weights into the slot; return where they lie."""
        assert 1 <= slot <= self.slots, "slot 0 is the bare backbone"
        assert adapter.rank <= self._stride, "an adapter must not reach into the next slot"
        start = slot * self._stride
        for i, target in enumerate(self._targets):
            delta = adapter.deltas.get(target.name)
            for side, width in ((0, target.in_features), (1, target.out_features)):
                rows = np.zeros((adapter.rank, width), dtype=np.float32)
                if delta is not None:
                    rows[: len(delta[side])] = delta[side]
                base = self.values[2 * i + side].data_ptr()
                self._copy(base + start * width * 4, rows.ctypes.data, rows.nbytes)
        return Lease(start, adapter.rank)
