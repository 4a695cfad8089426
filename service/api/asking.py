"""Routes that ask an adapter: read alike and declared alike, whatever the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive

from service.api.bodies import Bodies
from service.api.call import Call
from service.api.openapi import TIMEOUT, example_of, struct_body
from service.api.requests import decode, require_json
from service.api.routes import RawRoute

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Template:
    """The path of one route, and what the route is called."""

    path: str
    name: str
    summary: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the OpenAPI document shows of a route that asks an adapter."""

    tag: str
    description: str
    request: type[msgspec.Struct]
    examples: Mapping[str, Any]
    answer: type[BaseModel]
    answered: object  # an example of `answer`
    refused: Mapping[int | str, dict[str, Any]]
    headers: Mapping[str, Any] | None = None  # of the answer, where it has its own
    content: Mapping[str, Any] | None = None  # of bodies that are not JSON
    parameters: Sequence[Mapping[str, Any]] = ()


def mount_asking(app: FastAPI, handler: ASGIApp, shown: Shown, *templates: Template) -> None:
    """Add raw routes to an application: the same handler for each path."""
    answered = example_of(shown.answer, shown.answered)
    if shown.headers is not None:
        answered["headers"] = dict(shown.headers)
    body = struct_body(shown.request, dict(shown.examples))
    body["content"].update(shown.content or {})
    parameters = [TIMEOUT, *map(dict, shown.parameters)]
    for template in templates:
        route = RawRoute(
            template.path,
            handler,
            methods=["POST"],
            name=template.name,
            summary=template.summary,
            description=shown.description,
            tags=[shown.tag],
            responses={200: answered, **shown.refused},
            request_body=body,
            parameters=parameters,
        )
        app.router.routes.append(route)


class JsonReader(Generic[_T]):
    """Reads the JSON bodies of one kind of request."""

    def __init__(self, struct: type[_T], bodies: Bodies, max_body_bytes: int) -> None:
        self._decoder = msgspec.json.Decoder(struct)
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes

    async def read(self, call: Call, receive: Receive) -> _T:
        """Return the request that a body holds.

        Raises what `Bodies.read` raises, `WrongMediaType`, `MalformedRequest` for what is not
        JSON, and `UnacceptableRequest` for JSON of another form, naming the place.
        """
        require_json(call)
        return decode(self._decoder, await self._bodies.read(call, receive, self._max_body_bytes))
