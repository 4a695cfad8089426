"""The graph of each variant, opened on the CPU: its inputs and outputs, and a pass of nothing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort

from service.engine.bank import input_names
from service.engine.bundle import Bundle, Manifest, Variant
from service.engine.errors import TenantryError
from service.engine.runtime import OnnxRuntime
from service.engine.sessions import OUTPUTS

_QUIET = 3  # errors alone: what ONNX Runtime warns of is nothing of the bundle's
_BANK_TYPES = {"fp32": "tensor(float)", "fp16": "tensor(float16)"}
_Told = tuple[str, int | None]  # type, and the last dimension where it is fixed


def graph_problems(path: Path, manifest: Manifest, bundle: Bundle | None) -> Iterator[str]:
    """Yield what is wrong with each variant's graph that the CPU can run.

    `bundle` is the opened one; where it cannot be opened, a look at the graphs is all there is.
    A variant that was measured on other providers alone is not opened.
    """
    for name, variant in manifest.variants.items():
        if on_cpu(variant):
            yield from (f"variant {name}: {flaw}" for flaw in _flaws(path, manifest, name, bundle))


def on_cpu(variant: Variant) -> bool:
    """Return whether the CPU provider has run the variant where it was made."""
    return variant.parity is not None or "cpu" in variant.measured


def _flaws(path: Path, manifest: Manifest, name: str, bundle: Bundle | None) -> Iterator[str]:
    variant = manifest.variants[name]
    options = ort.SessionOptions()
    options.log_severity_level = _QUIET
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # only a look
    try:
        session = ort.InferenceSession(
            str(path / variant.file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has a class for every cause
        yield f"{variant.file} cannot be opened: {error}"
        return
    found = {each.name: _told(each) for each in session.get_inputs()}
    expected = _inputs(manifest, variant)
    for input_name in sorted(expected.keys() | found.keys()):
        if found.get(input_name) != expected.get(input_name):
            yield _difference("input", input_name, found, expected)
    outputs = tuple(each.name for each in session.get_outputs())
    if outputs != OUTPUTS:
        yield f"gives {', '.join(outputs)}, expected {', '.join(OUTPUTS)}"
    del session
    if bundle is not None and found.keys() == expected.keys() and outputs == OUTPUTS:
        yield from _run(bundle, name)


def _inputs(manifest: Manifest, variant: Variant) -> dict[str, _Told]:
    """Return the inputs that the manifest promises."""
    whole: _Told = ("tensor(int64)", None)
    if manifest.image is not None:
        found: dict[str, _Told] = {"pixels": ("tensor(float)", manifest.image.width)}
        lora = ["columns"]
    else:
        found = dict.fromkeys(("ids", "positions", "texts", "first"), whole)
        if manifest.token_types:
            found["token_types"] = whole
        lora = ["adapters", "columns", "owners"]
    if manifest.targets:
        found |= dict.fromkeys(lora, whole)
        names = iter(input_names(manifest.targets))
        for target in manifest.targets:
            kind = _BANK_TYPES[variant.bank]
            found[next(names)] = (kind, target.in_features)
            found[next(names)] = (kind, target.out_features)
    return found


def _told(value: ort.NodeArg) -> _Told:
    last = value.shape[-1] if value.shape else None
    return value.type, last if isinstance(last, int) else None


def _difference(what: str, name: str, found: dict[str, _Told], expected: dict[str, _Told]) -> str:
    if name not in found:
        return f"has no {what} {name}, which the manifest promises"
    if name not in expected:
        return f"wants an {what} {name}, of which the manifest says nothing"
    return f"{what} {name} is {found[name]}, expected {expected[name]}"


def _run(bundle: Bundle, name: str) -> Iterator[str]:
    """Run the smallest pass of nothing, with the code that serves."""
    try:
        runtime = OnnxRuntime(bundle, "cpu", slots=1, threads=1, variant=name)
        shape = runtime.grid.shapes[0]
        output = runtime.run(runtime.blank(shape, runtime.layout.column_step))
    except Exception as error:  # noqa: BLE001 - whatever a broken graph makes of it
        if isinstance(error, TenantryError):
            yield str(error)
        else:
            yield f"a pass of nothing failed: {type(error).__name__}: {error}"
        return
    width, promised = output.embedding.shape[1], bundle.manifest.hidden_size
    if width != promised:
        yield f"gives embeddings of {width} numbers, the manifest says {promised}"
    if not np.isfinite(output.embedding).all():
        yield "gives inf or NaN for a pass of nothing"
