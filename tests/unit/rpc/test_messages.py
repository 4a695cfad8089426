import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from service.api.oip_catalogue import config_document, metadata_document
from service.api.oip_statistics import Counts, statistics_line
from service.engine.errors import TenantryError
from service.errors import MalformedRequest, UnacceptableRequest
from service.rpc.messages import (
    asked_by,
    config_of,
    metadata_of,
    model_of,
    parse,
    statistics_of,
    version_of,
)
from service.rpc.open_inference_pb2 import ModelInferRequest, ModelReadyRequest


def any_count(_: int) -> None:
    """Take any number of inputs."""


def request_of(*texts: bytes) -> ModelInferRequest:
    text = ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[len(texts)])
    text.contents.bytes_contents.extend(texts)
    return ModelInferRequest(model_name="acme.support", model_version="3", inputs=[text])


def test_bytes_that_are_no_message_are_malformed_and_name_what_they_should_be() -> None:
    with pytest.raises(MalformedRequest, match="the message is not a ModelReadyRequest"):
        parse(ModelReadyRequest, b"\xff")


def test_an_empty_version_is_none() -> None:
    assert (version_of(""), version_of("3")) == (None, 3)
    assert model_of(request_of(b"a")) == ("acme", "support", 3)


def test_parameters_of_every_type_are_values() -> None:
    request = request_of("ä".encode())
    request.parameters["group"].string_param = "north"
    request.parameters["a"].bool_param = True
    request.parameters["b"].int64_param = 1
    request.parameters["c"].double_param = 0.5
    request.parameters["d"].uint64_param = 2
    request.parameters["nothing"].SetInParent()
    asked = asked_by(request, any_count)
    assert (asked.inputs, asked.group, asked.id) == (["ä"], "north", None)
    request.parameters["routing_key"].int64_param = 7
    with pytest.raises(TenantryError, match="routing_key must be a text"):
        asked_by(request, any_count)


def test_far_more_of_something_than_there_is_is_refused_before_it_is_looked_at() -> None:
    inputs, outputs, parameters, of_a_tensor = (request_of(b"a") for _ in range(4))
    inputs.inputs.extend([ModelInferRequest.InferInputTensor(name="text")] * 16)
    outputs.outputs.extend([ModelInferRequest.InferRequestedOutputTensor(name="id")] * 65)
    for number in range(257):
        parameters.parameters[str(number)].bool_param = True
        of_a_tensor.inputs[0].parameters[str(number)].bool_param = True
    for request, what in (
        (inputs, "17 inputs"),
        (outputs, "65 outputs"),
        (parameters, "257 parameters"),
        (of_a_tensor, "257 parameters"),
    ):
        with pytest.raises(UnacceptableRequest, match=f"{what}; a request has at most"):
            asked_by(request, any_count)


@given(st.binary(max_size=120))
def test_any_bytes_are_asked_or_refused_by_an_error_of_ours(raw: bytes) -> None:
    for prefix in (b"", request_of(b"a").SerializeToString()):
        try:
            asked = asked_by(parse(ModelInferRequest, prefix + raw), any_count)
        except TenantryError:
            continue
        assert asked.outputs


LABELS = ("refund", "delivery")


@pytest.mark.parametrize(
    "told",
    [
        metadata_of(metadata_document("acme.support", [1, 2], LABELS, 8)),
        config_of(config_document("acme.support", LABELS, 8)),
        statistics_of([statistics_line(("acme", "support", 1), Counts(1, 2, 3, 4.0))]),
    ],
    ids=lambda told: str(type(told).__name__),
)
def test_documents_fit_into_their_messages(told: Message) -> None:
    assert told.ByteSize() > 20
    assert type(told).FromString(told.SerializeToString()) == told


def test_a_configuration_keeps_its_types_and_sizes() -> None:
    config = config_of(config_document("acme.support", LABELS, 8)).config
    assert [(one.name, one.optional) for one in config.input] == [("text", False), ("pair", True)]
    assert {one.name: list(one.dims) for one in config.output}["probabilities"] == [-1, 2]
