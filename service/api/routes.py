"""Routes that document themselves and are answered by plain ASGI callables."""

import re
from collections.abc import Collection
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp

_PARAMETER = re.compile("{([a-z_]+)}")

PATH_PARAMETERS = {
    "tenant": ("A tenant's name: `[a-z0-9][a-z0-9-]{0,62}`.", "acme"),
    "adapter": ("An adapter's name: `[a-z0-9][a-z0-9-]{0,62}`.", "support"),
    "version": ("A version's number.", 3),
    "model": ("A model's name: `{tenant}.{adapter}`.", "acme.support"),
}


async def _documented() -> None:
    """Stand where the framework wants an endpoint; the route's own callable answers."""
    raise AssertionError("a raw route is answered by its handler")


class RawRoute(APIRoute):
    """A route of the hot path: in the OpenAPI document like any other, but without its machinery.

    `handler` is an ASGI callable; it reads the body and answers by itself.
    """

    def __init__(
        self,
        path: str,
        handler: ASGIApp,
        *,
        methods: Collection[str],
        name: str,
        summary: str,
        description: str,
        tags: list[str],
        responses: dict[int | str, dict[str, Any]],
        request_body: dict[str, Any],
        parameters: list[dict[str, Any]],
    ) -> None:
        super().__init__(
            path,
            _documented,
            methods=list(methods),
            name=name,
            summary=summary,
            description=description,
            tags=list(tags),
            responses=responses,
            openapi_extra={
                "parameters": [*path_parameters(path), *parameters],
                "requestBody": request_body,
            },
        )
        self.app = handler


def path_parameters(path: str) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of a path's template."""
    parameters = []
    for name in _PARAMETER.findall(path):
        text, example = PATH_PARAMETERS[name]
        parameters.append(
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": text,
                "schema": {"type": "integer" if isinstance(example, int) else "string"},
                "example": example,
            }
        )
    return parameters
