"""Tensors of the Open Inference Protocol: requests into inputs, predictions into outputs.

Both fronts, HTTP and gRPC, make `Tensor`s of what they were sent; here they become what is asked.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.api.oip_binary import SIZE, RawTensors, raw_floats, raw_strings, read_strings, split
from service.api.prediction import Given, Predicted
from service.api.requests import OipRequest, OipTensor, decode
from service.api.sent_images import SentImage, from_text
from service.engine.adapter import FloatArray
from service.errors import MalformedRequest, UnacceptableRequest

_TEXT, _PAIR, _IMAGE = "text", "pair", "image"
_DEFAULT_OUTPUTS = ("label", "score", "probabilities", "id")
_NOT_OFFERED = ("classification", "shared_memory_region")
_ROUTING_KEY_CHARS_MAX, _GROUP_CHARS_MAX = 256, 64
# Far beyond what there is; a body that names hundreds of thousands would hold everybody up.
_INPUTS_MAX, _OUTPUTS_MAX, _PARAMETERS_MAX = 16, 64, 256

Parameters = Mapping[str, Any]
_NONE: Final[Parameters] = {}

_decoder = msgspec.json.Decoder(OipRequest)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input tensor, however it came."""

    name: str
    datatype: str
    shape: Sequence[int]
    parameters: Parameters
    read: Callable[[int], list[bytes] | list[str]]  # given how many elements the shape says


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that is asked for."""

    name: str
    raw: bool = False  # behind the JSON


@dataclass(frozen=True, slots=True)
class Asked:
    """An inference request, apart from how its tensors came."""

    id: str | None
    inputs: list[Given]
    outputs: tuple[Wanted, ...]  # in the order of the answer
    routing_key: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """An output tensor: labels and ids, or numbers."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str] | FloatArray

    def raw(self) -> bytes:
        """Return it as a raw tensor."""
        return raw_strings(self.data) if isinstance(self.data, list) else raw_floats(self.data)


def decode_request(
    body: bytes,
    headers: Mapping[bytes, bytes],
    check_count: Callable[[int], None],
    *,
    images: bool = False,
) -> Asked:
    """Return what a request asks; `check_count` refuses too many inputs before they are read.

    `images` says that the backbone reads these, and not texts.

    Raises `MalformedRequest` for what cannot be read, lengths that do not fit among it, and
    `UnacceptableRequest` for tensors and parameters that the models do not have.
    """
    json, tail = split(body, headers)
    request = decode(_decoder, json)
    check_counts(len(request.inputs), len(request.outputs or ()))
    tensors = [_tensor(item, tail) for item in request.inputs]
    tail.finish()
    outputs = [(output.name, output.parameters or _NONE) for output in request.outputs or ()]
    parameters = request.parameters or _NONE
    return asked_of(request.id, parameters, tensors, outputs, check_count, images=images)


def check_counts(inputs: int, outputs: int, parameters: int = 0) -> None:
    """Raise `UnacceptableRequest` for too many of something, before any of it is looked at."""
    for what, count, most in (
        ("inputs", inputs, _INPUTS_MAX),
        ("outputs", outputs, _OUTPUTS_MAX),
        ("parameters", parameters, _PARAMETERS_MAX),
    ):
        if count > most:
            raise UnacceptableRequest(f"{count} {what}; a request has at most {most}")


def _tensor(item: OipTensor, tail: RawTensors) -> Tensor:
    parameters = item.parameters or _NONE
    where = f"input {item.name[:80]}"
    read: Callable[[int], list[bytes] | list[str]]
    if SIZE in parameters:
        if item.data is not None:
            raise MalformedRequest(f"{where} has both data and {SIZE}")
        raw = tail.take(parameters[SIZE], where)

        def read(count: int) -> list[bytes]:
            return read_strings(raw, count, where)

    elif item.data is None:
        raise UnacceptableRequest(f"{where} has neither data nor {SIZE}")
    else:
        data = item.data

        def read(count: int) -> list[str]:
            if len(data) > count:
                raise UnacceptableRequest(
                    f"{where} has {len(data)} elements, and its shape says {count}"
                )
            flat: list[str] = []
            for element in data:
                flat.extend([element] if isinstance(element, str) else element)
            if len(flat) != count:
                raise UnacceptableRequest(
                    f"{where} has {len(flat)} elements, and its shape says {count}"
                )
            return flat

    return Tensor(item.name, item.datatype, item.shape, parameters, read)


