"""Routes: guarded all of them, and those of the hot path answered by plain ASGI callables."""

import re
from collections.abc import Callable, Collection
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.call import call_of
from service.api.callers import ANONYMOUS
from service.api.desk import Desk
from service.api.names import PATH_PARAMETERS
from service.api.permissions import MANAGING, authorise, need_of, tenant_of

DESK = "tenantry.desk"  # in the scope of every request

_PARAMETER = re.compile("{([a-z_]+)}")


async def _documented() -> None:
    """Stand where the framework wants an endpoint; the route's own callable answers."""
    raise AssertionError("a raw route is answered by its handler")


class _Guarded:
    """Lets a request through to a route's own callable once its caller may ask for it."""

    def __init__(self, path: str, methods: Collection[str], app: ASGIApp) -> None:
        self._needs = {method: need_of(method, path) for method in methods}
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        caller = call.caller or ANONYMOUS
        need = self._needs[scope["method"]]
        path = scope["path_params"]
        authorise(caller, need, path)
        if call.tracing is not None:
            tenant = tenant_of(path) or caller.tenant
            if tenant:  # what is nobody's, probes and pages, is never recorded
                call.record(tenant)
        if need not in MANAGING:
            await self._app(scope, receive, send)
            return
        desk: Desk = scope[DESK]
        with desk.place(caller.tenant):
            await self._app(scope, receive, send)


class GuardedRoute(APIRoute):
    """A route that nobody reaches who may not: the only kind that the application has.

    What it needs, `permissions` says.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.answer_by(self.app)

    def answer_by(self, app: ASGIApp) -> None:
        """Let a callable answer, behind the guard."""
        self.app = _Guarded(self.path, self.methods or (), app)


class RawRoute(GuardedRoute):
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
        self.answer_by(handler)


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
