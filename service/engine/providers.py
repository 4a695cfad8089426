"""Execution providers: which run on this machine, and which variants of a bundle each one runs.

    cpu        ONNX Runtime's own, always there
    openvino   OpenVINO on any x86-64 processor; it prepares every new shape, so it gets few
    cuda       needs onnxruntime-gpu; the bank lies in device memory
    tensorrt   needs onnxruntime-gpu and TensorRT; it builds an engine, and keeps it

On each the bank stays where it is and the graph gathers from it (docs/adr/0011-openvino-by-its-own-
package.md). A provider that cannot run says why; nothing falls back silently.
"""

from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable
from service.engine.execution.cpu import CPU
from service.engine.execution.cuda import CUDA
from service.engine.execution.openvino import OPENVINO
from service.engine.execution.provider import Provider
from service.engine.execution.tensorrt import TENSORRT

# cpu comes first: its fp32 is the measure of the others
PROVIDERS: dict[str, Provider] = {each.name: each for each in (CPU, OPENVINO, CUDA, TENSORRT)}


def provider_named(name: str) -> Provider:
    """Return the provider; raise `ProviderUnavailable` where it is unknown or does not run."""
    if name not in PROVIDERS:
        raise ProviderUnavailable(f"{name!r} is no provider; there are {', '.join(PROVIDERS)}")
    PROVIDERS[name].find()
    return PROVIDERS[name]


def runnable(bundle: Bundle) -> list[tuple[str, str]]:
    """Return the pairs of (variant, provider) that multiply in what the variant says.

    Whether the provider runs on this machine is another question, which `find` answers.
    """
    return [
        (name, provider.name)
        for provider in PROVIDERS.values()
        for name, variant in sorted(bundle.manifest.variants.items())
        if variant.compute in provider.computes
    ]