def asked_of(
    request_id: str | None,
    parameters: Parameters,
    tensors: Sequence[Tensor],
    outputs: Sequence[tuple[str, Parameters]],
    check_count: Callable[[int], None],
    *,
    images: bool = False,
) -> Asked:
    """Return what a request asks, of its tensors, and of the outputs that it names.

    Raises as `decode_request` does.
    """
    read = _images if images else _texts
    return Asked(
        request_id,
        read(tensors, parameters, check_count),
        _wanted(outputs, parameters),
        _chosen(parameters, "routing_key", _ROUTING_KEY_CHARS_MAX),
        _chosen(parameters, "group", _GROUP_CHARS_MAX),
    )


def _texts(
    tensors: Sequence[Tensor], parameters: Parameters, check_count: Callable[[int], None]
) -> list[Given]:
    given = _named(tensors, parameters)
    count = _count(given[_TEXT])
    check_count(count)
    texts = _strings(given[_TEXT], count)
    if _PAIR not in given:
        return list(texts)
    pairs = _count(given[_PAIR])
    if pairs != count:
        raise UnacceptableRequest(f"{count} texts and {pairs} pairs; they go together")
    return list(zip(texts, _strings(given[_PAIR], count), strict=True))


def _images(
    tensors: Sequence[Tensor], parameters: Parameters, check_count: Callable[[int], None]
) -> list[Given]:
    """Return images: raw elements are files, those in JSON are base64 of them, or data URLs."""
    if len(tensors) != 1 or tensors[0].name != _IMAGE:
        names = ", ".join(repr(tensor.name[:80]) for tensor in tensors)
        raise UnacceptableRequest(
            f"the inputs are {names}; this server's backbone reads images: the input is {_IMAGE!r}"
        )
    [tensor] = tensors
    count = _count(tensor)
    check_count(count)
    for content_type in (parameters.get("content_type"), tensor.parameters.get("content_type")):
        if content_type not in (None, "base64"):
            raise UnacceptableRequest(
                f"input {_IMAGE} has the content type {str(content_type)[:40]!r}; base64 is taken"
            )
    encoded = tensor.parameters.get("content_type") == "base64"
    return [_image(item, encoded=encoded) for item in tensor.read(count)]


def _image(item: bytes | str, *, encoded: bool) -> SentImage:
    if isinstance(item, bytes) and not encoded:
        return SentImage(item)
    # What is not ASCII is not base64 either, and is refused as such where it is decoded.
    return from_text(item if isinstance(item, str) else item.decode("ascii", "replace"))


def _named(tensors: Sequence[Tensor], parameters: Parameters) -> dict[str, Tensor]:
    content_type = parameters.get("content_type")
    _check_content_type(content_type, "the request")
    if content_type == "str" and len(tensors) == 1:
        # MLServer's way to send a whole request as one list of strings: its name means nothing.
        return {_TEXT: tensors[0]}
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) != len(tensors):
        raise UnacceptableRequest("two inputs have the same name")
    for name in given.keys() - {_TEXT, _PAIR}:
        raise UnacceptableRequest(f"there is no input {name[:80]!r}; the inputs are text and pair")
    if _TEXT not in given:
        raise UnacceptableRequest("the input text is missing")
    return given


