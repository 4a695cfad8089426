"""The static check: would TensorRT build an engine of a bundle's graphs? No GPU is needed.

It says what the published table says (`exporter/tensorrt/support.py`), and nothing of what TensorRT
finds out only when it builds. Where it finds nothing, an engine can still fail to build.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import shape_inference

from exporter.tensorrt.finding import Finding
from exporter.tensorrt.graph import Scope, bodies, place
from exporter.tensorrt.rules import RULES, constant_inputs
from exporter.tensorrt.shapes import shape_faults
from exporter.tensorrt.support import (
    BY_OUTPUT,
    DATA_DEPENDENT,
    DATA_INPUTS,
    DIMENSIONS_MAX,
    KNOWN,
    OPSETS,
    QUANTISED,
    SUPPORTED,
    VERSION,
)
from service.engine.bundle import Bundle, open_bundle
from service.engine.execution.profiles import Profile, profile_of
from service.engine.execution.tensorrt import TENSORRT
from service.engine.inputs import graph_inputs

_SLOTS = 128  # the service's default; a profile's bank has one shape, whatever it is
_OWN_DOMAINS = ("", "ai.onnx")
_QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def check(bundle_path: Path) -> list[Finding]:
    """Return what TensorRT does not take of a bundle's variants; raise `InvalidBundle`."""
    return check_bundle(open_bundle(bundle_path))


def check_bundle(bundle: Bundle) -> list[Finding]:
    """Return what TensorRT does not take of those variants that its provider runs."""
    profile = profile_of(bundle, TENSORRT.shaping, _SLOTS, graph_inputs(bundle.manifest))
    found: list[Finding] = []
    for name, variant in sorted(bundle.manifest.variants.items()):
        if variant.compute in TENSORRT.computes:
            model = onnx.load(str(bundle.model_path(name)), load_external_data=False)
            found += check_model(model, profile, name)
    return found


def check_model(model: onnx.ModelProto, profile: Profile, variant: str) -> list[Finding]:
    """Return the findings of one graph, each once, in the graph's order."""
    faults = list(_opsets(model))
    try:
        inferred = shape_inference.infer_shapes(model)
    except shape_inference.InferenceError as error:
        inferred = model
        what = f"types and dimensions within it cannot be inferred, so some go unchecked: {error}"
        faults.append(("the graph", what, False))
    functions = {(each.domain, each.name) for each in model.functions}
    scope = Scope(inferred.graph)
    faults += _inputs(inferred.graph, profile.most)
    faults += _graph(scope, functions)
    for function in model.functions:
        body = onnx.GraphProto(node=function.node, name=function.name)
        inside = Scope(body, path=f"{function.name}/")
        faults += _graph(inside, functions, typed=False)
    return [Finding(variant, *each) for each in dict.fromkeys(faults)]


Fault = tuple[str, str, bool]  # where, what, whether it blocks
Functions = set[tuple[str, str]]


def _opsets(model: onnx.ModelProto) -> Iterator[Fault]:
    for each in model.opset_import:
        if each.domain in _OWN_DOMAINS and each.version not in OPSETS:
            span = f"{OPSETS[0]} to {OPSETS[-1]}"
            yield "the graph", f"opset {each.version}; TensorRT {VERSION} takes {span}", True


def _inputs(graph: onnx.GraphProto, profile: Mapping[str, tuple[int, ...]]) -> Iterator[Fault]:
    """Yield inputs whose dimensions no profile bounds."""
    constants = {each.name for each in graph.initializer}
    for each in graph.input:
        if each.name in constants:
            continue
        where = f"input {each.name!r}"
        kind = each.type.tensor_type
        if not kind.HasField("shape"):
            yield where, "its shape is not known, not even its rank", True
            continue
        fixed = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
        given = profile.get(each.name)
        if given is None:
            if None in fixed:
                yield where, "it has dynamic dimensions, and the profile does not name it", True
        elif len(given) != len(fixed):
            yield where, f"it has {len(fixed)} dimensions, and its profile {len(given)}", True
        elif any(
            size is not None and size != most for size, most in zip(fixed, given, strict=True)
        ):
            yield where, f"its fixed dimensions are {fixed}, and its profile has {given}", True


def _graph(scope: Scope, functions: Functions, *, typed: bool = True) -> Iterator[Fault]:
    """Yield the faults of every node, those of the graphs that nodes hold included."""
    for name in {**scope.values, **scope.constants} if typed else {}:
        rank = scope.rank_of(name)
        if rank is not None and rank > DIMENSIONS_MAX:
            yield f"{scope.path}{name}", f"{rank} dimensions; {DIMENSIONS_MAX} are the most", True
    for node in scope.graph.node:
        where = place(node, scope)
        yield from ((where, what, blocks) for what, blocks in _node(node, scope, functions, typed))
        for attribute, body in bodies(node):
            path = f"{scope.path}{node.name or node.op_type}.{attribute}/"
            yield from _graph(Scope(body, scope, path), functions, typed=typed)


def _node(
    node: onnx.NodeProto, scope: Scope, functions: Functions, typed: bool
) -> Iterator[tuple[str, bool]]:
    if (node.domain, node.op_type) in functions:
        return
    if node.domain not in _OWN_DOMAINS:
        yield f"an operator of {node.domain}, which is not ONNX's", True
        return
    if node.op_type not in SUPPORTED:
        yield f"TensorRT {VERSION} does not support this operator", True
        return
    if typed:
        yield from _types(node, scope)
        yield from ((what, True) for what in shape_faults(node, scope))
        yield from ((what, True) for what in constant_inputs(node, scope))
    if node.op_type in DATA_DEPENDENT:
        yield "the shape of its result depends on values, which no profile bounds", False
    rule = RULES.get(node.op_type)
    if rule is not None:
        yield from ((what, True) for what in rule(node, scope))


def _types(node: onnx.NodeProto, scope: Scope) -> Iterator[tuple[str, bool]]:
    """Yield types that TensorRT does not know, or that this operator does not compute with."""
    positions = DATA_INPUTS.get(node.op_type, tuple(range(len(node.input))))
    computed = [node.input[i] for i in positions if i < len(node.input) and node.input[i]]
    if node.op_type in BY_OUTPUT:
        computed += [name for name in node.output if name]
    told = set()
    for name in (*node.input, *node.output):
        kind = scope.type_of(name) if name else None
        if kind is None or kind in told:
            continue
        told.add(kind)
        if kind not in KNOWN:
            yield f"{name!r} is {kind}, a type that TensorRT does not have", True
        elif kind == "DOUBLE":
            yield f"{name!r} is DOUBLE, which TensorRT casts down to FLOAT", False
        elif kind == "UINT8" and node.op_type not in ("Cast", "CastLike"):
            yield f"{name!r} is UINT8, which only inputs and outputs of the graph may be", True
        elif kind in QUANTISED and node.op_type not in _QUANTISERS | {"Constant", "Identity"}:
            yield f"{name!r} is {kind}, which must come from QuantizeLinear and end there", True
    taken = SUPPORTED[node.op_type]
    for name in computed:
        kind = scope.type_of(name)
        if kind is None:
            yield f"the type of {name!r} is not known, so it cannot be checked", False
        elif kind in KNOWN - {"DOUBLE", "UINT8"} - QUANTISED and kind not in taken:
            yield f"{name!r} is {kind}; it computes with {', '.join(sorted(taken))}", True
