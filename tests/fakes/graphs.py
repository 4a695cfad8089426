"""Small ONNX graphs made by hand, with the inputs and outputs that a banked graph has."""

import onnx
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT


def embedding_graph(width: int = 4, kind: int = FLOAT) -> onnx.ModelProto:
    """Return a graph whose `output.embedding` row i is bank row `first[i]`, plus the texts' sum.

    `output.pooled` is twice that. The bank is `A.layer` [bank rows, width] of the type `kind`.
    """
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "tokens"]),
        helper.make_tensor_value_info("first", TensorProto.INT64, ["texts"]),
        helper.make_tensor_value_info("A.layer", kind, ["bank", width]),
    ]
    names = ("output.pooled", "output.embedding")
    outputs = [helper.make_tensor_value_info(name, kind, ["texts", width]) for name in names]
    nodes = [
        helper.make_node("Gather", ["A.layer", "first"], ["picked"]),
        helper.make_node("ReduceSum", ["ids"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["shift"], to=kind),
        helper.make_node("Add", ["picked", "shift"], ["output.embedding"]),
        helper.make_node("Add", ["output.embedding", "output.embedding"], ["output.pooled"]),
    ]
    graph = helper.make_graph(nodes, "embedding", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model
