"""Linear layers in int8: the graphs compute what their modules' formulas say."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.precision.dynamic import quantise_dynamic
from exporter.precision.linears import Graph
from exporter.precision.static import Bounds, Search, Seen, best_rounding, quantise_static
from service.engine.adapter import FloatArray

IN, MIDDLE, OUT = 24, 16, 10
PLAIN = Search(alphas=(0.0,), clips=(1.0,), centred=False, corrected=False)


def drawn(seed: int, *shape: int) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def two_layers(bias: bool = True) -> Graph:
    """Return relu(x @ W1 + b1) @ W2 (+ b2), with a product of two inputs beside it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["p1"]),
        helper.make_node("Add", ["p1", "b1"], ["s1"]),
        helper.make_node("Relu", ["s1"], ["h"]),
        helper.make_node("MatMul", ["h", "w2"], ["p2"]),
        helper.make_node("Add", ["b2", "p2"], ["s2"])
        if bias
        else helper.make_node("Identity", ["p2"], ["s2"]),
        helper.make_node("MatMul", ["x", "a"], ["lora"]),
        helper.make_node("Add", ["s2", "lora"], ["y"]),
    ]
    constants = {"w1": drawn(1, IN, MIDDLE), "b1": drawn(2, MIDDLE), "w2": drawn(3, MIDDLE, OUT)}
    if bias:
        constants["b2"] = drawn(4, OUT)
    inputs = [("x", (None, IN)), ("a", (IN, OUT))]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (None, OUT))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return Graph(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


def run(graph: Graph, x: FloatArray, a: FloatArray) -> FloatArray:
    onnx.checker.check_model(graph.model)
    session = ort.InferenceSession(
        graph.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": x, "a": a})
    return np.asarray(found)


def seen(x: FloatArray) -> Seen:
    half = x[: len(x) // 2]
    return Seen(bounds(x), bounds(half), x[len(half) :])


def bounds(x: FloatArray) -> Bounds:
    return Bounds(x.min(axis=0), x.max(axis=0))


def recorded(x: FloatArray) -> dict[str, Seen]:
    h = np.maximum(x @ drawn(1, IN, MIDDLE) + drawn(2, MIDDLE), 0)
    return {"x": seen(x), "h": seen(h)}


def relative(found: FloatArray, wanted: FloatArray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


NO_LORA = np.zeros((IN, OUT), dtype=np.float32)


@pytest.mark.parametrize("bias", [True, False], ids=["with biases", "the last without"])
@pytest.mark.parametrize(
    "quantise",
    [lambda g: quantise_static(g, recorded(drawn(9, 2000, IN))), quantise_dynamic],
    ids=["static", "dynamic"],
)
def test_a_quantised_graph_computes_nearly_the_same(
    quantise: Callable[[Graph], object], bias: bool
) -> None:
    x = drawn(5, 200, IN)
    wanted = run(two_layers(bias), x, NO_LORA)
    graph = two_layers(bias)
    quantise(graph)
    assert 1e-4 < relative(run(graph, x, NO_LORA), wanted) < 0.02


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_products_of_two_inputs_stay_in_float(kind: str) -> None:
    graph = two_layers()
    if kind == "static":
        quantise_static(graph, recorded(drawn(9, 2000, IN)))
    else:
        quantise_dynamic(graph)
    x, a = drawn(5, 50, IN), drawn(6, IN, OUT)
    without = run(graph, x, NO_LORA)
    np.testing.assert_allclose(run(graph, x, a) - without, x @ a, atol=2e-5)


def test_each_layer_is_a_whole_numbers_product_and_no_float_weight_is_left() -> None:
    for quantise in (lambda g: quantise_static(g, recorded(drawn(9, 99, IN))), quantise_dynamic):
        graph = two_layers()
        quantise(graph)
        held = {each.name: each.data_type for each in graph.model.graph.initializer}
        assert {"w1", "w2"}.isdisjoint(held)
        assert list(held.values()).count(TensorProto.INT8) >= 2


def test_a_dynamic_range_is_a_tokens_own() -> None:
    graph = two_layers()
    quantise_dynamic(graph)
    x = drawn(5, 8, IN)
    other = x.copy()
    other[1:] *= 1e4
    same = run(graph, x, NO_LORA)[0]
    assert (run(graph, other, NO_LORA)[0] == same).all()
    other[1:] = np.nan
    assert (run(graph, other, NO_LORA)[0] == same).all()


def test_a_token_of_equal_channels_is_rounded_to_itself() -> None:
    graph = two_layers()
    quantise_dynamic(graph)
    x = np.full((3, IN), 2.5, dtype=np.float32)
    assert relative(run(graph, x, NO_LORA), run(two_layers(), x, NO_LORA)) < 0.02


def test_a_channel_of_outliers_costs_plain_ranges_more_than_smoothed_ones() -> None:
    x = drawn(7, 2000, IN)
    x[:, 3] *= 60
    weight = drawn(8, IN, OUT)
    weight[3] *= 0.02
    plain = best_rounding(seen(x), weight, PLAIN)
    smoothed = best_rounding(seen(x), weight)
    assert smoothed.error < plain.error / 4
    assert smoothed.scale[3] > 5 * np.median(smoothed.scale)


def test_channels_far_from_zero_are_moved_to_their_middles() -> None:
    x = drawn(7, 2000, IN) + 8 * np.where(np.arange(IN) % 2 == 0, 1, -1).astype(np.float32)
    weight = drawn(8, IN, OUT)
    moved = best_rounding(seen(x), weight)
    assert np.abs(moved.middle).max() > 5
    assert moved.error < best_rounding(seen(x), weight, Search(centred=False)).error / 2


def test_the_search_never_does_worse_than_plain_ranges() -> None:
    for seed in range(5):
        x, weight = drawn(seed, 300, IN) ** 3, drawn(seed + 50, IN, OUT)
        best = best_rounding(seen(x), weight)
        assert best.error <= best_rounding(seen(x), weight, PLAIN).error
        assert best.weight.min() >= -127
        assert best.weight.max() <= 127
        assert 0 <= best.zero <= 255


def test_a_dead_channel_and_a_dead_layer_are_rounded_without_trouble() -> None:
    x = drawn(1, 100, IN)
    x[:, 0] = 0
    assert np.isfinite(best_rounding(seen(x), drawn(2, IN, OUT)).error)
    dead = best_rounding(seen(np.zeros((100, IN), np.float32)), drawn(2, IN, OUT))
    assert dead.error == 0.0


def test_values_beyond_the_range_that_was_seen_are_clipped_not_wrapped() -> None:
    graph = two_layers()
    quantise_static(graph, recorded(drawn(9, 2000, IN)))
    x = np.full((1, IN), 3.0, dtype=np.float32)
    far = run(graph, 1000 * x, NO_LORA)
    farther = run(graph, 2000 * x, NO_LORA)
    assert (far == farther).all()
