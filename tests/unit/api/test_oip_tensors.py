import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.oip_tensors import Asked, Wanted, decode_request, outputs_of
from service.api.prediction import Backbone, Predicted
from service.batching.answers import Answer
from service.engine.errors import TenantryError
from service.errors import MalformedRequest, UnacceptableRequest
from service.registry.records import Route

LENGTH = b"inference-header-content-length"
Headers = dict[bytes, bytes]


def any_count(_: int) -> None:
    """Take any number of inputs."""


def tensor(name: str = "text", **changes: Any) -> dict[str, Any]:
    return {"name": name, "shape": [2], "datatype": "BYTES", "data": ["a", "b"], **changes}


def body(*inputs: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **members}).encode()


def asked_by(*inputs: dict[str, Any], **members: Any) -> Asked:
    return decode_request(body(*inputs, **members), {}, any_count)


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in elements)


def raw_tensor(size: object, name: str = "text", **changes: Any) -> dict[str, Any]:
    made = tensor(name, parameters={"binary_data_size": size})
    del made["data"]
    return made | changes


def with_tail(tail: bytes, *inputs: dict[str, Any], **members: Any) -> Asked:
    json_part = body(*inputs, **members)
    return decode_request(json_part + tail, {LENGTH: b"%d" % len(json_part)}, any_count)


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2], ["a", "b"]), ([2, 1], ["a", "b"]), ([2, 1], [["a"], ["b"]])],
)
def test_texts_come_flat_or_as_a_column(shape: list[int], data: list[Any]) -> None:
    assert asked_by(tensor(shape=shape, data=data)).inputs == ["a", "b"]


def test_a_second_tensor_makes_pairs_in_either_order() -> None:
    pair = tensor("pair", data=["c", "d"])
    assert asked_by(tensor(), pair).inputs == [("a", "c"), ("b", "d")]
    assert asked_by(pair, tensor()).inputs == [("a", "c"), ("b", "d")]


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_raw_texts_stand_behind_the_json(shape: list[int]) -> None:
    tail = packed("ä".encode(), b"")
    assert with_tail(tail, raw_tensor(len(tail), shape=shape)).inputs == ["ä", ""]


def test_raw_tensors_and_json_may_be_mixed_and_stand_in_the_order_of_the_inputs() -> None:
    pair, text = packed(b"c", b"dd"), packed(b"a", b"b")
    both = with_tail(pair + text, raw_tensor(len(pair), "pair"), raw_tensor(len(text)))
    assert both.inputs == [("a", "c"), ("b", "dd")]
    mixed = with_tail(pair, tensor(), raw_tensor(len(pair), "pair"))
    assert mixed.inputs == [("a", "c"), ("b", "dd")]


def test_the_header_may_stand_where_nothing_is_raw() -> None:
    assert with_tail(b"", tensor()).inputs == ["a", "b"]


@pytest.mark.parametrize(
    ("tail", "inputs", "what"),
    [
        (packed(b"a", b"b")[:9], [raw_tensor(9)], "element 1 says 1 bytes, and 0 are left"),
        (packed(b"a", b"b"), [raw_tensor(11)], "binary_data_size is 11, and 10 bytes are left"),
        (packed(b"a", b"b") + b"x", [raw_tensor(10)], "1 bytes at the end of the body"),
        (packed(b"a", b"b"), [raw_tensor("10")], "must be a whole number"),
        (packed(b"a", b"b"), [tensor(parameters={"binary_data_size": 10})], "both data and"),
        (packed(b"a"), [raw_tensor(5)], "ends after 1 elements"),
        (packed(b"a", b"b", b"c"), [raw_tensor(15)], "goes on for 5 bytes"),
        (packed(b"a", b"\xff"), [raw_tensor(10)], "element 1 is not UTF-8"),
        (b"", [raw_tensor(0)], "ends after 0 elements"),
    ],
)
def test_a_lie_about_lengths_is_malformed_and_told_by_its_place(
    tail: bytes, inputs: list[dict[str, Any]], what: str
) -> None:
    with pytest.raises(MalformedRequest, match=what):
        with_tail(tail, *inputs)


def test_base64_is_decoded_where_the_tensor_says_so() -> None:
    given = tensor(data=["w6Q=", "Yg=="], parameters={"content_type": "base64"})
    assert asked_by(given).inputs == ["ä", "b"]
    tail = packed(b"w6Q=", b"Yg==")
    raw = raw_tensor(0, parameters={"content_type": "base64", "binary_data_size": len(tail)})
    assert with_tail(tail, raw).inputs == ["ä", "b"]
    for wrong in ("*", "w6Q", "ä", "/w=="):
        with pytest.raises(MalformedRequest, match="element 0 is not base64"):
            asked_by(tensor(data=[wrong, "b"], parameters={"content_type": "base64"}))


