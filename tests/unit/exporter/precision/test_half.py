"""fp16: what is halved, and what stays in fp32."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

from exporter.precision.half import to_half
from service.engine.adapter import FloatArray

SIZE = 8


def attention() -> onnx.ModelProto:
    """Return masked attention of one head with a bank, and pooling with a bound beyond fp16."""
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"], name="query"),
        helper.make_node("MatMul", ["x", "bank"], ["lora"], name="lora"),
        helper.make_node("Add", ["q", "lora"], ["k"], name="sum"),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[1, 0]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"], name="scores"),
        helper.make_node("Where", ["visible", "scores", "masked"], ["seen"], name="mask"),
        helper.make_node("Softmax", ["seen"], ["shares"], name="softmax"),
        helper.make_node("MatMul", ["shares", "k"], ["mixed"], name="mixed"),
        helper.make_node("MatMul", ["mixed", "wo"], ["hidden"], name="out"),
        helper.make_node("Abs", ["hidden"], ["size"], name="size"),
        helper.make_node("LessOrEqual", ["size", "largest"], ["finite"], name="bound"),
        helper.make_node("Where", ["finite", "hidden", "nothing"], ["y"], name="clean"),
    ]
    constants: dict[str, FloatArray] = {
        "wq": draw(1, SIZE, SIZE),
        "wo": draw(2, SIZE, SIZE),
        "masked": np.array(-np.inf, dtype=np.float32),
        "largest": np.array(1e38, dtype=np.float32),
        "nothing": np.array(0, dtype=np.float32),
    }
    float_, flag = TensorProto.FLOAT, TensorProto.BOOL
    inputs: list[tuple[str, int, list[str | int]]] = [
        ("x", float_, ["n", SIZE]),
        ("visible", flag, ["n", "n"]),
        ("bank", float_, [SIZE, SIZE]),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info("y", float_, ("n", SIZE))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def draw(seed: int, *shape: int) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    found = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*found.input, *found.output, *found.value_info)
    types = {each.name: each.type.tensor_type.elem_type for each in values}
    return types | {each.name: each.data_type for each in found.initializer}


def node_named(model: onnx.ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def test_products_are_halved_and_what_must_not_overflow_is_not() -> None:
    made = to_half(attention(), ["bank"])
    onnx.checker.check_model(made, full_check=True)
    types = types_of(made)
    taken = {node.name: types[node.input[-1]] for node in made.graph.node if node.name}
    for name in ("query", "lora", "scores", "mixed", "out"):
        assert taken[name] == TensorProto.FLOAT16, name
    for name in ("mask", "softmax", "size", "bound", "clean"):
        assert taken[name] == TensorProto.FLOAT, name


def test_banks_come_in_half_and_other_inputs_and_outputs_do_not() -> None:
    made = to_half(attention(), ["bank"])
    kinds = {each.name: each.type.tensor_type.elem_type for each in made.graph.input}
    assert kinds["bank"] == TensorProto.FLOAT16
    assert kinds["x"] == TensorProto.FLOAT
    assert made.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_bounds_beyond_half_precision_keep_their_value() -> None:
    made = to_half(attention(), ["bank"])
    held = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    assert held["largest"] == np.float32(1e38)
    assert held["masked"] == -np.inf
    assert all(value.dtype == np.float16 for name, value in held.items() if name.endswith(".half"))


def test_it_computes_nearly_the_same() -> None:
    x, visible = draw(3, 6, SIZE), np.tri(6, dtype=bool)
    bank = draw(4, SIZE, SIZE)
    found = []
    for model, kind in ((attention(), np.float32), (to_half(attention(), ["bank"]), np.float16)):
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        found.append(session.run(None, {"x": x, "visible": visible, "bank": bank.astype(kind)})[0])
    away = np.linalg.norm(found[0] - found[1]) / np.linalg.norm(found[0])
    assert 0 < away < 0.01
