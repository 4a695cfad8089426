"""Tensors of the Open Inference Protocol: requests into inputs, predictions into outputs."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.api.prediction import Predicted
from service.api.requests import OipRequest, OipTensor, decode
from service.engine.tokens import Input
from service.errors import MalformedRequest, UnacceptableRequest, WrongMediaType

_BINARY_HEADER = b"inference-header-content-length"
_TEXT, _PAIR = "text", "pair"
_DEFAULT_OUTPUTS = ("label", "score", "probabilities", "id")

_decoder = msgspec.json.Decoder(OipRequest)


@dataclass(frozen=True, slots=True)
class Asked:
    """An inference request, apart from how its tensors came."""

    id: str | None
    inputs: list[Input]
    outputs: tuple[str, ...]  # names, in the order of the answer


def decode_request(body: bytes, headers: Mapping[bytes, bytes]) -> Asked:
    """Return what a request asks.

    Raises `MalformedRequest`, `UnacceptableRequest` and, for binary tensors, `WrongMediaType`.
    """
    if _BINARY_HEADER in headers:
        raise WrongMediaType(
            "binary tensors are not taken; send the tensors as JSON (tritonclient:"
            " set_data_from_numpy(..., binary_data=False))"
        )
    request = decode(_decoder, body)
    tensors = {tensor.name: tensor for tensor in request.inputs}
    if len(tensors) != len(request.inputs):
        raise UnacceptableRequest("two inputs have the same name")
    for name in tensors.keys() - {_TEXT, _PAIR}:
        raise UnacceptableRequest(f"there is no input {name[:80]!r}; the inputs are text and pair")
    if _TEXT not in tensors:
        raise UnacceptableRequest("the input text is missing")
    texts: list[Input] = list(_strings(tensors[_TEXT]))
    if _PAIR in tensors:
        texts = _paired(texts, _strings(tensors[_PAIR]))
    asked = [output.name for output in request.outputs or ()] or _DEFAULT_OUTPUTS
    outputs = tuple(dict.fromkeys(asked))
    for name in outputs:
        if name not in _OUTPUTS:
            known = ", ".join(_OUTPUTS)
            raise UnacceptableRequest(f"there is no output {name[:80]!r}; the outputs are {known}")
    return Asked(request.id, texts, outputs)


def _strings(tensor: OipTensor) -> list[str]:
    """Return the elements of a BYTES tensor of shape [n] or [n, 1]."""
    if tensor.datatype != "BYTES":
        raise UnacceptableRequest(
            f"input {tensor.name} is {tensor.datatype[:20]!r}; it must be BYTES"
        )
    flat: list[str] = []
    for item in tensor.data:
        flat.extend([item] if isinstance(item, str) else item)
    if tensor.shape not in ([len(flat)], [len(flat), 1]):
        raise UnacceptableRequest(
            f"input {tensor.name} has {len(flat)} elements and the shape {tensor.shape[:8]}; it"
            " must be [n] or [n, 1]"
        )
    if (tensor.parameters or {}).get("content_type") == "base64":
        return [_from_base64(item) for item in flat]
    return flat


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError) as error:
        raise MalformedRequest("an element is not base64 of a text in UTF-8") from error


def _paired(texts: Sequence[Input], pairs: Sequence[str]) -> list[Input]:
    if len(texts) != len(pairs):
        raise UnacceptableRequest(f"{len(texts)} texts and {len(pairs)} pairs; they go together")
    return [(str(text), pair) for text, pair in zip(texts, pairs, strict=True)]


def encode_outputs(predicted: Predicted, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the outputs of the given names; numbers stay numpy arrays, flat."""
    return [{"name": name, **_OUTPUTS[name](predicted)} for name in names]


def _labels(predicted: Predicted) -> dict[str, Any]:
    labels = predicted.answer.labels
    return _bytes([labels[top] for top in predicted.tops])


def _scores(predicted: Predicted) -> dict[str, Any]:
    return _floats(predicted.answer.probabilities.max(axis=1))


def _bytes(data: list[str]) -> dict[str, Any]:
    return {"shape": [len(data)], "datatype": "BYTES", "data": data}


def _floats(data: Any) -> dict[str, Any]:  # an array of float32, whose shape varies
    return {"shape": list(data.shape), "datatype": "FP32", "data": data.ravel()}


_OUTPUTS: dict[str, Callable[[Predicted], dict[str, Any]]] = {
    "label": _labels,
    "score": _scores,
    "probabilities": lambda predicted: _floats(predicted.answer.probabilities),
    "id": lambda predicted: _bytes(predicted.ids),
    "embedding": lambda predicted: _floats(predicted.answer.embeddings),
}
