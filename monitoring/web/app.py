"""The application: page, metrics, reports and probes, behind the edge."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from monitoring.web.documents import Document, Documents
from monitoring.web.edge import PAGE, Edge, caller_of
from monitoring.web.gate import Gate
from monitoring.web.page import live_page
from monitoring.web.reports import Reports

_COMPRESSED_FROM_BYTES = 1024
_COMPRESSION = 4
# Neither kept by anybody on the way, nor read by a page of another site.
_NOT_KEPT = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    reports: Reports
    registry: CollectorRegistry  # with `Metrics`, and what else is to be scraped
    gate: Gate
    # Why figures are not to be relied on yet, None when they are: catching up with the log, say.
    unready: Callable[[], str | None]


class Application(FastAPI):
    """FastAPI's routes behind the edge alone, which does what the framework's layers do."""

    edge: Edge

    def build_middleware_stack(self) -> ASGIApp:
        """Return the edge: nothing else may stand before the routes."""
        assert not self.user_middleware, "what happens to every request happens in the edge"
        return self.edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        scope["app"] = self
        await self.edge(scope, receive, send)


def create_app(parts: Parts) -> Application:
    """Return the application."""
    app = Application(
        title="Tenantry monitor",
        version=version("tenantry"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    _Report(Documents(parts.reports)).mount(app)
    _Operation(parts).mount(app)
    app.add_api_route(PAGE, _show_page, methods=["GET"])
    routes = AsyncExitStackMiddleware(app.router)
    squeezed = GZipMiddleware(routes, _COMPRESSED_FROM_BYTES, _COMPRESSION)
    app.edge = Edge(squeezed, parts.gate)
    return app


async def _show_page() -> Response:
    page = live_page()
    headers = _NOT_KEPT | {
        "content-security-policy": page.policy,
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
    }
    return Response(page.html, headers=headers, media_type="text/html")


class _Report:
    """The routes of reports."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.add_api_route("/v1/report", self.all, methods=["GET"])
        app.add_api_route("/v1/report/{tenant}", self.tenant, methods=["GET"])
        app.add_api_route("/v1/report/{tenant}/{adapter}", self.adapter, methods=["GET"])

    async def all(self, request: Request) -> Response:
        """Show everything that the caller sees."""
        caller = caller_of(request.scope)
        return _json(request, await asyncio.to_thread(self._documents.all, caller))

    async def tenant(self, request: Request, tenant: str) -> Response:
        """Show one tenant's adapters."""
        caller = caller_of(request.scope)
        return _json(request, await asyncio.to_thread(self._documents.tenant, caller, tenant))

    async def adapter(self, request: Request, tenant: str, adapter: str) -> Response:
        """Show one adapter with all that is known of it."""
        caller = caller_of(request.scope)
        found = await asyncio.to_thread(self._documents.adapter, caller, tenant, adapter)
        return _json(request, found)


class _Operation:
    """Probes and metrics."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.add_api_route("/livez", self.live, methods=["GET", "HEAD"])
        app.add_api_route("/readyz", self.ready, methods=["GET", "HEAD"])
        app.add_api_route("/metrics", self.metrics, methods=["GET"])

    async def live(self) -> Response:
        """Answer 200 for as long as the process answers at all."""
        return _probe({"live": True})

    async def ready(self) -> Response:
        """Answer 200 when figures tell of now, and 503 while the sidecar catches up."""
        reason = await asyncio.to_thread(self._parts.unready)  # it looks at the log's folder
        if reason is None:
            return _probe({"ready": True})
        return _probe({"ready": False, "reason": reason}, 503)

    async def metrics(self, request: Request) -> Response:
        """Show every series; `Accept` chooses between the text format and OpenMetrics."""
        caller_of(request.scope).require_operator()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        text = await asyncio.to_thread(encode, self._parts.registry)
        return Response(text, headers=_NOT_KEPT | {"content-type": content_type})


def _probe(document: dict[str, object], status: int = 200) -> Response:
    headers = _NOT_KEPT | ({"retry-after": "1"} if status == 503 else {})
    return Response(msgspec.json.encode(document), status, headers, "application/json")


def _json(request: Request, document: Document) -> Response:
    """Answer with a document, or with 304 where the caller has that one already."""
    headers = _NOT_KEPT | {"etag": document.tag}
    if document.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(document.body, 200, headers, "application/json")
