"""`fp16`: weights, banks and products in half precision; what must not overflow stays in fp32.

In fp32 stay:
- masked scores and their softmax: -inf and sums of exponentials;
- norms, powers, means and roots, which square what they take, and rotary angles, which are large;
- everything behind the last layer, that is pooling, whose bounds half precision does not hold.

Outputs are fp32. Inputs of LoRA's banks are fp16: an upload's magnitudes are below what overflows.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from exporter.errors import ExportFailed

_KEPT = {
    "Softmax", "LogSoftmax", "Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Cos", "Sin",
    "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2",
    "LayerNormalization", "InstanceNormalization", "GroupNormalization", "BatchNormalization",
    "CumSum", "Range",
}  # fmt: skip
_LAYERS = {"MatMul", "Gemm", "Conv", "LayerNormalization"}
_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
# Sizes and scales of a resize, and steps of a range, are no activations.
_NO_ACTIVATION = {"Resize": {1, 2}, "Range": {0, 1, 2}}


def to_half(model: onnx.ModelProto, banks: Iterable[str]) -> onnx.ModelProto:
    """Return the graph in fp16; `banks` are the names of its bank inputs.

    Raises `ExportFailed` where the type of a value cannot be told.
    """
    return _Halving(model, frozenset(banks)).made()


class _Halving:
    def __init__(self, model: onnx.ModelProto, banks: frozenset[str]) -> None:
        self._model = model
        self._graph = model.graph
        self._banks = banks
        self._constants = {each.name: each for each in model.graph.initializer}
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._types = self._inferred()
        self._kept = self._kept_nodes()
        self._at: dict[str, int] = {}  # float values: the type that they now have
        self._nodes: list[NodeProto] = []
        self._added: dict[str, onnx.TensorProto] = {}
        self._cast: set[str] = set()

    def made(self) -> onnx.ModelProto:
        for name in self._types:
            if self._types[name] == _FLOAT:
                self._at[name] = _HALF if name in self._banks else _FLOAT
        for node in self._graph.node:
            self._take(node)
        outputs = [each.name for each in self._graph.output]
        for name in outputs:
            assert self._at[name] == _FLOAT, "pooling stays in fp32"
        return self._assembled()

    def _inferred(self) -> dict[str, int]:
        bare = onnx.ModelProto()
        bare.CopyFrom(self._model)
        found = onnx.shape_inference.infer_shapes(bare).graph
        types = {each.name: each.data_type for each in self._graph.initializer}
        for each in (*found.input, *found.output, *found.value_info):
            types[each.name] = each.type.tensor_type.elem_type
        unknown = [name for name in self._producers if name not in types]
        if unknown:
            raise ExportFailed(
                f"fp16: the type of {unknown[0]} cannot be told, nor of {len(unknown) - 1} more"
            )
        return types

    def _kept_nodes(self) -> set[int]:
        """Return the ids of the nodes that stay in fp32."""
        kept = {id(node) for node in self._graph.node if node.op_type in _KEPT}
        for node in self._graph.node:
            if node.op_type in ("Cos", "Sin"):
                kept |= self._ancestors(node)
            elif node.op_type in ("Softmax", "LogSoftmax"):
                mask = self._producers.get(node.input[0])
                if mask is not None and mask.op_type in ("Where", "Add"):
                    kept.add(id(mask))
        last = [node for node in self._graph.node if self._is_layer(node)]
        before: set[int] = set()
        for node in last:
            before |= self._ancestors(node) | {id(node)}
        return kept | {id(node) for node in self._graph.node if id(node) not in before}

    def _is_layer(self, node: NodeProto) -> bool:
        weighted = any(name in self._constants for name in node.input[1:2])
        return node.op_type in _LAYERS and weighted

    def _ancestors(self, node: NodeProto) -> set[int]:
        found: set[int] = set()
        waiting = [node]
        while waiting:
            for name in waiting.pop().input:
                above = self._producers.get(name)
                if above is not None and id(above) not in found:
                    found.add(id(above))
                    waiting.append(above)
        return found

    def _take(self, node: NodeProto) -> None:
        wanted = _FLOAT if id(node) in self._kept else _HALF
        taken = NodeProto()
        taken.CopyFrom(node)
        skipped = _NO_ACTIVATION.get(node.op_type, set())
        if node.op_type != "Cast":
            for at, name in enumerate(node.input):
                if self._types.get(name) == _FLOAT and at not in skipped:
                    taken.input[at] = self._as(name, wanted)
        for attribute in taken.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
                attribute.i = wanted
            if attribute.HasField("t") and attribute.t.data_type == _FLOAT and wanted == _HALF:
                attribute.t.CopyFrom(_halved(attribute.t))
        for name in node.output:
            if self._types[name] == _FLOAT:
                self._at[name] = wanted
        self._nodes.append(taken)

    def _as(self, name: str, wanted: int) -> str:
        """Return the name of the value in the wanted type."""
        if self._at[name] == wanted:
            return name
        made = f"{name}.{'half' if wanted == _HALF else 'single'}"
        if name in self._constants:
            if made not in self._added:
                self._added[made] = _halved(self._constants[name], made)
        elif made not in self._cast:
            self._cast.add(made)
            self._nodes.append(helper.make_node("Cast", [name], [made], to=wanted))
        return made

    def _assembled(self) -> onnx.ModelProto:
        graph = self._graph
        used = {name for node in self._nodes for name in node.input}
        constants = [each for each in graph.initializer if each.name in used]
        inputs = []
        for each in graph.input:
            held = onnx.ValueInfoProto()
            held.CopyFrom(each)
            if each.name in self._banks:
                held.type.tensor_type.elem_type = _HALF
            inputs.append(held)
        made = helper.make_graph(
            self._nodes, graph.name, inputs, graph.output, [*constants, *self._added.values()]
        )
        return helper.make_model(
            made, opset_imports=self._model.opset_import, ir_version=self._model.ir_version
        )


def _halved(tensor: onnx.TensorProto, name: str | None = None) -> onnx.TensorProto:
    with np.errstate(over="ignore"):  # a constant that overflows shows in the measurement
        value = numpy_helper.to_array(tensor).astype(np.float16)
    return numpy_helper.from_array(value, name or tensor.name)
