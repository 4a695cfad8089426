"""A GPU as the engine needs it: page-locked memory, copies in the order of one stream, one wait.

The CUDA runtime is called directly, since ONNX Runtime's own copies wait for each other.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

from service.engine.errors import ProviderUnavailable

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind
_NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the stream of other libraries
_RUNTIMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")

_NAME_BYTES = 256
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*

Load = Callable[[str], Any]  # a shared library by its name; raises OSError


class Device(Protocol):
    """One GPU; all calls come from one thread, and what they start happens in their order."""

    name: str  # as ONNX Runtime calls it
    stream: int  # the address of the stream

    def pinned(self, size: int) -> int:
        """Return the address of so many bytes of host memory that the device can read itself."""
        ...

    def release(self, address: int) -> None:
        """Give back what `pinned` returned, once everything before has happened."""
        ...

    def copy_in(self, destination: int, source: int, count: int) -> None:
        """Begin to copy bytes from the host to the device.

        The source may change at once, unless it is pinned: then after `wait`.
        """
        ...

    def copy_out(self, destination: int, source: int, count: int) -> None:
        """Begin to copy bytes from the device to pinned host memory."""
        ...

    def wait(self) -> None:
        """Return when everything that was begun has happened."""
        ...


class CudaDevice:
    """The first GPU, by the CUDA runtime and a stream of its own."""

    name = "cuda"

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        for function, kinds in (
            ("cudaMemcpyAsync", [ctypes.c_void_p] * 2 + [ctypes.c_size_t, ctypes.c_int]),
            ("cudaHostAlloc", [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_uint]),
            ("cudaFreeHost", [ctypes.c_void_p]),
            ("cudaStreamCreateWithFlags", [ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint]),
            ("cudaStreamSynchronize", [ctypes.c_void_p]),
        ):
            extra = [ctypes.c_void_p] if function == "cudaMemcpyAsync" else []
            getattr(runtime, function).argtypes = kinds + extra
            getattr(runtime, function).restype = ctypes.c_int
        stream = ctypes.c_void_p()
        self._call("cudaStreamCreateWithFlags", ctypes.byref(stream), _NON_BLOCKING)
        self.stream = stream.value or 0

    def pinned(self, size: int) -> int:
        """Return the address of so many bytes of host memory that the device can read itself."""
        address = ctypes.c_void_p()
        self._call("cudaHostAlloc", ctypes.byref(address), size, 0)
        return address.value or 0

    def release(self, address: int) -> None:
        """Give back what `pinned` returned, once everything before has happened."""
        self.wait()
        self._call("cudaFreeHost", address)

    def copy_in(self, destination: int, source: int, count: int) -> None:
        """Begin to copy bytes from the host to the device."""
        self._call("cudaMemcpyAsync", destination, source, count, _HOST_TO_DEVICE, self.stream)

    def copy_out(self, destination: int, source: int, count: int) -> None:
        """Begin to copy bytes from the device to pinned host memory."""
        self._call("cudaMemcpyAsync", destination, source, count, _DEVICE_TO_HOST, self.stream)

    def wait(self) -> None:
        """Return when everything that was begun has happened."""
        self._call("cudaStreamSynchronize", self.stream)

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._runtime, function)(*arguments)
        if status:
            raise ProviderUnavailable(f"cuda: {function} failed with error {status}")


def cuda_device(load: Load = ctypes.CDLL) -> CudaDevice:
    """Return the first GPU; raise `ProviderUnavailable` where there is no CUDA runtime or GPU."""
    for name in _RUNTIMES:
        try:
            return CudaDevice(load(name))
        except OSError:
            continue
    raise ProviderUnavailable(
        f"cuda: none of {', '.join(_RUNTIMES)} can be loaded; pip install 'tenantry[gpu]' brings"
        " one"
    )


def describe_gpu(load: Load = ctypes.CDLL) -> dict[str, str]:
    """Return what an engine that was built for the first GPU depends on.

    Its name, its compute capability and the driver's version of CUDA. Raises
    `ProviderUnavailable` where there is no driver or no GPU.
    """
    try:
        driver = load("libcuda.so.1")
    except OSError as error:
        raise ProviderUnavailable("cuda: the driver, libcuda.so.1, cannot be loaded") from error
    if driver.cuInit(0):
        raise ProviderUnavailable("cuda: the driver finds no GPU")
    name = ctypes.create_string_buffer(_NAME_BYTES)
    version, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    failed = (
        driver.cuDeviceGetName(name, _NAME_BYTES, 0)
        or driver.cuDriverGetVersion(ctypes.byref(version))
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, 0)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, 0)
    )
    if failed:
        raise ProviderUnavailable(f"cuda: the driver does not describe the GPU: error {failed}")
    return {
        "gpu": name.value.decode("utf-8", "replace"),
        "capability": f"{major.value}.{minor.value}",
        "driver": str(version.value),
    }
