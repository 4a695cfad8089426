"""The precisions that a bundle may hold beside fp32, and what each is held to.

The limits were set from measurements on one model and one set (docs/concepts/precision.md): on
MiniLM with BANKING77 bf16 and fp16 keep to about a third of them, int8 to about 70 %, and int8 from
plain ranges breaks them. They are not what somebody required beforehand.
"""

from dataclasses import dataclass
from typing import Literal

from exporter.errors import UnsupportedModel
from exporter.precision.tolerance import Tolerance
from service.engine.bundle import Compute

FP32 = "fp32"  # which every bundle holds
AUTO = "auto"  # what is cheap to make and runs here


@dataclass(frozen=True, slots=True)
class Precision:
    """One way to make a variant."""

    name: str
    compute: Compute
    tolerance: Tolerance
    bank: Literal["fp32", "fp16"] = "fp32"
    own_graph: bool = True  # False: it is the fp32 graph, multiplied in another type
    calibrated: bool = False  # whether it cannot be made without real inputs


_BF16 = Tolerance(
    max_probability_error=0.05,
    mean_probability_error=0.005,
    label_agreement=0.99,
    accuracy_loss=0.005,
    calibration_error_growth=0.01,
    max_embedding_error=0.03,
    max_neighbour_error=0.03,
)
_FP16 = Tolerance(
    max_probability_error=0.02,
    mean_probability_error=0.002,
    label_agreement=0.995,
    accuracy_loss=0.005,
    calibration_error_growth=0.01,
    max_embedding_error=0.01,
    max_neighbour_error=0.005,
)
_INT8 = Tolerance(
    max_probability_error=0.5,
    mean_probability_error=0.03,
    label_agreement=0.97,
    accuracy_loss=0.005,
    calibration_error_growth=0.02,
    max_embedding_error=0.3,
    max_neighbour_error=0.1,
)

PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("bf16", "bf16", _BF16, own_graph=False),
        Precision("fp16", "fp16", _FP16, bank="fp16"),
        Precision("int8-dynamic", "int8", _INT8),
        Precision("int8-static", "int8", _INT8, calibrated=True),
    )
}


def precisions_named(names: tuple[str, ...], *, calibrated: bool) -> tuple[Precision, ...]:
    """Return the precisions asked for, without fp32; `calibrated`: a calibration set is given.

    `auto` is bf16, and with a calibration set int8-static too. Raises `UnsupportedModel` for a
    name that there is not, and for one that needs the set and has none.
    """
    if names == (AUTO,):
        names = ("bf16", "int8-static") if calibrated else ("bf16",)
    unknown = [name for name in names if name != FP32 and name not in PRECISIONS]
    if unknown:
        have = ", ".join([FP32, *PRECISIONS])
        raise UnsupportedModel(
            f"--precisions {unknown[0]}: there are {have}, or {AUTO} alone for what is cheap"
        )
    found = tuple(PRECISIONS[name] for name in dict.fromkeys(names) if name != FP32)
    for precision in found:
        if precision.calibrated and not calibrated:
            raise UnsupportedModel(
                f"--precisions {precision.name}: its scales are fitted to real inputs; give some"
                ' with --calibration FILE, a line {"text": ..., "label": ...} each'
            )
    return found