def test_mlservers_strings_are_texts_and_its_request_codec_names_nothing() -> None:
    strings = {"content_type": "str"}
    assert asked_by(tensor(parameters=strings)).inputs == ["a", "b"]
    assert asked_by(tensor("input-1", parameters=strings), parameters=strings).inputs == ["a", "b"]
    with pytest.raises(UnacceptableRequest, match="'input-1'"):
        asked_by(tensor("input-1", parameters=strings))


@pytest.mark.parametrize("kind", ["np", "pd", "datetime", "hg_jsonlist", "", 1])
def test_other_content_types_are_refused_by_name(kind: object) -> None:
    with pytest.raises(UnacceptableRequest, match=f"input text has the content type '{kind}'"):
        asked_by(tensor(parameters={"content_type": kind}))
    with pytest.raises(UnacceptableRequest, match=f"the request has the content type '{kind}'"):
        asked_by(tensor(), parameters={"content_type": kind})


def test_unknown_members_and_parameters_change_nothing() -> None:
    given = tensor(parameters={"x": [1], "headers": {}}, more=1)
    asked = asked_by(given, parameters={"a": True, "sequence_id": 3}, other=1, id=None)
    assert asked == Asked(
        None, ["a", "b"], tuple(map(Wanted, ("label", "score", "probabilities", "id")))
    )


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ([], "text is missing"),
        ([tensor("pair")], "text is missing"),
        ([tensor(), tensor()], "same name"),
        ([tensor(), tensor("other")], "'other'"),
        ([tensor(datatype="FP32")], "BYTES"),
        ([tensor(shape=[3])], "2 elements, and its shape says 3"),
        ([tensor(shape=[1, 2])], "shape"),
        ([tensor(shape=[2, 1, 1])], "shape"),
        ([tensor(shape=[-2])], "shape"),
        ([tensor(shape=[])], "shape"),
        ([tensor(shape=[2] * 100)], "shape"),
        ([tensor(data=None)], "neither data nor binary_data_size"),
        ([tensor(), tensor("pair", shape=[1], data=["c"])], "2 texts and 1 pairs"),
        ([tensor(parameters={"shared_memory_region": "x"})], "shared_memory_region is not offered"),
    ],
)
def test_tensors_that_cannot_be_are_refused(inputs: list[dict[str, Any]], what: str) -> None:
    with pytest.raises(UnacceptableRequest, match=what):
        asked_by(*inputs)


def test_a_number_for_a_text_is_refused_by_its_place() -> None:
    with pytest.raises(UnacceptableRequest, match=r"\$\.inputs\[0\]\.data\[1\]"):
        asked_by(tensor(data=["a", 1]))


def test_too_many_inputs_are_refused_before_they_are_read() -> None:
    def few(count: int) -> None:
        raise UnacceptableRequest(f"{count} are too many")

    broken = body(raw_tensor(4, shape=[5]))
    with pytest.raises(UnacceptableRequest, match="5 are too many"):
        decode_request(broken + b"\xff" * 4, {LENGTH: b"%d" % len(broken)}, few)


def test_far_more_of_something_than_there_is_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(UnacceptableRequest, match="17 inputs; a request has at most 16"):
        asked_by(*[tensor("nameless")] * 17)
    with pytest.raises(UnacceptableRequest, match="65 outputs"):
        asked_by(tensor(), outputs=[{"name": "id"}] * 65)
    with pytest.raises(UnacceptableRequest, match="text has 3 elements, and its shape says 2"):
        asked_by(tensor(data=[["a"], [], ["b"]]))


def test_all_outputs_but_the_embedding_are_answered_unless_some_are_named() -> None:
    assert [one.name for one in asked_by(tensor()).outputs] == [
        "label",
        "score",
        "probabilities",
        "id",
    ]
    named = asked_by(tensor(), outputs=[{"name": "embedding"}, {"name": "label"}])
    assert named.outputs == (Wanted("embedding"), Wanted("label"))
    with pytest.raises(UnacceptableRequest, match="'logits'"):
        asked_by(tensor(), outputs=[{"name": "logits"}])


