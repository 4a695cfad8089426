"""A device in host memory: what a GPU would do, done at once, and counted."""

import ctypes

import numpy as np
from numpy.typing import NDArray


class HostDevice:
    """Copies by `memmove`; ONNX Runtime takes its memory for the processor's, which it is."""

    name = "cpu"
    stream = 77

    def __init__(self) -> None:
        self.copied: list[int] = []  # bytes of each copy to the device
        self.fetched: list[int] = []
        self.waits = 0
        self.held: dict[int, NDArray[np.uint8]] = {}

    def pinned(self, size: int) -> int:
        memory = np.zeros(size, dtype=np.uint8)
        self.held[memory.ctypes.data] = memory
        return memory.ctypes.data

    def release(self, address: int) -> None:
        del self.held[address]

    def copy_in(self, destination: int, source: int, count: int) -> None:
        self.copied.append(count)
        ctypes.memmove(destination, source, count)

    def copy_out(self, destination: int, source: int, count: int) -> None:
        self.fetched.append(count)
        ctypes.memmove(destination, source, count)

    def wait(self) -> None:
        self.waits += 1
