"""Messages into what is asked, and what was found into messages."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from service.api.answers import version_number
from service.api.names import model_parts
from service.api.oip import head_of
from service.api.oip_binary import read_strings
from service.api.oip_tensors import Asked, Output, Tensor, asked_of, check_counts, outputs_of
from service.api.prediction import Predicted
from service.errors import MalformedRequest, UnacceptableRequest
from service.rpc.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
    ModelStatisticsResponse,
    RepositoryIndexResponse,
)

_M = TypeVar("_M", bound=Message)


def parse(kind: type[_M], raw: bytes) -> _M:
    """Return a message; raise `MalformedRequest` for bytes that are none."""
    try:
        return kind.FromString(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"the message is not a {kind.DESCRIPTOR.name}: {error}") from None


def version_of(text: str) -> int | None:
    """Return the version that a message names; an empty text names none."""
    return version_number(text) if text else None


def model_of(request: ModelInferRequest) -> tuple[str, str, int | None]:
    """Return tenant, adapter and version that a request names."""
    return (*model_parts(request.model_name), version_of(request.model_version))


def asked_by(
    request: ModelInferRequest, check_count: Callable[[int], None], *, images: bool = False
) -> Asked:
    """Return what a request asks; `images` says that the backbone reads these.

    Raises `MalformedRequest` and `UnacceptableRequest`, as over HTTP.
    """
    check_counts(len(request.inputs), len(request.outputs))
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise MalformedRequest(
            f"{len(request.inputs)} inputs and {len(raws)} raw_input_contents; each input needs one"
        )
    tensors = [
        _tensor(item, raws[number] if raws else None) for number, item in enumerate(request.inputs)
    ]
    outputs = [(output.name, _values(output.parameters)) for output in request.outputs]
    parameters = _values(request.parameters)
    return asked_of(request.id or None, parameters, tensors, outputs, check_count, images=images)


def _tensor(item: ModelInferRequest.InferInputTensor, raw: bytes | None) -> Tensor:
    where = f"input {item.name[:80]}"
    if raw is not None and item.HasField("contents"):
        raise MalformedRequest(f"{where} has both contents and raw_input_contents")

    def read(count: int) -> list[bytes]:
        if raw is not None:
            return read_strings(memoryview(raw), count, where)
        elements = list(item.contents.bytes_contents)
        if len(elements) != count:
            raise UnacceptableRequest(
                f"{where} has {len(elements)} elements, and its shape says {count}"
            )
        return elements

    return Tensor(item.name, item.datatype, item.shape, _values(item.parameters), read)


def _values(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    check_counts(0, 0, len(parameters))
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None:
            values[name] = getattr(parameter, choice)
    return values


def _parameter(value: object) -> InferParameter:
    if isinstance(value, bool):
        return InferParameter(bool_param=value)
    if isinstance(value, int):
        return InferParameter(int64_param=value)
    return InferParameter(string_param=str(value))


def answer_of(
    request: ModelInferRequest, asked: Asked, predicted: Predicted, request_id: str
) -> ModelInferResponse:
    """Return the answer to a request: raw where the request was."""
    head = head_of(predicted, asked.id or request_id)
    answer = ModelInferResponse(
        model_name=head["model_name"],
        model_version=head["model_version"],
        id=head["id"],
        parameters={name: _parameter(value) for name, value in head["parameters"].items()},
    )
    for output in outputs_of(predicted, [wanted.name for wanted in asked.outputs]):
        told = answer.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if request.raw_input_contents:
            answer.raw_output_contents.append(output.raw())
        else:
            told.contents.CopyFrom(_contents(output))
    return answer


def _contents(output: Output) -> InferTensorContents:
    if isinstance(output.data, list):
        return InferTensorContents(bytes_contents=[text.encode() for text in output.data])
    return InferTensorContents(fp32_contents=output.data.ravel().tolist())


def metadata_of(document: Mapping[str, Any]) -> ModelMetadataResponse:
    """Return a model's metadata."""

    def tensors(
        listed: Iterable[Mapping[str, Any]],
    ) -> list[ModelMetadataResponse.TensorMetadata]:
        return [
            ModelMetadataResponse.TensorMetadata(
                name=one["name"], datatype=one["datatype"], shape=one["shape"]
            )
            for one in listed
        ]

    return ModelMetadataResponse(
        name=document["name"],
        versions=document["versions"],
        platform=document["platform"],
        inputs=tensors(document["inputs"]),
        outputs=tensors(document["outputs"]),
    )


def config_of(document: Mapping[str, Any]) -> ModelConfigResponse:
    """Return a model's configuration; its members have the same names as the document's."""
    return ModelConfigResponse(config=dict(document))


def statistics_of(lines: Iterable[Mapping[str, Any]]) -> ModelStatisticsResponse:
    """Return the statistics of some versions."""
    listed = [{name: line[name] for name in line if name != "batch_stats"} for line in lines]
    return ModelStatisticsResponse(model_stats=listed)


def index_of(lines: Iterable[Mapping[str, Any]]) -> RepositoryIndexResponse:
    """Return the index of models."""
    return RepositoryIndexResponse(models=[dict(line) for line in lines])
