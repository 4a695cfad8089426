import json
from typing import Any

import numpy as np
import pytest

from service.api.oip_tensors import decode_request, encode_outputs
from service.api.prediction import Backbone, Predicted
from service.batching.answers import Answer
from service.errors import MalformedRequest, UnacceptableRequest, WrongMediaType
from service.registry.records import Route


def tensor(name: str = "text", **changes: Any) -> dict[str, Any]:
    return {"name": name, "shape": [2], "datatype": "BYTES", "data": ["a", "b"], **changes}


def body(*inputs: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **members}).encode()


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2], ["a", "b"]), ([2, 1], ["a", "b"]), ([2, 1], [["a"], ["b"]])],
)
def test_texts_come_flat_or_as_a_column(shape: list[int], data: list[Any]) -> None:
    assert decode_request(body(tensor(shape=shape, data=data)), {}).inputs == ["a", "b"]


def test_a_second_tensor_makes_pairs() -> None:
    asked = decode_request(body(tensor(), tensor("pair", data=["c", "d"])), {})
    assert asked.inputs == [("a", "c"), ("b", "d")]


def test_the_order_of_the_tensors_does_not_matter() -> None:
    asked = decode_request(body(tensor("pair", data=["c", "d"]), tensor()), {})
    assert asked.inputs == [("a", "c"), ("b", "d")]


def test_base64_is_decoded_where_the_tensor_says_so() -> None:
    given = tensor(data=["w6Q=", "Yg=="], parameters={"content_type": "base64"})
    assert decode_request(body(given), {}).inputs == ["ä", "b"]
    with pytest.raises(MalformedRequest):
        decode_request(body(tensor(data=["*", "b"], parameters={"content_type": "base64"})), {})


def test_other_content_types_and_unknown_members_change_nothing() -> None:
    given = tensor(parameters={"content_type": "str", "x": [1]}, more=1)
    assert decode_request(body(given, parameters={"a": True}, other=1), {}).inputs == ["a", "b"]


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ([], "text is missing"),
        ([tensor("pair")], "text is missing"),
        ([tensor(), tensor()], "same name"),
        ([tensor(), tensor("other")], "'other'"),
        ([tensor(datatype="FP32")], "BYTES"),
        ([tensor(shape=[3])], "shape"),
        ([tensor(shape=[1, 2])], "shape"),
        ([tensor(shape=[2, 1, 1])], "shape"),
        ([tensor(), tensor("pair", shape=[1], data=["c"])], "2 texts and 1 pairs"),
    ],
)
def test_tensors_that_cannot_be_are_refused(inputs: list[dict[str, Any]], what: str) -> None:
    with pytest.raises(UnacceptableRequest, match=what):
        decode_request(body(*inputs), {})


def test_a_number_for_a_text_is_refused_by_its_place() -> None:
    with pytest.raises(UnacceptableRequest, match=r"\$\.inputs\[0\]\.data\[1\]"):
        decode_request(body(tensor(data=["a", 1])), {})


def test_binary_tensors_are_refused_with_the_way_out() -> None:
    with pytest.raises(WrongMediaType, match="binary_data=False"):
        decode_request(b"", {b"inference-header-content-length": b"10"})


def test_all_outputs_but_the_embedding_are_answered_unless_some_are_named() -> None:
    assert decode_request(body(tensor()), {}).outputs == ("label", "score", "probabilities", "id")
    named = body(tensor(), outputs=[{"name": "embedding"}, {"name": "label"}])
    assert decode_request(named, {}).outputs == ("embedding", "label")
    with pytest.raises(UnacceptableRequest, match="'logits'"):
        decode_request(body(tensor(), outputs=[{"name": "logits"}]), {})


def test_outputs_have_the_shapes_of_the_protocol() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], dtype=np.float32)
    answer = Answer("d", ("x", "y", "z"), probabilities, np.ones((2, 4), np.float32), 0.0, 0.0)
    route = Route("acme", "support", 1, "d", ("x", "y", "z"), calibrated=False)
    predicted = Predicted(
        Backbone("b", "fp32", "cpu"), route, answer, [1, 0], [False, False], ["i", "j"]
    )
    names = ("label", "score", "probabilities", "id", "embedding")
    outputs = {output["name"]: output for output in encode_outputs(predicted, names)}
    assert outputs["label"]["data"] == ["y", "x"]
    assert outputs["score"]["data"].tolist() == pytest.approx([0.5, 0.7])
    assert outputs["id"]["data"] == ["i", "j"]
    assert outputs["probabilities"]["data"].tolist() == probabilities.ravel().tolist()
    shapes = {name: (output["shape"], output["datatype"]) for name, output in outputs.items()}
    assert shapes == {
        "label": ([2], "BYTES"),
        "score": ([2], "FP32"),
        "probabilities": ([2, 3], "FP32"),
        "id": ([2], "BYTES"),
        "embedding": ([2, 4], "FP32"),
    }
