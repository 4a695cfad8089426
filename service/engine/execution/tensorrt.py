"""TensorRT, by onnxruntime-gpu's provider: engines built once for this bundle and this GPU.

Detected and never required. An engine takes minutes to build, so it is kept in the state directory
under the digest of all that it depends on; ONNX Runtime itself would take a stale one.
"""

import ctypes
import shutil
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort
import orjson

from service.engine import digest
from service.engine.bundle import Bundle
from service.engine.device import Load, cuda_device, describe_gpu
from service.engine.errors import ProviderUnavailable
from service.engine.execution.cuda import (
    CPU_PROVIDER,
    CUDA,
    CUDA_PROVIDER,
    Options,
    cuda_options,
    open_on_device,
)
from service.engine.execution.profiles import profile_of
from service.engine.execution.provider import Opened, Opening, Provider
from service.engine.inputs import graph_inputs

TENSORRT_PROVIDER = "TensorrtExecutionProvider"
_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so")
_KEY_FILE = "key.json"
_KEPT = 4  # folders of engines: each may hold gigabytes
_BUILDER_LEVEL = "3"  # TensorRT's own default level of optimisation


def tensorrt_version(load: Load = ctypes.CDLL) -> str:
    """Return the version of TensorRT; raise `ProviderUnavailable` where it is not installed."""
    for name in _LIBRARIES:
        try:
            library = load(name)
        except OSError:
            continue
        number = int(library.getInferLibVersion())
        # 10.13.2 is 101302; up to 9 it was 8601 for 8.6.1
        parts = (number // 10_000, number // 100 % 100, number % 100)
        return ".".join(map(str, parts))
    raise ProviderUnavailable(
        f"tensorrt: {_LIBRARIES[0]} cannot be loaded; install TensorRT 10 for your CUDA version"
        " from NVIDIA, and put the folder of its libraries into LD_LIBRARY_PATH"
    )


def find_tensorrt(load: Load = ctypes.CDLL) -> str:
    """Return what was found; raise `ProviderUnavailable`, naming what is missing."""
    if TENSORRT_PROVIDER not in ort.get_available_providers():
        raise ProviderUnavailable(
            "tensorrt: this onnxruntime is built without it; pip install 'tenantry[gpu]'"
        )
    version = tensorrt_version(load)
    return f"ONNX Runtime {ort.__version__}, TensorRT {version}"


def engine_key(
    bundle: Bundle, variant: str, options: Mapping[str, str], versions: Mapping[str, str]
) -> dict[str, object]:
    """Return all that a built engine depends on.

    `versions` say which GPU, driver, TensorRT and ONNX Runtime; `options` hold the profile.
    """
    return {
        "bundle": bundle.digest,
        "variant": variant,
        "versions": dict(versions),
        "options": {k: v for k, v in options.items() if not k.endswith(("_stream", "_path"))},
    }


def engine_folder(engines: Path, key: Mapping[str, object]) -> Path:
    """Return the folder for engines of this key, made if it is not there.

    Beyond the `_KEPT` folders used last, older ones are removed.
    """
    folder = engines / digest.of_document(dict(key)).removeprefix("sha256:")[:32]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _KEY_FILE).write_bytes(orjson.dumps(dict(key), option=orjson.OPT_INDENT_2))
    others = [each for each in engines.iterdir() if each != folder and (each / _KEY_FILE).is_file()]
    others.sort(key=lambda each: (each / _KEY_FILE).stat().st_mtime, reverse=True)
    for old in others[_KEPT - 1 :]:
        shutil.rmtree(old)
    return folder


def tensorrt_options(opening: Opening, stream: int) -> Options:
    """Return the provider options of ONNX Runtime for TensorRT, but for where engines are kept."""
    manifest = opening.bundle.manifest
    profile = profile_of(opening.bundle, opening.shaping, opening.slots, graph_inputs(manifest))
    chosen = {
        "device_id": "0",
        "trt_fp16_enable": "1" if opening.variant.compute == "fp16" else "0",
        "trt_int8_enable": "1" if opening.variant.compute == "int8" else "0",
        "trt_layer_norm_fp32_fallback": "1",
        "trt_builder_optimization_level": _BUILDER_LEVEL,
        "trt_cuda_graph_enable": "1" if opening.device.cuda_graphs else "0",
        "user_compute_stream": str(stream),
        **profile.options(),
    }
    if opening.device.memory_bytes_max is not None:
        chosen["trt_max_workspace_size"] = str(opening.device.memory_bytes_max)
    return chosen


def cache_options(folder: Path | None) -> Options:
    """Return the options that let engines be kept in a folder; none of them without one."""
    if folder is None:
        return {}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def _open(opening: Opening) -> Opened:
    find_tensorrt()
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    device = cuda_device()
    options = tensorrt_options(opening, device.stream)
    folder = None
    if opening.device.engines is not None:
        versions = describe_gpu() | {
            "tensorrt": tensorrt_version(),
            "onnxruntime": ort.__version__,
        }
        key = engine_key(opening.bundle, opening.name, options, versions)
        folder = engine_folder(opening.device.engines, key)
    # CUDA takes what TensorRT does not; `tenantry export` tells beforehand that there is such.
    beside = cuda_options(opening.device, device.stream) | {"enable_cuda_graph": "0"}
    providers = [
        (TENSORRT_PROVIDER, options | cache_options(folder)),
        (CUDA_PROVIDER, beside),
        (CPU_PROVIDER, {}),
    ]
    return open_on_device(opening, providers, device, graphs=opening.device.cuda_graphs)


TENSORRT = Provider(
    "tensorrt",
    frozenset({"fp32", "fp16", "int8"}),
    CUDA.shaping,
    find_tensorrt,
    _open,
)
