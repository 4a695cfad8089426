"""What the table says of single operators beyond their types; one function for each rule."""

from collections.abc import Callable, Iterator

import onnx

from exporter.tensorrt.graph import Scope, attributes, bodies, numbers
from exporter.tensorrt.support import CONSTANT_INPUTS, QUANTISED

_TOP_K_MAX = 3840
_POOLED = (4, 5)  # dimensions of a 2-D or 3-D pooling's input

Rule = Callable[[onnx.NodeProto, Scope], Iterator[str]]


def constant_inputs(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    """Yield inputs that must be known when the engine is built and are not."""
    for position, name in CONSTANT_INPUTS.get(node.op_type, {}).items():
        if position < len(node.input) and node.input[position]:
            given = node.input[position]
            if scope.constant(given) is None and not _constant_node(given, scope):
                yield f"its {name} {given!r} must be a constant"


def _constant_node(name: str, scope: Scope) -> bool:
    made = scope.maker(name)
    return made is not None and made[1].op_type == "Constant"


def _zero_point(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    if len(node.input) < 3 or not node.input[2]:
        if node.op_type == "QuantizeLinear" and not attributes(node).get("output_dtype"):
            yield "without a zero point it quantises to UINT8, and TensorRT to INT8 alone"
        return
    kind = scope.type_of(node.input[2])
    if kind is not None and kind not in QUANTISED:
        yield f"its zero point is {kind}, and TensorRT quantises to {', '.join(sorted(QUANTISED))}"
    tensor = scope.constant(node.input[2])
    values = None if tensor is None else numbers(tensor)
    if values is None:
        yield "its zero point must be a constant 0"
    elif any(values):
        yield "its zero point must be 0"


def _layer_normalization(node: onnx.NodeProto, _: Scope) -> Iterator[str]:
    if any(node.output[1:]):
        yield "only its first output is supported"


def _scatter_nd(node: onnx.NodeProto, _: Scope) -> Iterator[str]:
    reduction = attributes(node).get("reduction", b"none")
    if reduction != b"none":
        yield "a reduction other than none is not supported"


def _top_k(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    if attributes(node).get("sorted", 1) != 1:
        yield "it must sort"
    tensor = scope.constant(node.input[1])
    values = None if tensor is None else numbers(tensor)
    if values and values[0] >= _TOP_K_MAX:
        yield f"K must be less than {_TOP_K_MAX}"


def _pool(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    rank = scope.rank_of(node.input[0])
    if node.op_type != "LpPool" and rank is not None and rank not in _POOLED:
        yield "2-D or 3-D pooling only"
    dilations = attributes(node).get("dilations", [])
    if isinstance(dilations, list) and any(each != 1 for each in dilations):
        yield "dilations must be 1"
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        yield "its output of indices is not supported"


def _dropout(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    tensor = scope.constant(node.input[2]) if len(node.input) > 2 else None
    values = None if tensor is None else numbers(tensor)
    if values and any(values):
        yield "it must not be training"


def _lstm(node: onnx.NodeProto, _: Scope) -> Iterator[str]:
    for name in ("input_forget", "layout"):
        if attributes(node).get(name, 0):
            yield f"{name} must be 0"


def _if(node: onnx.NodeProto, _: Scope) -> Iterator[str]:
    branches = [graph.output for _, graph in bodies(node)]
    for one, other in zip(*branches, strict=False) if len(branches) == 2 else ():
        if one.name == other.name:
            yield f"both of its branches call an output {one.name!r}"
        ranks = [
            len(each.type.tensor_type.shape.dim)
            for each in (one, other)
            if each.type.tensor_type.HasField("shape")
        ]
        if len(set(ranks)) > 1:
            yield f"its branches give {one.name!r} and {other.name!r} of different rank"


def _loop(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    [(_, body)] = list(bodies(node)) or [("", onnx.GraphProto())]
    carried = max(0, len(node.input) - 2)
    scanned = len(body.output) - 1 - carried
    trips = node.input[0]
    if scanned > 0 and (not trips or scope.constant(trips) is None):
        yield "the length of a scanned output cannot be dynamic"


def _constant(node: onnx.NodeProto, _: Scope) -> Iterator[str]:
    for name in ("sparse_value", "value_string", "value_strings"):
        if name in attributes(node):
            yield f"its {name} is not supported"


def _resize(node: onnx.NodeProto, _: Scope) -> Iterator[str]:
    given = attributes(node)
    allowed = {
        "coordinate_transformation_mode": {
            b"half_pixel",
            b"pytorch_half_pixel",
            b"tf_half_pixel_for_nn",
            b"asymmetric",
            b"align_corners",
        },
        "mode": {b"nearest", b"linear"},
        "nearest_mode": {b"floor", b"ceil", b"round_prefer_floor", b"round_prefer_ceil"},
        "keep_aspect_ratio_policy": {b"stretch"},
    }
    for name, values in allowed.items():
        value = given.get(name)
        if isinstance(value, bytes) and value not in values:
            yield f"{name} {value.decode()!r} is not supported"
    if given.get("antialias", 0):
        yield "antialiasing is not supported"


def _attention(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    if any(scope.rank_of(name) not in (4, None) for name in node.input[:4] if name):
        yield "Q, K, V and the mask must have four dimensions"
    if any(node.input[4:]) or any(node.output[1:]):
        yield "past and present keys and values are not supported"
    for name in ("softcap", "qk_matmul_output_mode"):
        if attributes(node).get(name, 0):
            yield f"{name} is not supported"


RULES: dict[str, Rule] = {
    "Attention": _attention,
    "AveragePool": _pool,
    "Constant": _constant,
    "DequantizeLinear": _zero_point,
    "Dropout": _dropout,
    "If": _if,
    "LSTM": _lstm,
    "LayerNormalization": _layer_normalization,
    "Loop": _loop,
    "LpPool": _pool,
    "MaxPool": _pool,
    "QuantizeLinear": _zero_point,
    "Resize": _resize,
    "ScatterND": _scatter_nd,
    "TopK": _top_k,
}
