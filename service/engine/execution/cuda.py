"""CUDA, by onnxruntime-gpu: the bank in device memory, inputs and outputs at fixed addresses.

One stream carries everything, in order: the inputs to the device, the pass, the outputs back. The
host waits once a pass, for the result.
"""

import onnxruntime as ort

from service.engine.bank import input_names
from service.engine.device import Device, cuda_device
from service.engine.device_bank import DeviceBank
from service.engine.device_session import DeviceSession
from service.engine.errors import ProviderUnavailable
from service.engine.execution.cpu import session_options
from service.engine.execution.provider import DeviceOptions, Opened, Opening, Provider, Shaping
from service.engine.feed import Layout

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"


Options = dict[str, str]


def cuda_options(options: DeviceOptions, stream: int) -> Options:
    """Return the provider options of ONNX Runtime for CUDA.

    TF32 rounds what is multiplied to 10 bits: without it, what is called fp32 is fp32.
    A convolution's algorithm is measured once for each shape, of which there are few.
    """
    chosen = {
        "device_id": "0",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "arena_extend_strategy": "kSameAsRequested",
        "user_compute_stream": str(stream),
        "do_copy_in_default_stream": "1",
        "enable_cuda_graph": "1" if options.cuda_graphs else "0",
    }
    if options.memory_bytes_max is not None:
        chosen["gpu_mem_limit"] = str(options.memory_bytes_max)
    return chosen


def find_cuda() -> str:
    """Return what was found; raise `ProviderUnavailable`."""
    if CUDA_PROVIDER not in ort.get_available_providers():
        raise ProviderUnavailable(
            "cuda: this onnxruntime is built without it; pip install 'tenantry[gpu]'"
        )
    return f"ONNX Runtime {ort.__version__}, CUDA"


def open_on_device(
    opening: Opening, providers: list[tuple[str, Options]], device: Device, *, graphs: bool
) -> Opened:
    """Open the graph on the first of the providers, with its bank on the device.

    The others take what the first one does not: the processor computes shapes.

    Raises `ProviderUnavailable` where ONNX Runtime would take another provider instead.
    """
    wanted = providers[0][0]
    session = ort.InferenceSession(
        str(opening.model),
        session_options(opening.threads),
        providers=providers,
    )
    session.disable_fallback()
    if wanted not in session.get_providers():
        raise ProviderUnavailable(
            f"{wanted}: ONNX Runtime could not start it; its log names the library that is missing"
        )
    manifest = opening.bundle.manifest
    bank = DeviceBank(manifest, opening.slots, device, opening.variant.bank)
    banks = dict(zip(input_names(manifest.targets), bank.values, strict=True))
    made = DeviceSession(session, banks, device, graphs=graphs)
    return Opened(made, bank, opening.variant.compute)


def _open(opening: Opening) -> Opened:
    find_cuda()
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    device = cuda_device()
    options = cuda_options(opening.device, device.stream)
    providers = [(CUDA_PROVIDER, options), (CPU_PROVIDER, {})]
    return open_on_device(opening, providers, device, graphs=opening.device.cuda_graphs)


CUDA = Provider(
    "cuda",
    frozenset({"fp32", "fp16"}),
    Shaping(Layout(block_tokens=128, column_step=32, static=True), (2, 4, 8, 16, 32), 4096),
    find_cuda,
    _open,
)
