"""Execution providers: which run on this machine, and how each one wants the graph fed.

    cpu        ONNX Runtime's own, always there
    openvino   OpenVINO on any x86-64 processor, in bf16 where the processor multiplies in it; it
               prepares every new shape, so it gets few
    cuda       needs onnxruntime-gpu; the bank lies in device memory

On each the bank stays where it is and the graph gathers from it (docs/adr/0011-openvino-by-its-own-
package.md). A provider that cannot run says why; nothing falls back silently.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from service.engine.bank import Bank, HostBank, input_names
from service.engine.bundle import Manifest
from service.engine.device_bank import DeviceBank
from service.engine.errors import ProviderUnavailable
from service.engine.feed import Layout
from service.engine.sessions import OpenVinoSession, OrtSession, Session

# ONNX Runtime fuses `x + bias + residual` into a CPU kernel for layer norm that is slower than
# the two operators it replaces (docs/concepts/engine.md has the measurement).
_CPU_FUSIONS_THAT_LOSE = ["SkipLayerNormFusion"]


@dataclass(frozen=True, slots=True)
class Opening:
    """What a provider opens: a graph, and a bank of so many slots."""

    model: Path
    manifest: Manifest
    slots: int
    threads: int  # of one pass


@dataclass(frozen=True, slots=True)
class Opened:
    """A graph that can run, and its bank."""

    session: Session
    bank: Bank
    precision: str  # what it computes in


@dataclass(frozen=True, slots=True)
class Provider:
    """How one execution provider is opened and fed."""

    name: str
    layout: Layout
    row_counts: tuple[int, ...]
    token_budget: int
    find: Callable[[], str]  # describes what was found; raises ProviderUnavailable
    open: Callable[[Opening], Opened]


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def processor_flags() -> frozenset[str]:
    """Return the instruction sets of this processor, as Linux names them; none elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return frozenset()
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return frozenset(next((x for x in lines if x.startswith("flags")), "").split()[2:])


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Spin inside a run, where the next operator is microseconds away, and not between runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _find_cpu() -> str:
    return f"ONNX Runtime {ort.__version__}, CPU"


def _open_cpu(opening: Opening) -> Opened:
    session = ort.InferenceSession(
        str(opening.model),
        _options(opening.threads),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_CPU_FUSIONS_THAT_LOSE,
    )
    bank = HostBank(opening.manifest, opening.slots)
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in bank.arrays]
    names = input_names(opening.manifest.targets)
    return Opened(OrtSession(session, dict(zip(names, values, strict=True))), bank, "fp32")


def _find_openvino() -> str:
    try:
        import openvino
    except ImportError as error:
        raise ProviderUnavailable(
            "openvino: the package is not installed; pip install 'tenantry[openvino]'"
        ) from error
    if "CPU" not in openvino.Core().available_devices:
        raise ProviderUnavailable("openvino: it finds no CPU that it can run on")
    return f"OpenVINO {openvino.__version__.split('-')[0]}, CPU"


def _open_openvino(opening: Opening) -> Opened:
    _find_openvino()
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    bank = HostBank(opening.manifest, opening.slots, half="BF16" in capabilities)
    names = input_names(opening.manifest.targets)
    session = OpenVinoSession(opening.model, opening.threads, bank, names)
    return Opened(session, bank, "bf16" if bank.half else "fp32")


_CUDA = "CUDAExecutionProvider"


def _find_cuda() -> str:
    if _CUDA not in ort.get_available_providers():
        raise ProviderUnavailable(
            "cuda: this onnxruntime is built without it; pip install 'tenantry[gpu]'"
        )
    return f"ONNX Runtime {ort.__version__}, CUDA"


def _open_cuda(opening: Opening) -> Opened:
    _find_cuda()
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    session = ort.InferenceSession(
        str(opening.model),
        _options(opening.threads),
        providers=[_CUDA, "CPUExecutionProvider"],
    )
    session.disable_fallback()
    if _CUDA not in session.get_providers():
        raise ProviderUnavailable(
            "cuda: ONNX Runtime could not start it; its log names the library that is missing"
        )
    bank = DeviceBank(opening.manifest, opening.slots)
    names = input_names(opening.manifest.targets)
    return Opened(OrtSession(session, dict(zip(names, bank.values, strict=True))), bank, "fp32")


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "cpu", Layout(block_tokens=64, column_step=8), (2, 3, 4), 512, _find_cpu, _open_cpu
        ),
        Provider(
            "openvino",
            Layout(block_tokens=32, column_step=16, static=True),
            (2, 3, 4),
            512,
            _find_openvino,
            _open_openvino,
        ),
        Provider(
            "cuda",
            Layout(block_tokens=128, column_step=32, static=True),
            (2, 4, 8, 16, 32),
            4096,
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
