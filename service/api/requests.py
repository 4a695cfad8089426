"""Request bodies as values: decoded and checked in one pass, by the type that documents them."""

from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec

from service.api.call import Call
from service.errors import MalformedRequest, UnacceptableRequest, WrongMediaType

_T = TypeVar("_T")
_QUERY_FIELDS_MAX = 16
_RoutingKey = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Group = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    """A text, and a second one where the backbone compares two."""

    text: str
    pair: str | None = None


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to classify."""

    inputs: Annotated[
        list[str | Pair],
        msgspec.Meta(
            description="1 to 1,000 texts, or pairs of texts; where the backbone reads images,"
            " data URLs of images: `data:image/jpeg;base64,...`"
        ),
    ]
    scores: Annotated[
        Literal["all", "top"],
        msgspec.Meta(description="every label's score, or the best label's alone"),
    ] = "all"
    embedding: Annotated[
        bool, msgspec.Meta(description="whether to answer each text's embedding, not normalised")
    ] = False
    routing_key: Annotated[
        _RoutingKey | None,
        msgspec.Meta(description="requests of one key see one version while a canary runs"),
    ] = None
    group: Annotated[
        _Group | None, msgspec.Meta(description="the subgroup that these texts count for")
    ] = None


class ImageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How to answer the one image that is the request's body: the query string's parameters."""

    scores: Literal["all", "top"] = "all"
    embedding: bool = False
    routing_key: _RoutingKey | None = None
    group: _Group | None = None


class OipTensor(msgspec.Struct):
    """One input tensor; `data` is flat, or nested as `shape` says.

    A tensor without `data` stands behind the JSON, and its parameter `binary_data_size` says how
    many bytes it has there.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[str | list[str]] | None = None
    parameters: dict[str, Any] | None = None


class OipOutput(msgspec.Struct):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class OipRequest(msgspec.Struct):
    """An inference request of the Open Inference Protocol v2."""

    inputs: list[OipTensor]
    id: str | None = None
    parameters: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(
            description="`binary_data_output`, `routing_key`, `group`, `content_type`; others"
            " change nothing"
        ),
    ] = None
    outputs: list[OipOutput] | None = None


def decode(decoder: "msgspec.json.Decoder[_T]", body: bytes) -> _T:
    """Return a body's value.

    Raises `MalformedRequest` for what is not JSON, and `UnacceptableRequest` for JSON of another
    form, naming the place.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise UnacceptableRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"the body is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None


def decode_query(kind: type[_T], query: bytes) -> _T:
    """Return the value of a query string.

    Raises `MalformedRequest` for what is none, and `UnacceptableRequest` for a parameter that is
    not known, stands there twice, or has another form.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_QUERY_FIELDS_MAX,
        )
    except ValueError as error:
        raise MalformedRequest(f"the query string cannot be read: {error}") from None
    given = dict(pairs)
    if len(given) != len(pairs):
        raise UnacceptableRequest("a parameter of the query string stands there twice")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UnacceptableRequest(f"query string: {error}") from None


def media_type_of(call: Call) -> str:
    """Return the type that a body is declared as, without parameters; empty where it is not."""
    given = call.headers.get(b"content-type", b"")
    return given.partition(b";")[0].strip().lower().decode("latin-1")


def require_json(call: Call) -> None:
    """Raise `WrongMediaType` where the body says that it is something else than JSON."""
    given = call.headers.get(b"content-type")
    if given is None or given == b"application/json":
        return
    kind = given.partition(b";")[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise WrongMediaType("this route takes application/json")
