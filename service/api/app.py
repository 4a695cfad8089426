"""The application: every route, behind the edge."""

from typing import Any

from fastapi import FastAPI, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import adapters, audit, native, oip, operations, rollouts, tenants
from service.api.answers import json_response
from service.api.bodies import Bodies
from service.api.callers import gate_of
from service.api.documents import Documents
from service.api.lifecycle import Lifecycle
from service.api.middleware import Edge
from service.api.oip_models import OipModels
from service.api.openapi import describe
from service.api.ports import Batcher, Tokeniser
from service.api.prediction import Predictor
from service.api.reference_page import reference_page
from service.api.routes import RawRoute
from service.api.status_page import StatusPage
from service.api.uploads import Uploads
from service.api.version import VERSION
from service.engine.bundle import Bundle
from service.events.ids import Signer
from service.metrics import Metrics
from service.registry.registry import Registry
from service.settings import Settings

_TAGS = [
    {"name": native.TAG, "description": "Texts in, labels out."},
    {"name": oip.TAG, "description": "The same for KServe, Triton and MLServer clients."},
    {"name": tenants.TAG, "description": "Who has adapters here."},
    {"name": adapters.TAG, "description": "What tenants uploaded."},
    {"name": rollouts.TAG, "description": "Which version answers."},
    {"name": operations.TAG, "description": "For those who run the service."},
]


class Application(FastAPI):
    """FastAPI's routes and document, behind the edge alone.

    The framework's own layers (error pages, telemetry, limits) are left out: the edge does what
    they do, and on the hot path they cost as much as all of our own code.
    """

    edge: Edge

    def build_middleware_stack(self) -> ASGIApp:
        """Return the edge: nothing else may stand before the routes."""
        assert not self.user_middleware, "what happens to every request happens in the edge"
        return self.edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        scope["app"] = self
        await self.edge(scope, receive, send)


class Shortcut:
    """Leads to the raw routes first, past the framework, and to the framework for all others."""

    def __init__(self, app: FastAPI) -> None:
        self._raw = [route for route in app.routes if isinstance(route, RawRoute)]
        self._others = AsyncExitStackMiddleware(app.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        for route in self._raw:
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                await route.app(scope, receive, send)
                return
        await self._others(scope, receive, send)


def create_app(
    registry: Registry,
    batcher: Batcher,
    tokeniser: Tokeniser,
    bundle: Bundle,
    settings: Settings,
    metrics: Metrics,
    signer: Signer,
    *,
    lifecycle: Lifecycle,
    operator_port: int | None = None,
) -> FastAPI:
    """Return the application.

    `operator_port` is the port that is bound, which settings cannot say where they ask for any.
    Whoever makes the application starts and stops the batcher, and keeps `lifecycle` true.
    """
    app = Application(
        title="Tenantry",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    bodies = Bodies(settings.bodies_bytes_max)
    documents = Documents(bodies, settings.max_body_bytes)
    predictor = Predictor(
        registry,
        tokeniser,
        batcher,
        signer,
        metrics,
        bundle_digest=bundle.digest,
        max_inputs=settings.max_inputs,
        timeout_s_max=settings.request_timeout_s_max,
    )
    native.Predict(predictor, bodies, settings.max_body_bytes).mount(app)
    oip.Infer(predictor, bodies, settings.max_body_bytes).mount(app)
    OipModels(registry, lifecycle, documents, bundle.manifest.hidden_size).mount(app)
    tenants.Tenants(registry, documents).mount(app)
    adapters.Adapters(registry).mount(app)
    Uploads(registry, batcher, tokeniser, bundle, bodies, metrics, settings).mount(app)
    rollouts.Rollouts(registry, documents).mount(app)
    audit.Audit(registry).mount(app)
    operations.Operations(lifecycle, metrics.registry).mount(app)
    StatusPage(registry, batcher, bundle, lifecycle).mount(app)
    _mount_reference(app, settings)
    metrics.watch(batcher.status)
    app.edge = Edge(
        Shortcut(app),
        routes=[route for route in app.routes if isinstance(route, Route)],
        gate=gate_of(settings),
        lifecycle=lifecycle,
        bodies=bodies,
        metrics=metrics,
        settings=settings,
        operator_port=operator_port,
    )
    return app


def _mount_reference(app: FastAPI, settings: Settings) -> None:
    """Add the OpenAPI document and its page; both are made once, when first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app, settings, _TAGS)
        return app.openapi_schema

    async def show_document() -> Response:
        return json_response(document())

    async def show_page() -> Response:
        return reference_page(document())

    # FastAPI's own way to let an application replace the document.
    app.openapi = document  # type: ignore[method-assign]
    app.add_api_route("/openapi.json", show_document, methods=["GET"], include_in_schema=False)
    app.add_api_route("/docs", show_page, methods=["GET"], include_in_schema=False)