def test_each_output_says_whether_it_is_raw_and_the_request_says_it_for_the_others() -> None:
    raw = {"binary_data_output": True}
    assert all(one.raw for one in asked_by(tensor(), parameters=raw).outputs)
    outputs = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "score"}]
    assert asked_by(tensor(), parameters=raw, outputs=outputs).outputs == (
        Wanted("label", raw=False),
        Wanted("score", raw=True),
    )
    outputs = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "score"}]
    assert asked_by(tensor(), outputs=outputs).outputs == (
        Wanted("label", raw=True),
        Wanted("score", raw=False),
    )


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"parameters": {"binary_data_output": 1}}, "the request: .* binary_data_output must be"),
        (
            {"outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]},
            "output label: .* binary_data must be",
        ),
        (
            {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            "output label: .* classification is not offered",
        ),
        ({"parameters": {"routing_key": ""}}, "routing_key must be a text of 1 to 256"),
        ({"parameters": {"routing_key": "k" * 257}}, "routing_key must be a text of 1 to 256"),
        ({"parameters": {"routing_key": 7}}, "routing_key must be a text"),
        ({"parameters": {"group": "g" * 65}}, "group must be a text of 1 to 64"),
    ],
)
def test_parameters_that_cannot_be_are_refused(members: dict[str, Any], what: str) -> None:
    with pytest.raises(UnacceptableRequest, match=what):
        asked_by(tensor(), **members)


def test_the_routing_key_and_the_group_come_as_parameters() -> None:
    asked = asked_by(tensor(), parameters={"routing_key": "user-42", "group": "north"}, id="7")
    assert (asked.id, asked.routing_key, asked.group) == ("7", "user-42", "north")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.sampled_from(["a", "", "BYTES", "str"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Headers]:
    """Requests that are nearly right: each part is what it should be, or something else."""

    def part(right: st.SearchStrategy[Any]) -> Any:
        return draw(st.one_of(right, right, right, JSON))

    tail = draw(st.binary(max_size=40) | st.just(packed(b"a", b"b")))
    inputs = [
        {
            "name": part(st.sampled_from(["text", "pair"])),
            "shape": part(st.lists(st.integers(-1, 3), max_size=3)),
            "datatype": part(st.just("BYTES")),
            "data": part(st.none() | st.lists(st.text(max_size=3), max_size=3)),
            "parameters": part(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "binary_data_size": st.integers(-1, 44) | JSON,
                        "content_type": st.sampled_from(["str", "base64"]) | JSON,
                    },
                )
            ),
        }
        for _ in range(draw(st.integers(0, 3)))
    ]
    json_part = body(*inputs, parameters=part(st.none()), outputs=part(st.none()))
    length = draw(st.just(len(json_part)) | st.integers(0, len(json_part) + 50))
    headers = draw(st.sampled_from([{}, {LENGTH: b"%d" % length}, {LENGTH: b"%d" % length}]))
    return json_part + tail, headers


@given(requests())
def test_any_request_is_read_or_refused_by_an_error_of_ours(given: tuple[bytes, Headers]) -> None:
    try:
        asked = decode_request(*given, any_count)
    except TenantryError:
        return
    assert asked.outputs


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_read_or_refused_by_an_error_of_ours(given: bytes, length: int) -> None:
    with pytest.raises((MalformedRequest, UnacceptableRequest)):
        decode_request(given, {LENGTH: b"%d" % length}, any_count)


def test_outputs_have_the_shapes_of_the_protocol() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], dtype=np.float32)
    answer = Answer("d", ("x", "y", "z"), probabilities, np.ones((2, 4), np.float32), 0.0, 0.0)
    route = Route("acme", "support", 1, "d", ("x", "y", "z"), calibrated=False)
    predicted = Predicted(
        Backbone("b", "fp32", "cpu"),
        route,
        answer,
        [1, 0],
        [False, False],
        ["i", "j"],
        [False, False],
        7,
        1_743_413_400.0,
    )
    names = ("label", "score", "probabilities", "id", "embedding")
    outputs = {output.name: output for output in outputs_of(predicted, names)}
    assert outputs["label"].data == ["y", "x"]
    assert list(outputs["score"].data) == pytest.approx([0.5, 0.7])
    assert outputs["id"].data == ["i", "j"]
    assert outputs["probabilities"].raw() == probabilities.tobytes()
    assert outputs["label"].raw() == packed(b"y", b"x")
    shapes = {name: (output.shape, output.datatype) for name, output in outputs.items()}
    assert shapes == {
        "label": ([2], "BYTES"),
        "score": ([2], "FP32"),
        "probabilities": ([2, 3], "FP32"),
        "id": ([2], "BYTES"),
        "embedding": ([2, 4], "FP32"),
    }
