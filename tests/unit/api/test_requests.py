import msgspec
import pytest

from service.api.requests import Pair, PredictRequest, decode, require_json
from service.errors import MalformedRequest, UnacceptableRequest, WrongMediaType
from tests.fakes.asgi import call_with

DECODER = msgspec.json.Decoder(PredictRequest)


def test_a_request_is_decoded_with_its_defaults() -> None:
    request = decode(DECODER, b'{"inputs": ["a", {"text": "b", "pair": "c"}]}')
    assert request.inputs == ["a", Pair("b", "c")]
    assert (request.scores, request.embedding) == ("all", False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"inputs",
        b'{"inputs": ["a"]',
        b'{"inputs": ["\xff"]}',
        b'{"inputs": ["\\ud800"]}',
        b'{"inputs": ["a"]} more',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode(DECODER, body)


def test_json_of_any_depth_is_refused_and_never_overflows() -> None:
    decoder = msgspec.json.Decoder(dict[str, object])
    for depth in (2_000, 1_000_000):
        with pytest.raises(MalformedRequest, match="deeply"):
            decode(decoder, b'{"a": ' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"[]", "object"),
        (b"{}", "inputs"),
        (b'{"inputs": "a"}', r"\$\.inputs"),
        (b'{"inputs": [1]}', r"\$\.inputs\[0\]"),
        (b'{"inputs": [{"pair": "b"}]}', "text"),
        (b'{"inputs": ["a"], "scores": "some"}', r"\$\.scores"),
        (b'{"inputs": ["a"], "embeding": true}', "embeding"),
        (b'{"inputs": ["a"], "embedding": 1}', r"\$\.embedding"),
        (b'{"inputs": ["a"], "group": "' + b"g" * 65 + b'"}', r"\$\.group"),
        (b'{"inputs": ["a"], "routing_key": ""}', r"\$\.routing_key"),
    ],
)
def test_json_of_another_form_is_refused_by_its_place(body: bytes, place: str) -> None:
    with pytest.raises(UnacceptableRequest, match=place):
        decode(DECODER, body)


@pytest.mark.parametrize(
    "kind",
    [b"application/json", b"application/json; charset=utf-8", b"Application/JSON", b"a/b+json"],
)
def test_json_goes_by_its_names(kind: bytes) -> None:
    require_json(call_with([(b"content-type", kind)]))
    require_json(call_with())


@pytest.mark.parametrize(
    "kind", [b"image/png", b"text/plain", b"application/x-www-form-urlencoded"]
)
def test_another_type_is_refused(kind: bytes) -> None:
    with pytest.raises(WrongMediaType, match="application/json"):
        require_json(call_with([(b"content-type", kind)]))
