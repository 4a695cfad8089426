"""OpenVINO on a processor, by its own package (docs/adr/0011-openvino-by-its-own-package.md).

The variant says what it multiplies in. What an int8 graph leaves in float runs in bf16 where the
processor has it.
"""

from service.engine.bank import HostBank, input_names
from service.engine.bundle import Compute
from service.engine.errors import ProviderUnavailable
from service.engine.execution.provider import Opened, Opening, Provider, Shaping
from service.engine.feed import Layout
from service.engine.sessions import OpenVinoSession


def multiplies_in_bf16(compute: Compute, capabilities: list[str]) -> bool:
    """Return whether what is float in a variant runs in bf16, where the processor has these.

    Raises `ProviderUnavailable` for a bf16 variant on a processor without it.
    """
    has = "BF16" in capabilities
    if compute == "bf16" and not has:
        raise ProviderUnavailable(
            "openvino: this processor does not multiply in bf16; take the variant fp32"
        )
    return has and compute != "fp32"


def _find() -> str:
    try:
        import openvino
    except ImportError as error:
        raise ProviderUnavailable(
            "openvino: the package is not installed; pip install 'tenantry[openvino]'"
        ) from error
    if "CPU" not in openvino.Core().available_devices:
        raise ProviderUnavailable("openvino: it finds no CPU that it can run on")
    return f"OpenVINO {openvino.__version__.split('-')[0]}, CPU"


def _open(opening: Opening) -> Opened:
    _find()
    import openvino

    compute = opening.variant.compute
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    manifest = opening.bundle.manifest
    half = multiplies_in_bf16(compute, capabilities)
    bank = HostBank(manifest, opening.slots, half=half)
    names = input_names(manifest.targets)
    session = OpenVinoSession(opening.model, opening.threads, bank, names)
    return Opened(session, bank, compute)


OPENVINO = Provider(
    "openvino",
    frozenset({"fp32", "bf16", "int8"}),
    Shaping(Layout(block_tokens=32, column_step=16, static=True), (2, 3, 4), 512),
    _find,
    _open,
)
