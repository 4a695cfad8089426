"""Whether every shape that a graph computes can be known before the pass, as TensorRT wants it.

A shape may be computed from constants and from the shapes of tensors. One that is computed from the
values of an input needs a profile of values, which is not given; one that is computed from the
result of a matrix product, say, is no shape tensor at all.
"""

from collections.abc import Iterator

import onnx

from exporter.tensorrt.graph import Scope
from exporter.tensorrt.support import DATA_DEPENDENT, SHAPE_ARITHMETIC, SHAPE_INPUTS

_ASK_FOR_SHAPES = frozenset({"Shape", "Size"})


def shape_faults(node: onnx.NodeProto, scope: Scope) -> Iterator[str]:
    """Yield what is wrong with the shapes that a node is given."""
    for position in SHAPE_INPUTS.get(node.op_type, ()):
        if position >= len(node.input) or not node.input[position]:
            continue
        name = node.input[position]
        cause = _not_a_shape(name, scope, set())
        if cause is not None and not _float_range(node, scope):
            yield f"its shape {name!r} depends on {cause}"


def _float_range(node: onnx.NodeProto, scope: Scope) -> bool:
    return node.op_type == "Range" and scope.type_of(node.input[0]) not in ("INT32", "INT64", None)


def _not_a_shape(name: str, scope: Scope, seen: set[str]) -> str | None:
    """Return what keeps a tensor from being known before the pass; None where nothing does."""
    if not name or name in seen or scope.constant(name) is not None:
        return None
    seen.add(name)
    made = scope.maker(name)
    if made is None:
        return f"the values of the input {name!r}, of which no profile is given"
    where, node = made
    if node.op_type in _ASK_FOR_SHAPES or node.op_type == "Constant":
        return None
    if node.op_type in DATA_DEPENDENT:
        return f"how many elements {node.op_type} finds"
    if node.op_type not in SHAPE_ARITHMETIC:
        return f"the result of {node.op_type}, which computes no shapes"
    causes = (_not_a_shape(each, where, seen) for each in node.input)
    return next((cause for cause in causes if cause is not None), None)
