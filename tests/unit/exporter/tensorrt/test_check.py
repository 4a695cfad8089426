"""The static check for TensorRT, on graphs with one planted fault each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx import numpy_helper as tensors

from exporter.tensorrt.check import check_model
from exporter.tensorrt.finding import Finding
from exporter.tensorrt.support import BY_OUTPUT, DATA_INPUTS, REFUSED, SUPPORTED
from service.engine.execution.profiles import Profile

FLOAT, HALF, INT64, INT32 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT64,
    TensorProto.INT32,
)
SHAPE: tuple[str | int, ...] = ("rows", 8)


def value(name: str, kind: int = FLOAT, shape: Sequence[str | int] | None = None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, SHAPE if shape is None else shape)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **given: Any) -> NodeProto:
    return helper.make_node(kind, list(inputs), list(outputs), name=f"the {kind}", **given)


def constant(name: str, values: object, kind: type = np.int64) -> TensorProto:
    return tensors.from_array(np.array(values, dtype=kind), name)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto] = (),
    outputs: Sequence[ValueInfoProto] = (),
    constants: Sequence[TensorProto] = (),
    opset: int = 20,
    domain: str | None = None,
) -> ModelProto:
    graph = helper.make_graph(
        nodes, "planted", list(inputs) or [value("x")], list(outputs) or [value("y")]
    )
    graph.initializer.extend(constants)
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def found(graph: ModelProto, **profile: tuple[int, ...]) -> list[Finding]:
    most = {"x": (4, 8), "z": (4, 8), "i": (4,)} | profile
    return check_model(graph, Profile(most, most, most), "fp32")


def the_only(graph: ModelProto, **profile: tuple[int, ...]) -> Finding:
    [finding] = found(graph, **profile)
    return finding


def test_a_graph_without_a_fault_gives_no_finding() -> None:
    graph = model(
        [
            node("Shape", ["x"], ["size"]),
            node("Gather", ["size", "zero"], ["rows"]),
            node("Concat", ["rows", "rest"], ["wanted"], axis=0),
            node("Reshape", ["x", "wanted"], ["cut"]),
            node("Gelu", ["cut"], ["y"]),
        ],
        outputs=[value("y", shape=["rows", 4, 2])],
        constants=[constant("zero", [0]), constant("rest", [4, 2])],
    )
    assert found(graph) == []


@pytest.mark.parametrize("kind", ["BitShift", "DynamicQuantizeLinear", "Det", "Unique"])
def test_an_operator_that_the_table_refuses_is_named_with_its_node(kind: str) -> None:
    results = ["y", "scale", "zero"] if kind == "DynamicQuantizeLinear" else ["y"]
    finding = the_only(model([node(kind, ["x"], results)]))
    assert finding.where == f"the {kind} ({kind})"
    assert finding.what == "TensorRT 10.15 does not support this operator"
    assert finding.blocks


def test_an_operator_of_another_domain_is_none_of_onnx() -> None:
    fused = helper.make_node("SkipLayerNormalization", ["x", "x"], ["y"], domain="com.microsoft")
    finding = the_only(model([fused], domain="com.microsoft"))
    assert "an operator of com.microsoft, which is not ONNX's" in finding.what


def test_the_operators_of_a_function_of_the_models_own_are_looked_into() -> None:
    inner = helper.make_node("BitShift", ["a", "a"], ["b"], direction="LEFT")
    function = helper.make_function(
        "own", "Shift", ["a"], ["b"], [inner], [helper.make_opsetid("", 20)]
    )
    graph = model([helper.make_node("Shift", ["x"], ["y"], domain="own")], domain="own")
    graph.functions.append(function)
    assert the_only(graph).where == "Shift/b (BitShift)"


@pytest.mark.parametrize(
    "kind", [TensorProto.UINT16, TensorProto.STRING, TensorProto.INT16, TensorProto.UINT64]
)
def test_a_type_that_tensorrt_does_not_have_is_refused(kind: int) -> None:
    graph = model([node("Identity", ["x"], ["y"])], [value("x", kind)], [value("y", kind)])
    finding = the_only(graph)
    assert "a type that TensorRT does not have" in finding.what
    assert finding.blocks


def test_a_double_input_is_told_of_and_does_not_block() -> None:
    kind = TensorProto.DOUBLE
    finding = the_only(
        model([node("Add", ["x", "x"], ["y"])], [value("x", kind)], [value("y", kind)])
    )
    assert "DOUBLE, which TensorRT casts down to FLOAT" in finding.what
    assert not finding.blocks


def test_a_float64_constant_is_told_of() -> None:
    graph = model(
        [node("Cast", ["scale"], ["small"], to=FLOAT), node("Mul", ["x", "small"], ["y"])],
        constants=[constant("scale", [0.5], np.float64)],
    )
    finding = the_only(graph)
    assert finding.where == "the Cast (Cast)"
    assert "'scale' is DOUBLE" in finding.what


def test_whole_numbers_of_64_bits_are_added_and_not_clipped() -> None:
    assert (
        found(model([node("Add", ["x", "x"], ["y"])], [value("x", INT64)], [value("y", INT64)]))
        == []
    )
    clipped = model([node("Clip", ["x"], ["y"])], [value("x", INT64)], [value("y", INT64)])
    finding = the_only(clipped)
    assert finding.what == "'x' is INT64; it computes with BFLOAT16, FLOAT, FLOAT16"


def test_whole_numbers_are_not_multiplied_as_matrices() -> None:
    graph = model(
        [node("MatMul", ["x", "z"], ["y"])],
        [value("x", INT32, [8, 8]), value("z", INT32, [8, 8])],
        [value("y", INT32, [8, 8])],
    )
    assert {finding.what for finding in found(graph, x=(8, 8), z=(8, 8))} == {
        "'x' is INT32; it computes with BFLOAT16, FLOAT, FLOAT16",
        "'z' is INT32; it computes with BFLOAT16, FLOAT, FLOAT16",
    }


def test_indices_and_conditions_are_not_what_an_operator_computes_with() -> None:
    graph = model(
        [
            node("Gather", ["x", "i"], ["picked"]),
            node("Less", ["picked", "half"], ["small"]),
            node("Where", ["small", "picked", "half"], ["y"]),
        ],
        [value("x"), value("i", INT64, ["picks"])],
        constants=[constant("half", [0.5], np.float32)],
    )
    assert found(graph) == []


def test_a_type_that_cannot_be_told_is_said_to_be_unchecked() -> None:
    graph = model([node("Unique", ["x"], ["kept"]), node("Neg", ["kept"], ["y"])])
    graph.graph.value_info.clear()
    unknown = [finding for finding in found(graph) if "not known" in finding.what]
    assert len(unknown) <= 1
    assert all(not finding.blocks for finding in unknown)


def test_a_tensor_of_more_dimensions_than_eight_is_refused() -> None:
    shape = [1] * 9
    graph = model(
        [node("Reshape", ["x", "wide"], ["y"])],
        outputs=[value("y", shape=shape)],
        constants=[constant("wide", shape)],
    )
    finding = the_only(graph)
    assert (finding.where, finding.what) == ("y", "9 dimensions; 8 are the most")


def test_a_result_whose_shape_depends_on_values_is_told_of() -> None:
    graph = model([node("NonZero", ["x"], ["y"])], outputs=[value("y", INT64, [2, "n"])])
    finding = the_only(graph)
    assert "the shape of its result depends on values" in finding.what
    assert not finding.blocks


def test_a_data_dependent_operator_of_whole_numbers_is_refused() -> None:
    graph = model(
        [node("NonZero", ["x"], ["y"])], [value("x", INT64)], [value("y", INT64, [2, "n"])]
    )
    blocking = [finding for finding in found(graph) if finding.blocks]
    assert [finding.what for finding in blocking] == [
        "'x' is INT64; it computes with FLOAT, FLOAT16"
    ]


def test_a_shape_that_is_counted_out_of_values_is_refused() -> None:
    graph = model(
        [
            node("NonZero", ["x"], ["at"]),
            node("Gather", ["at", "zero"], ["first"]),
            node("Reshape", ["x", "first"], ["y"]),
        ],
        constants=[constant("zero", 0)],
    )
    blocking = [finding for finding in found(graph) if finding.blocks]
    assert [finding.what for finding in blocking] == [
        "its shape 'first' depends on how many elements NonZero finds"
    ]


def test_a_shape_out_of_an_inputs_values_has_no_profile() -> None:
    graph = model([node("Expand", ["x", "i"], ["y"])], [value("x"), value("i", INT64, [2])])
    finding = the_only(graph, i=(2,))
    assert "depends on the values of the input 'i', of which no profile is given" in finding.what


def test_a_shape_out_of_a_product_is_no_shape() -> None:
    graph = model(
        [
            node("MatMul", ["x", "z"], ["product"]),
            node("ReduceSum", ["product"], ["sum"]),
            node("Cast", ["sum"], ["count"], to=INT64),
            node("Range", ["zero", "count", "one"], ["numbers"]),
            node("Cast", ["numbers"], ["y"], to=FLOAT),
        ],
        [value("x"), value("z", shape=[8, "rows"])],
        [value("y", shape=["n"])],
        [constant("zero", 0), constant("one", 1)],
    )
    assert (
        "depends on the result of MatMul, which computes no shapes"
        in the_only(graph, z=(8, 4)).what
    )


def test_a_dynamic_dimension_without_a_profile_is_refused() -> None:
    graph = model([node("Add", ["x", "more"], ["y"])], [value("x"), value("more")])
    finding = the_only(graph)
    assert finding.where == "input 'more'"
    assert finding.what == "it has dynamic dimensions, and the profile does not name it"


def test_an_input_of_fixed_size_needs_no_profile() -> None:
    graph = model([node("Add", ["x", "more"], ["y"])], [value("x"), value("more", shape=[1, 8])])
    assert found(graph) == []


def test_a_profile_of_other_rank_or_other_size_is_refused() -> None:
    plain = model([node("Neg", ["x"], ["y"])])
    assert "it has 2 dimensions, and its profile 3" in the_only(plain, x=(4, 8, 1)).what
    assert "its fixed dimensions are [None, 8]" in the_only(plain, x=(4, 16)).what


def test_a_graph_whose_types_cannot_be_inferred_is_checked_as_far_as_it_tells() -> None:
    broken = model([node("DynamicQuantizeLinear", ["x"], ["y"]), node("Neg", ["x"], ["z"])])
    whats = {finding.what: finding.blocks for finding in found(broken)}
    assert whats.pop("TensorRT 10.15 does not support this operator")
    [(what, blocks)] = whats.items()
    assert what.startswith("types and dimensions within it cannot be inferred")
    assert not blocks


def test_an_input_without_a_shape_is_refused() -> None:
    bare = helper.make_tensor_value_info("x", FLOAT, None)
    assert "not even its rank" in the_only(model([node("Neg", ["x"], ["y"])], [bare])).what


def test_an_opset_beyond_the_published_ones_is_refused() -> None:
    assert (
        "TensorRT 10.15 takes 9 to 24" in the_only(model([node("Neg", ["x"], ["y"])], opset=8)).what
    )


def branch(name: str, inner: NodeProto, shape: Sequence[str | int] = SHAPE) -> GraphProto:
    return helper.make_graph([inner], name, [], [value(inner.output[0], shape=shape)])


def chosen(then: GraphProto, other: GraphProto) -> ModelProto:
    flag = value("flag", TensorProto.BOOL, [])
    return model(
        [node("If", ["flag"], ["y"], then_branch=then, else_branch=other)], [value("x"), flag]
    )


def test_a_fault_within_a_branch_is_found_and_called_by_its_path() -> None:
    graph = chosen(
        branch("then", node("BitShift", ["x"], ["a"])), branch("else", node("Neg", ["x"], ["b"]))
    )
    assert the_only(graph).where == "the If.then_branch/the BitShift (BitShift)"


def test_a_type_from_outside_is_known_within_a_branch() -> None:
    graph = chosen(
        branch("then", node("Clip", ["x"], ["a"])), branch("else", node("Neg", ["x"], ["b"]))
    )
    graph.graph.input[0].CopyFrom(value("x", INT64))
    whats = [finding.what for finding in found(graph) if "then_branch" in finding.where]
    assert "'x' is INT64; it computes with BFLOAT16, FLOAT, FLOAT16" in whats


def test_branches_that_agree_in_a_name_or_differ_in_rank_are_refused() -> None:
    same = chosen(
        branch("then", node("Neg", ["x"], ["a"])), branch("else", node("Abs", ["x"], ["a"]))
    )
    assert "both of its branches call an output 'a'" in the_only(same).what
    other = chosen(
        branch("then", node("Neg", ["x"], ["a"])),
        branch("else", node("ReduceSum", ["x"], ["b"], keepdims=0), []),
    )
    assert any("of different rank" in finding.what for finding in found(other))


def test_a_loop_that_gathers_as_many_rows_as_its_input_says_is_refused() -> None:
    body = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Neg", ["x"], ["row"])],
        "body",
        [value("n", INT64, []), value("go", TensorProto.BOOL, [])],
        [value("on", TensorProto.BOOL, []), value("row")],
    )
    graph = model(
        [node("Loop", ["trips", ""], ["y"], body=body)],
        [value("x"), value("trips", INT64, [])],
        [value("y", shape=["n", "rows", 8])],
    )
    assert "the length of a scanned output cannot be dynamic" in {f.what for f in found(graph)}


def quantised(zero: TensorProto) -> ModelProto:
    return model(
        [
            node("QuantizeLinear", ["x", "scale", zero.name], ["small"]),
            node("DequantizeLinear", ["small", "scale", zero.name], ["y"]),
        ],
        constants=[constant("scale", 0.1, np.float32), zero],
    )


def test_int8_between_a_quantiser_and_its_inverse_is_taken() -> None:
    assert found(quantised(constant("zero", 0, np.int8))) == []


def test_a_zero_point_other_than_zero_is_refused() -> None:
    whats = {finding.what for finding in found(quantised(constant("zero", 3, np.int8)))}
    assert whats == {"its zero point must be 0"}


def test_uint8_within_the_graph_is_refused() -> None:
    whats = {finding.what for finding in found(quantised(constant("zero", 0, np.uint8)))}
    assert any("its zero point is UINT8" in what for what in whats)
    assert any("'zero' is UINT8, which only inputs and outputs" in what for what in whats)


def test_int8_that_another_operator_computes_with_is_refused() -> None:
    kind = TensorProto.INT8
    graph = model([node("Add", ["x", "x"], ["y"])], [value("x", kind)], [value("y", kind)])
    assert "'x' is INT8, which must come from QuantizeLinear" in the_only(graph).what


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (node("LayerNormalization", ["x", "scale"], ["y", "mean"]), "only its first output"),
        (node("ReduceSum", ["x", "i"], ["y"]), "its axes 'i' must be a constant"),
        (node("CumSum", ["x", "at"], ["y"]), "its axis 'at' must be a constant"),
        (node("ScatterND", ["x", "rows", "x"], ["y"], reduction="add"), "a reduction other than"),
        (node("TopK", ["x", "five"], ["y", "z"], sorted=0), "it must sort"),
        (node("TopK", ["x", "many"], ["y", "z"]), "K must be less than 3840"),
        (node("MaxPool", ["image"], ["y", "at"], kernel_shape=[2, 2]), "its output of indices"),
        (node("AveragePool", ["line"], ["y"], kernel_shape=[2]), "2-D or 3-D pooling only"),
        (node("Dropout", ["x", "", "yes"], ["y"]), "it must not be training"),
        (node("Resize", ["image", "", "", "sizes"], ["y"], mode="cubic"), "mode 'cubic' is not"),
        (node("Resize", ["image", "", "", "sizes"], ["y"], antialias=1), "antialiasing is not"),
        (node("QuantizeLinear", ["x", "half"], ["y"]), "without a zero point it quantises"),
    ],
)
def test_what_the_table_says_of_single_operators_is_held(planted: NodeProto, said: str) -> None:
    graph = model(
        [planted],
        [
            value("x"),
            value("scale", shape=[8]),
            value("i", INT64, ["n"]),
            value("at", INT64, []),
            value("rows", INT64, ["n", 1]),
            value("image", shape=[1, 3, 8, 8]),
            value("line", shape=[1, 3, 8]),
        ],
        [helper.make_empty_tensor_value_info("y")],
        [
            constant("five", [5]),
            constant("many", [5000]),
            constant("yes", True, np.bool_),
            constant("sizes", [1, 3, 4, 4]),
            constant("half", 0.5, np.float32),
        ],
    )
    whats = [f.what for f in found(graph, at=(), rows=(4, 1)) if f.blocks and "(" in f.where]
    assert any(said in what for what in whats), whats


def test_the_table_is_whole_and_says_one_thing_of_each_operator() -> None:
    assert not SUPPORTED.keys() & REFUSED
    assert len(SUPPORTED) == 158
    assert len(REFUSED) == 42
    assert set(DATA_INPUTS) | BY_OUTPUT <= set(SUPPORTED)
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert {name for name in {*SUPPORTED, *REFUSED} if name not in known} <= {
        "ImageScaler",
        "ParametricSoftplus",
        "ScaledTanh",
    }


def test_a_finding_says_which_variant_and_where() -> None:
    finding = the_only(model([node("BitShift", ["x"], ["y"])]))
    assert str(finding).startswith("fp32: the BitShift (BitShift): TensorRT 10.15 does not")
