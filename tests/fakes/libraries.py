"""Shared libraries of a machine with a GPU, as far as the engine calls them."""

import ctypes
from collections.abc import Callable
from typing import Any


class CudaRuntime:
    """`libcudart`: copies within host memory, and notes each call."""

    def __init__(self, status: int = 0) -> None:
        self.calls: list[str] = []
        self._status = status
        for name in (
            "cudaMemcpyAsync",
            "cudaHostAlloc",
            "cudaFreeHost",
            "cudaStreamCreateWithFlags",
            "cudaStreamSynchronize",
        ):
            setattr(self, name, _Function(name, self))

    def called(self, name: str, *arguments: Any) -> int:
        self.calls.append(name)
        if name == "cudaStreamCreateWithFlags":
            arguments[0]._obj.value = 4096
        elif name == "cudaHostAlloc":
            arguments[0]._obj.value = 8192
        elif name == "cudaMemcpyAsync":
            ctypes.memmove(*arguments[:3])
            assert arguments[4] == 4096, "everything goes through one stream"
        return self._status


class _Function:
    argtypes: list[Any]
    restype: Any

    def __init__(self, name: str, runtime: CudaRuntime) -> None:
        self._name = name
        self._runtime = runtime

    def __call__(self, *arguments: Any) -> int:
        assert len(arguments) == len(self.argtypes)
        return self._runtime.called(self._name, *arguments)


class Driver:
    """`libcuda` of one H100."""

    def __init__(self, devices: int = 1) -> None:
        self._devices = devices

    def cuInit(self, flags: int) -> int:  # noqa: N802 - NVIDIA's names
        assert flags == 0
        return 0 if self._devices else 100

    def cuDeviceGetName(self, name: Any, size: int, device: int) -> int:  # noqa: N802
        assert device == 0
        name.value = b"NVIDIA H100"[: size - 1]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13000
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:  # noqa: N802
        assert device == 0
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0


class Inference:
    """`libnvinfer` of one version."""

    def __init__(self, version: int) -> None:
        self._version = version

    def getInferLibVersion(self) -> int:  # noqa: N802
        return self._version


def loader(**libraries: object) -> Callable[[str], Any]:
    """Return what loads these libraries, called by their names up to the first dot."""

    def load(name: str) -> Any:
        short = name.split(".", maxsplit=1)[0]
        if short not in libraries:
            raise OSError(f"{name}: cannot open shared object file")
        return libraries[short]

    return load
