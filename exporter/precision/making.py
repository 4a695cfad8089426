"""Making the variants of a bundle: each written, measured, and kept or taken away again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from exporter.precision.calibration import CalibrationSet
from exporter.precision.catalogue import FP32, Precision
from exporter.precision.dynamic import quantise_dynamic
from exporter.precision.emulation import EMULATED, EmulatedHalf
from exporter.precision.half import to_half
from exporter.precision.linears import Graph
from exporter.precision.measure import Finding, Reference, make_reference, measure
from exporter.precision.recording import record
from exporter.precision.static import quantise_static
from service.engine.bank import input_names
from service.engine.bundle import Bundle, Refused, Variant
from service.engine.errors import ProviderUnavailable
from service.engine.providers import PROVIDERS
from service.engine.runtime import OnnxRuntime, Runtime

_SPARE_SLOTS = 2  # for the adversaries of a measurement

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True, slots=True)
class Variants:
    """What was made of a bundle's fp32."""

    shipped: dict[str, Variant]
    refused: dict[str, Refused]


def make_variants(
    bundle: Bundle, precisions: Sequence[Precision], data: CalibrationSet, done: Progress
) -> Variants:
    """Make, measure and judge variants beside the fp32 of a bundle that is being written.

    Files of variants that pass lie in the bundle's directory afterwards; those of others are gone.
    """
    if not precisions:
        return Variants({}, {})
    shipped: dict[str, Variant] = {}
    refused: dict[str, Refused] = {}
    steps = 1 + 2 * len(precisions)
    reference = make_reference(bundle, data)
    done(1, steps)
    for number, precision in enumerate(precisions):
        variant = write_variant(bundle, precision, data)
        done(2 + 2 * number, steps)
        findings, absent = _measure(bundle, precision, variant, reference)
        reasons = [f"{name}: {w}" for name, found in findings.items() for w in found.breaches]
        measured = {name: found.measured for name, found in findings.items()}
        if reasons or not findings:
            _remove(bundle, variant)
            refused[precision.name] = Refused(reasons=tuple(reasons or absent), measured=measured)
        else:
            speed = max(each.tokens_per_second for each in measured.values())
            shipped[precision.name] = variant.model_copy(
                update={"measured": measured, "tokens_per_second": speed}
            )
        done(3 + 2 * number, steps)
    return Variants(shipped, refused)


def write_variant(bundle: Bundle, precision: Precision, data: CalibrationSet) -> Variant:
    """Write the graph of a variant; return the variant, not yet measured."""
    source = bundle.model_path(FP32)
    file = source.name
    if precision.own_graph:
        file = f"model.{precision.name}.onnx"
        made = _made(bundle, precision, onnx.load(str(source)), data)
        (bundle.path / f"{file}.data").unlink(missing_ok=True)  # onnx appends to what is there
        onnx.save(
            made,
            str(bundle.path / file),
            save_as_external_data=True,
            location=f"{file}.data",
            size_threshold=1024,
        )
    return Variant(file=file, compute=precision.compute, bank=precision.bank, tokens_per_second=0.0)


def _made(
    bundle: Bundle, precision: Precision, model: onnx.ModelProto, data: CalibrationSet
) -> onnx.ModelProto:
    if precision.compute == "fp16":
        return to_half(model, input_names(bundle.manifest.targets))
    graph = Graph(model)
    if precision.calibrated:
        quantise_static(graph, record(bundle, graph, data, bundle.path))
    else:
        quantise_dynamic(graph)
    return graph.model


def _remove(bundle: Bundle, variant: Variant) -> None:
    if variant.file == bundle.manifest.variants[FP32].file:
        return
    for name in (variant.file, f"{variant.file}.data"):
        (bundle.path / name).unlink(missing_ok=True)


def _measure(
    bundle: Bundle, precision: Precision, variant: Variant, reference: Reference
) -> tuple[dict[str, Finding], list[str]]:
    """Return what was found on each provider that runs here, and why others do not."""
    variants = {**bundle.manifest.variants, precision.name: variant}
    manifest = bundle.manifest.model_copy(update={"variants": variants})
    candidate = Bundle(bundle.path, bundle.digest, manifest, bundle.head)
    slots = len(reference.adapters) + _SPARE_SLOTS
    findings: dict[str, Finding] = {}
    absent: list[str] = []
    for name, provider in PROVIDERS.items():
        if precision.compute not in provider.computes:
            continue
        try:
            provider.find()
            runtime: Runtime = OnnxRuntime(candidate, name, slots, variant=precision.name)
        except ProviderUnavailable as error:
            absent.append(str(error))
            continue
        findings[name] = measure(candidate, runtime, reference, precision.tolerance)
    if not findings and precision.compute == "fp16":
        runtime = EmulatedHalf(candidate, precision.name, slots)
        findings[EMULATED] = measure(candidate, runtime, reference, precision.tolerance)
    return findings, absent or [f"no provider multiplies in {precision.compute}"]
