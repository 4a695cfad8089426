"""Every way to a faster precision that was tried: the exporter's own, and others beside them."""

import importlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import openvino
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.baselines.openvino_routes import OpenVinoRoute, Shapes
from exporter.precision.calibration import CalibrationSet
from exporter.precision.catalogue import PRECISIONS
from exporter.precision.emulation import EmulatedHalf
from exporter.precision.linears import Graph
from exporter.precision.making import write_variant
from exporter.precision.recording import record
from exporter.precision.static import Search, quantise_static
from service.engine.bundle import Bundle, Variant
from service.engine.feed import GraphInputs
from service.engine.runtime import OnnxRuntime, Runtime

SLOTS = 32
_PLAIN = Search(alphas=(0.0,), clips=(1.0,), centred=False, corrected=False)
FEW = 128  # calibration inputs for NNCF, of as many texts


@dataclass(frozen=True, slots=True)
class Route:
    """One way: what it is, where it runs, and whether a bundle could hold it."""

    words: str
    place: str  # cpu, openvino
    open: Callable[[], Runtime]
    ships: str = ""  # the variant that it is, or why it is none
    same_answers_as: str = ""  # where it differs from another route in speed alone


def routes_of(
    bundle: Bundle, data: CalibrationSet, feeds: list[GraphInputs], shapes: Shapes
) -> dict[str, Route]:
    """Make every graph; return the routes in the order of the table.

    `data` is what int8 is fitted to, `feeds` are the same as the graph's inputs, and `shapes` those
    of the pass that is timed.
    """
    made = with_variants(bundle, data)
    files = other_graphs(made, data, feeds)
    return {
        **_own_routes(made),
        **_cpu_routes(made, files),
        **_openvino_routes(made, files),
        **_static_routes(made, shapes),
    }


def own_routes(bundle: Bundle, data: CalibrationSet, shapes: Shapes) -> dict[str, Route]:
    """Make the exporter's own graphs alone; return their routes."""
    made = with_variants(bundle, data)
    return {**_own_routes(made), **_static_routes(made, shapes)}


def _own_routes(bundle: Bundle) -> dict[str, Route]:
    return {
        f"{variant}, {place}": Route(
            _WORDS[variant], place, _opener(bundle, variant, place), variant
        )
        for place, variants in _OWN.items()
        for variant in variants
    }


_WORDS = {
    "fp32": "fp32",
    "bf16": "bf16",
    "int8-dynamic": "int8-dynamic: a range per token",
    "int8-static": "int8-static: fitted scales, smoothing, corrected bias",
}
_OWN = {
    "cpu": ("fp32", "int8-dynamic", "int8-static"),
    "openvino": ("fp32", "bf16", "int8-dynamic", "int8-static"),
}
FP32 = "fp32, cpu"
BF16 = "bf16, openvino"
STATIC = "int8-static, openvino"


def _opener(bundle: Bundle, variant: str, place: str) -> Callable[[], Runtime]:
    return lambda: OnnxRuntime(bundle, place, SLOTS, variant=variant)


def with_variants(bundle: Bundle, data: CalibrationSet) -> Bundle:
    """Return a copy of the bundle that holds every precision, passed or not."""
    folder = bundle.path.parent / f"{bundle.path.name}-precisions"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle.path, folder)
    copy = replace(bundle, path=folder)
    variants: dict[str, Variant] = {"fp32": bundle.manifest.variants["fp32"]}
    for name, precision in PRECISIONS.items():
        variants[name] = write_variant(copy, precision, data)
    return replace(copy, manifest=bundle.manifest.model_copy(update={"variants": variants}))


