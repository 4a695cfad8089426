"""The CUDA runtime and driver, called as they want to be, and missing ones named."""

import ctypes

import pytest

from service.engine.device import cuda_device, describe_gpu
from service.engine.errors import ProviderUnavailable
from tests.fakes.libraries import CudaRuntime, Driver, loader


def test_copies_and_waits_go_through_the_devices_own_stream() -> None:
    runtime = CudaRuntime()
    device = cuda_device(loader(libcudart=runtime))
    assert device.stream == 4096
    source = ctypes.create_string_buffer(b"weights")
    there, back = (ctypes.create_string_buffer(8) for _ in range(2))
    addresses = [ctypes.addressof(each) for each in (source, there, back)]
    device.copy_in(addresses[1], addresses[0], 8)
    device.copy_out(addresses[2], addresses[1], 8)
    device.wait()
    assert back.value == b"weights"
    assert runtime.calls == [
        "cudaStreamCreateWithFlags",
        "cudaMemcpyAsync",
        "cudaMemcpyAsync",
        "cudaStreamSynchronize",
    ]


def test_pinned_memory_is_given_back_only_when_nothing_uses_it() -> None:
    runtime = CudaRuntime()
    device = cuda_device(loader(libcudart=runtime))
    assert device.pinned(64) == 8192
    device.release(8192)
    assert runtime.calls[-2:] == ["cudaStreamSynchronize", "cudaFreeHost"]


def test_a_call_that_fails_names_itself_and_the_error() -> None:
    with pytest.raises(ProviderUnavailable, match="cudaStreamCreateWithFlags failed with error 35"):
        cuda_device(loader(libcudart=CudaRuntime(status=35)))


def test_without_the_cuda_runtime_its_names_are_told() -> None:
    with pytest.raises(ProviderUnavailable, match=r"none of libcudart\.so\.13, .* can be loaded"):
        cuda_device(loader())


def test_a_gpu_is_described_by_what_an_engine_depends_on() -> None:
    described = describe_gpu(loader(libcuda=Driver()))
    assert described == {"gpu": "NVIDIA H100", "capability": "9.0", "driver": "13000"}


def test_without_a_driver_or_a_gpu_it_is_said_which() -> None:
    with pytest.raises(ProviderUnavailable, match=r"libcuda\.so\.1, cannot be loaded"):
        describe_gpu(loader())
    with pytest.raises(ProviderUnavailable, match="the driver finds no GPU"):
        describe_gpu(loader(libcuda=Driver(devices=0)))
