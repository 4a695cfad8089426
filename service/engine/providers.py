"""Execution providers: which run on this machine, and how each one wants the graph fed.

    cpu        ONNX Runtime's own, always there; the bank stays resident, cost does not grow with it
    openvino   a plug-in for stock ONNX Runtime on Intel processors; it copies the bank at each
               run, so it gets only the rows of the batch, and few shapes, because it re-prepares
               each new one
    cuda       needs onnxruntime-gpu; the bank lies in device memory

A provider that cannot run says why; nothing falls back silently.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from service.engine.errors import ProviderUnavailable
from service.engine.feed import Layout

BankKind = Literal["resident", "local", "device"]

# ONNX Runtime fuses `x + bias + residual` into a CPU kernel for layer norm that is slower than
# the two operators it replaces (docs/concepts/engine.md has the measurement).
_CPU_FUSIONS_THAT_LOSE = ["SkipLayerNormFusion"]


@dataclass(frozen=True, slots=True)
class Provider:
    """How one execution provider is opened and fed."""

    name: str
    bank: BankKind
    layout: Layout
    row_counts: tuple[int, ...]
    token_budget: int
    precision: Callable[[str], str]  # what it computes in, of a variant
    find: Callable[[], str]  # describes what was found; raises ProviderUnavailable
    session: Callable[[Path, int], ort.InferenceSession]


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Spin inside a run, where the next operator is microseconds away, and not between runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def processor_flags() -> frozenset[str]:
    """Return the instruction sets of this processor, as Linux names them; none elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return frozenset()
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return frozenset(next((x for x in lines if x.startswith("flags")), "").split()[2:])


def _as_exported(variant: str) -> str:
    return variant


def _openvino_precision(variant: str) -> str:
    """Return bf16 for fp32 graphs where the processor multiplies in it: OpenVINO then does."""
    fast = processor_flags() & {"amx_bf16", "avx512_bf16"}
    return "bf16" if variant == "fp32" and fast else variant


def _find_cpu() -> str:
    return f"ONNX Runtime {ort.__version__}, CPU"


def _open_cpu(model: Path, threads: int) -> ort.InferenceSession:
    return ort.InferenceSession(
        str(model),
        _options(threads),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_CPU_FUSIONS_THAT_LOSE,
    )


_OPENVINO = "OpenVINOExecutionProvider"


def _openvino_device() -> ort.OrtEpDevice:
    try:
        import onnxruntime_ep_openvino as plugin
    except ImportError as error:
        raise ProviderUnavailable(
            "openvino: the package onnxruntime-ep-openvino is not installed;"
            " pip install 'tenantry[openvino]'"
        ) from error
    if _OPENVINO not in ort.get_available_providers() and not _devices():
        try:
            ort.register_execution_provider_library(_OPENVINO, plugin.get_library_path())
        except Exception as error:
            raise ProviderUnavailable(f"openvino: the plug-in does not load: {error}") from error
    devices = [d for d in _devices() if d.device.type == ort.OrtHardwareDeviceType.CPU]
    if not devices:
        raise ProviderUnavailable(
            "openvino: the plug-in finds no device here; it takes Intel processors only"
        )
    return devices[0]


def _devices() -> list[ort.OrtEpDevice]:
    return [d for d in ort.get_ep_devices() if d.ep_name.startswith(_OPENVINO)]


def _find_openvino() -> str:
    device = _openvino_device()
    return f"OpenVINO plug-in {device.ep_metadata.get('version', '?')}, {device.device.vendor} CPU"


def _open_openvino(model: Path, threads: int) -> ort.InferenceSession:
    options = _options(threads)
    options.add_provider_for_devices([_openvino_device()], {"num_of_threads": str(threads)})
    return ort.InferenceSession(str(model), options)


_CUDA = "CUDAExecutionProvider"


def _find_cuda() -> str:
    if _CUDA not in ort.get_available_providers():
        raise ProviderUnavailable(
            "cuda: this onnxruntime is built without it; pip install 'tenantry[gpu]'"
        )
    return f"ONNX Runtime {ort.__version__}, CUDA"


def _open_cuda(model: Path, threads: int) -> ort.InferenceSession:
    _find_cuda()
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    session = ort.InferenceSession(
        str(model),
        _options(threads),
        providers=[(_CUDA, {"cudnn_conv_use_max_workspace": "0"}), "CPUExecutionProvider"],
    )
    session.disable_fallback()
    if _CUDA not in session.get_providers():
        raise ProviderUnavailable(
            "cuda: ONNX Runtime could not start it; its log names the library that is missing"
        )
    return session


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "cpu",
            "resident",
            Layout(block_tokens=64, column_step=8),
            (2, 3, 4),
            512,
            _as_exported,
            _find_cpu,
            _open_cpu,
        ),
        Provider(
            "openvino",
            "local",
            Layout(block_tokens=128, column_step=32, static=True),
            (2, 4),
            512,
            _openvino_precision,
            _find_openvino,
            _open_openvino,
        ),
        Provider(
            "cuda",
            "device",
            Layout(block_tokens=128, column_step=32, static=True),
            (2, 4, 8, 16, 32),
            4096,
            _as_exported,
            _find_cuda,
            _open_cuda,
        ),
    )
}


def provider_named(name: str) -> Provider:
    """Return the provider; raise `ProviderUnavailable` where it is unknown or does not run."""
    if name not in PROVIDERS:
        raise ProviderUnavailable(f"{name!r} is no provider; there are {', '.join(PROVIDERS)}")
    PROVIDERS[name].find()
    return PROVIDERS[name]
