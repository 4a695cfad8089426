"""JSON answers, and the parameters that paths carry."""

import re
from collections.abc import Iterable

import orjson
from starlette.responses import Response
from starlette.types import Send

from service.errors import UnknownVersion

_JSON_HEADER = (b"content-type", b"application/json")
_VERSION = re.compile("[1-9][0-9]{0,8}")


async def send_json(
    send: Send, document: object, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer 200 with a JSON document; numpy arrays and numbers may be in it."""
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [_JSON_HEADER, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def json_response(
    document: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """Return a JSON answer."""
    return Response(
        orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY),
        status,
        dict(headers),
        "application/json",
    )


def version_number(text: str) -> int:
    """Return the version that a path names; raise `UnknownVersion` for what names none."""
    if not _VERSION.fullmatch(text):
        raise UnknownVersion(f"there is no version {text[:80]!r}; versions are 1, 2, 3, ...")
    return int(text)