def other_graphs(bundle: Bundle, data: CalibrationSet, feeds: list[GraphInputs]) -> dict[str, Path]:
    """Write the graphs of the routes that no bundle holds."""
    source, folder = bundle.model_path("fp32"), bundle.path
    files = {name: folder / f"{name}.onnx" for name in ("plain", "shared")}
    graph = Graph(onnx.load(str(source)))
    quantise_static(graph, record(bundle, graph, data, folder), _PLAIN)
    onnx.save(graph.model, str(files["plain"]))
    quantize_dynamic(
        str(source), str(files["shared"]), per_channel=True, weight_type=QuantType.QInt8
    )
    nncf = _nncf()
    nncf.set_log_level(logging.ERROR)
    read = openvino.Core().read_model
    products = [op for op in read(str(source)).get_ops() if op.get_type_name() == "MatMul"]
    kept = nncf.IgnoredScope(
        names=[op.get_friendly_name() for op in products if not _has_weight(op)]
    )
    graphs = {
        "nncf": _post_training(read(str(source)), feeds, None),
        "nncf-layers": _post_training(read(str(source)), feeds, kept),
        "compressed": nncf.compress_weights(
            read(str(source)), mode=nncf.CompressWeightsMode.INT8_ASYM
        ),
    }
    for name, made in graphs.items():
        files[name] = folder / f"{name}.xml"
        openvino.save_model(made, str(files[name]), compress_to_fp16=False)
    return files


def _nncf() -> Any:
    try:
        return importlib.import_module("nncf")
    except ImportError as error:
        raise SystemExit("this compares with NNCF; pip install 'nncf>=3.4'") from error


def _has_weight(product: openvino.Node) -> bool:
    return any(
        each.get_source_output().get_node().get_type_name() == "Constant"
        for each in product.inputs()
    )


def _post_training(graph: openvino.Model, feeds: list[GraphInputs], kept: Any) -> openvino.Model:
    nncf = _nncf()
    return nncf.quantize(
        graph,
        nncf.Dataset(feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(feeds),
        ignored_scope=kept,
    )


def _cpu_routes(bundle: Bundle, files: Mapping[str, Path]) -> dict[str, Route]:
    def other(name: str) -> Callable[[], Runtime]:
        return lambda: OnnxRuntime(_holding(bundle, files[name]), "cpu", SLOTS, variant="tried")

    return {
        "plain, cpu": Route("int8, plain ranges (QDQ)", "cpu", other("plain"), "not shipped"),
        "shared, cpu": Route(
            "int8, a range over the whole pass",
            "cpu",
            other("shared"),
            "forbidden: tenants would share it",
        ),
        "fp16, emulated": Route(
            "fp16, for GPUs; here each result is rounded to it",
            "emulated",
            lambda: EmulatedHalf(bundle, "fp16", SLOTS),
            "fp16",
        ),
    }


def _holding(bundle: Bundle, file: Path) -> Bundle:
    tried = Variant(file=file.name, compute="int8", tokens_per_second=0.0)
    manifest = bundle.manifest.model_copy(update={"variants": {"tried": tried}})
    return replace(bundle, manifest=manifest)


def _openvino_routes(bundle: Bundle, files: Mapping[str, Path]) -> dict[str, Route]:
    def route(file: Path, *, half: bool = True, group: int | None = None) -> Callable[[], Runtime]:
        settings = {} if group is None else {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group}
        return lambda: OpenVinoRoute(bundle, file, SLOTS, half=half, settings=settings)

    weights = files["compressed"]
    int8 = bundle.model_path("int8-static")
    made = [
        ("plain", "int8, plain ranges (QDQ)", route(files["plain"])),
        ("nncf", "NNCF post-training int8, everything", route(files["nncf"])),
        ("nncf-layers", "NNCF, the layers alone", route(files["nncf-layers"])),
        ("weights", "NNCF, weights alone in int8", route(weights, group=0)),
        ("weights-32", "the same, activations by groups of 32", route(weights, group=32)),
        ("weights-384", "the same, activations by groups of 384", route(weights, group=384)),
        ("int8 beside fp32", "int8-static, the rest in fp32", route(int8, half=False)),
    ]
    return {
        f"{key}, openvino": Route(words, "openvino", opening, "not shipped")
        for key, words, opening in made
    }


def _static_routes(bundle: Bundle, shapes: Shapes) -> dict[str, Route]:
    fp32, int8 = bundle.model_path("fp32"), bundle.model_path("int8-static")

    def route(file: Path) -> Callable[[], Runtime]:
        return lambda: OpenVinoRoute(bundle, file, SLOTS, shapes=shapes)

    later = "a matter of the session"
    return {
        "bf16, static": Route("bf16, one static shape", "openvino", route(fp32), later, BF16),
        "int8, static": Route(
            "int8-static, one static shape", "openvino", route(int8), later, STATIC
        ),
    }