def _count(tensor: Tensor) -> int:
    """Return the elements that a tensor's shape says, which is [n] or [n, 1]."""
    where = f"input {tensor.name[:80]}"
    if tensor.datatype != "BYTES":
        raise UnacceptableRequest(f"{where} is {tensor.datatype[:20]!r}; it must be BYTES")
    for name in _NOT_OFFERED:
        if name in tensor.parameters:
            raise UnacceptableRequest(f"{where}: the parameter {name} is not offered here")
    shape = list(tensor.shape[:8])
    if len(tensor.shape) not in (1, 2) or shape[0] < 0 or shape[1:] not in ([], [1]):
        raise UnacceptableRequest(f"{where} has the shape {shape}; it must be [n] or [n, 1]")
    return shape[0]


def _strings(tensor: Tensor, count: int) -> list[str]:
    where = f"input {tensor.name[:80]}"
    content_type = tensor.parameters.get("content_type")
    _check_content_type(content_type, where)
    elements: Sequence[bytes | str] = tensor.read(count)
    if content_type == "base64":
        return [_from_base64(item, where, number) for number, item in enumerate(elements)]
    return [
        item if isinstance(item, str) else _text_of(item, where, number)
        for number, item in enumerate(elements)
    ]


def _check_content_type(content_type: object, where: str) -> None:
    if content_type is not None and content_type not in ("str", "base64"):
        raise UnacceptableRequest(
            f"{where} has the content type {str(content_type)[:40]!r}; str and base64 are taken"
        )


def _text_of(item: bytes, where: str, number: int) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"{where}, element {number} is not UTF-8: {error.reason}") from None


def _from_base64(item: bytes | str, where: str, number: int) -> str:
    try:
        return base64.b64decode(item, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise MalformedRequest(
            f"{where}, element {number} is not base64 of a text in UTF-8"
        ) from error


def _wanted(
    outputs: Sequence[tuple[str, Parameters]], parameters: Parameters
) -> tuple[Wanted, ...]:
    raw = _flag(parameters, "binary_data_output", "the request", default=False)
    if not outputs:
        return tuple(Wanted(name, raw) for name in _DEFAULT_OUTPUTS)
    wanted: dict[str, Wanted] = {}
    for name, own in outputs:
        if name not in _OUTPUTS:
            known = ", ".join(_OUTPUTS)
            raise UnacceptableRequest(f"there is no output {name[:80]!r}; the outputs are {known}")
        for parameter in _NOT_OFFERED:
            if own.get(parameter):
                raise UnacceptableRequest(
                    f"output {name}: the parameter {parameter} is not offered here"
                )
        chosen = Wanted(name, _flag(own, "binary_data", f"output {name}", default=raw))
        wanted.setdefault(name, chosen)
    return tuple(wanted.values())


def _flag(parameters: Parameters, name: str, where: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise UnacceptableRequest(f"{where}: the parameter {name} must be true or false")
    return value


def _chosen(parameters: Parameters, name: str, chars_max: int) -> str | None:
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= chars_max:
        raise UnacceptableRequest(
            f"the parameter {name} must be a text of 1 to {chars_max} characters"
        )
    return value


def outputs_of(predicted: Predicted, names: Sequence[str]) -> list[Output]:
    """Return the outputs of the given names."""
    return [_OUTPUTS[name](predicted) for name in names]


def _labels(predicted: Predicted) -> Output:
    labels = predicted.answer.labels
    return _bytes("label", [labels[top] for top in predicted.tops])


def _bytes(name: str, data: list[str]) -> Output:
    return Output(name, [len(data)], "BYTES", data)


def _floats(name: str, data: FloatArray) -> Output:
    return Output(name, list(data.shape), "FP32", data)


_OUTPUTS: dict[str, Callable[[Predicted], Output]] = {
    "label": _labels,
    "score": lambda predicted: _floats("score", predicted.answer.probabilities.max(axis=1)),
    "probabilities": lambda predicted: _floats("probabilities", predicted.answer.probabilities),
    "id": lambda predicted: _bytes("id", predicted.ids),
    "embedding": lambda predicted: _floats("embedding", predicted.answer.embeddings),
}
