"""`int8-dynamic`: linear layers in int8, each token rounded between its own least and greatest.

    low, step = min x, (max x - min x) / 255 over the token's channels
    q = floor((x - low) / step + 1/2)                   uint8, which processors multiply fastest
    y = (q @ W8) * step * weight scale + low * sum over inputs of the rounded weight

W8 is int8 with one scale an output channel. A range over the whole tensor, as ONNX's
`DynamicQuantizeLinear` has it, would be faster and let one text's outlier round its neighbours'
numbers away: texts of other tenants share the tensor. A token that is not finite has a range that
is not, and so stays the only one.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from exporter.precision.linears import Graph, Linear

_LEVELS = 255
_WEIGHT_MAX = 127
_SMALLEST = 1e-30  # a token whose channels are all equal has no range


def quantise_dynamic(graph: Graph) -> None:
    """Quantise every linear layer of the graph in place."""
    constants: dict[str, NDArray[np.generic]] = {
        "levels": np.array(1 / _LEVELS, dtype=np.float32),
        "least": np.array(_SMALLEST, dtype=np.float32),
        "half": np.array(0.5, dtype=np.float32),
        "axis": np.array([-1], dtype=np.int64),
    }
    names = {name: graph.add_constant(f"int8.{name}", value) for name, value in constants.items()}
    rounded: set[str] = set()
    for linear in graph.linears():
        if linear.input not in rounded:
            rounded.add(linear.input)
            graph.insert_before(linear.node, _rounding(linear.input, names))
        _write_layer(graph, linear)
    graph.drop_unused()


def _rounding(name: str, constants: Mapping[str, str]) -> list[NodeProto]:
    """Return what makes `<name>.q` with `<name>.low` and `<name>.step` of a value."""
    axis, levels = constants["axis"], constants["levels"]
    return [
        helper.make_node("ReduceMin", [name, axis], [f"{name}.low"], keepdims=1),
        helper.make_node("ReduceMax", [name, axis], [f"{name}.high"], keepdims=1),
        helper.make_node("Sub", [f"{name}.high", f"{name}.low"], [f"{name}.range"]),
        helper.make_node("Mul", [f"{name}.range", levels], [f"{name}.raw"]),
        helper.make_node("Max", [f"{name}.raw", constants["least"]], [f"{name}.step"]),
        helper.make_node("Sub", [name, f"{name}.low"], [f"{name}.above"]),
        helper.make_node("Div", [f"{name}.above", f"{name}.step"], [f"{name}.steps"]),
        helper.make_node("Add", [f"{name}.steps", constants["half"]], [f"{name}.next"]),
        helper.make_node("Cast", [f"{name}.next"], [f"{name}.q"], to=TensorProto.UINT8),
    ]


def _write_layer(graph: Graph, linear: Linear) -> None:
    name, source = linear.node.output[0], linear.input
    scale = np.maximum(np.abs(linear.weight).max(axis=0) / _WEIGHT_MAX, 1e-12).astype(np.float32)
    whole = np.clip(np.round(linear.weight / scale), -_WEIGHT_MAX, _WEIGHT_MAX)
    weight = graph.add_constant(f"{name}.weight.q", whole.astype(np.int8))
    held = graph.add_constant(f"{name}.weight.scale", scale)
    sums = graph.add_constant(f"{name}.weight.sums", (whole * scale).sum(0).astype(np.float32))
    made = [
        helper.make_node("MatMulInteger", [f"{source}.q", weight], [f"{name}.sum"]),
        helper.make_node("Cast", [f"{name}.sum"], [f"{name}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.float", f"{source}.step"], [f"{name}.by_token"]),
        helper.make_node("Mul", [f"{name}.by_token", held], [f"{name}.above"]),
        helper.make_node("Mul", [f"{source}.low", sums], [f"{name}.below"]),
        helper.make_node("Add", [f"{name}.above", f"{name}.below"], [name]),
    ]
    graph.insert_before(linear.node, made)
    graph.remove(linear.node)
