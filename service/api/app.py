"""The application: every route, behind the edge."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import (
    adapters,
    audit,
    comparison,
    feedback,
    hf,
    keys,
    native,
    oip,
    oip_models,
    operations,
    rollouts,
    tei,
    tenants,
    usage,
    vllm,
)
from service.api.answers import json_response
from service.api.bodies import Bodies
from service.api.callers import Gate, gate_of
from service.api.changes import Changes
from service.api.desk import Desk
from service.api.documents import Documents
from service.api.entrance import Entrance
from service.api.failures import FailedRequests
from service.api.image_reading import ImageReading, image_limits, waiting_max
from service.api.lifecycle import Lifecycle
from service.api.middleware import Edge
from service.api.oip_catalogue import Catalogue
from service.api.oip_statistics import Statistics
from service.api.openapi import describe
from service.api.ports import Batcher, Preparing, Preprocessor, Signing, Tokeniser
from service.api.prediction import Predictor
from service.api.recording import Log, LoggedPredictions, LoggedReferences
from service.api.reference_page import reference_page
from service.api.routes import DESK, GuardedRoute, RawRoute
from service.api.status_page import StatusPage
from service.api.tenant_answers import TenantAnswers
from service.api.tokenising import Tokenising
from service.api.undecodable import UndecodableImages
from service.api.uploads import Uploads
from service.api.version import VERSION
from service.engine.bundle import Bundle
from service.gate.inputs import HoldoutImages, HoldoutPreparer, HoldoutTexts
from service.limits import TenantLimits
from service.metrics import Metrics
from service.registry.registry import Registry
from service.settings import Settings
from service.usage import UsageBook

if TYPE_CHECKING:
    from service.tracing.tracing import Tracing

_TAGS = [
    {"name": native.TAG, "description": "Texts in, labels out, and labels back."},
    {"name": oip.TAG, "description": "The same for KServe, Triton and MLServer clients."},
    {"name": tei.TAG, "description": "The same for clients of Text Embeddings Inference."},
    {"name": hf.TAG, "description": "The same for `huggingface_hub`."},
    {"name": vllm.TAG, "description": "The same for clients of vLLM."},
    {"name": tenants.TAG, "description": "Who has adapters here."},
    {"name": adapters.TAG, "description": "What tenants uploaded."},
    {"name": rollouts.TAG, "description": "Which versions answer."},
    {"name": operations.TAG, "description": "For those who run the service."},
]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of; whoever makes them starts and stops them."""

    registry: Registry
    batcher: Batcher
    tokeniser: Tokeniser | None  # None: the backbone reads images,
    bundle: Bundle
    settings: Settings
    metrics: Metrics
    signing: Signing
    log: Log
    limits: TenantLimits
    usage: UsageBook
    lifecycle: Lifecycle
    preprocessor: Preprocessor | None = None  # which this one prepares
    trials: comparison.Comparisons | None = None  # None: canaries are compared with nothing
    tracing: "Tracing | None" = None  # None: nothing is recorded


@dataclass(frozen=True, slots=True)
class Shared:
    """What the routes share, and servers of other protocols too."""

    predictor: Predictor
    bodies: Bodies
    documents: Documents
    statistics: Statistics
    gate: Gate
    undecodable: UndecodableImages
    failures: FailedRequests
    answers: TenantAnswers


class Application(FastAPI):
    """FastAPI's routes and document, behind the edge alone.

    The framework's own layers (error pages, telemetry, limits) are left out: the edge does what
    they do, and on the hot path they cost as much as all of our own code.
    """

    edge: Edge
    shared: Shared
    desk: Desk

    def build_middleware_stack(self) -> ASGIApp:
        """Return the edge: nothing else may stand before the routes."""
        assert not self.user_middleware, "what happens to every request happens in the edge"
        return self.edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        scope["app"] = self
        scope[DESK] = self.desk
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


def create_app(parts: Parts, *, operator_port: int | None = None) -> Application:
    """Return the application.

    `operator_port` is the port that is bound, which settings cannot say where they ask for any.
    """
    app = Application(
        title="Tenantry",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = GuardedRoute
    app.shared = _shared(parts)
    app.desk = Desk()
    _mount_asking(app, parts, app.shared)
    _mount_running(app, parts, app.shared, operator_port)
    _mount_reference(app, parts.settings)
    parts.metrics.watch(
        parts.batcher.status, lambda digests: parts.registry.routes().count_answering(digests)
    )
    parts.metrics.limits(
        waiting_max(parts.settings, parts.bundle.manifest.image), parts.settings.queue_tokens_max
    )
    app.edge = Edge(
        Shortcut(app),
        routes=[route for route in app.routes if isinstance(route, Route)],
        gate=app.shared.gate,
        lifecycle=parts.lifecycle,
        bodies=app.shared.bodies,
        metrics=parts.metrics,
        answers=app.shared.answers,
        settings=parts.settings,
        operator_port=operator_port,
        tracing=parts.tracing,
    )
    return app


def _shared(parts: Parts) -> Shared:
    settings = parts.settings
    undecodable = UndecodableImages(
        parts.log, parts.metrics, parts.bundle.digest, enabled=settings.event_log
    )
    failures = FailedRequests(
        parts.log, parts.metrics, parts.bundle.digest, enabled=settings.event_log
    )
    preparing = _preparing(parts)
    predictor = Predictor(
        parts.registry,
        preparing,
        parts.batcher,
        parts.signing,
        parts.metrics,
        LoggedPredictions(
            parts.log,
            parts.signing,
            enabled=settings.event_log,
            audit_ratio=settings.audit_ratio,
            base_ratio=settings.base_embedding_ratio,
            on_undecodable=undecodable.note,
            on_failed=failures.note,
        ),
        parts.limits,
        parts.usage,
        bundle_digest=parts.bundle.digest,
        max_inputs=(
            min(settings.max_inputs, settings.max_images)
            if preparing.takes_images
            else settings.max_inputs
        ),
        timeout_s_max=settings.request_timeout_s_max,
        audit_ratio=settings.audit_ratio,
        pairs=settings.canary_pairing and settings.event_log,
    )
    bodies = Bodies(settings.bodies_bytes_max)
    gate = gate_of(settings, parts.registry.authenticate)
    return Shared(
        predictor,
        bodies,
        Documents(bodies, settings.max_body_bytes),
        Statistics(parts.registry),
        gate,
        undecodable,
        failures,
        TenantAnswers(parts.registry.routes, gate, parts.metrics),
    )


def _preparing(parts: Parts) -> Preparing:
    shape = parts.bundle.manifest.image
    if shape is None:
        assert parts.tokeniser is not None, "a backbone that reads texts has a tokeniser"
        return Tokenising(parts.tokeniser)
    assert parts.preprocessor is not None, "one that reads images has a preprocessor"
    settings = parts.settings
    limits = image_limits(settings)
    return ImageReading(parts.preprocessor, shape, limits, bytes_max=settings.images_bytes_max)


def _preparer(parts: Parts) -> HoldoutPreparer:
    if parts.preprocessor is None:
        assert parts.tokeniser is not None, "a backbone that reads texts has a tokeniser"
        return HoldoutTexts(parts.tokeniser)
    return HoldoutImages(parts.preprocessor, image_limits(parts.settings))


def _mount_asking(app: FastAPI, parts: Parts, shared: Shared) -> None:
    """Add the routes of those who ask, on every wire."""
    predictor, bodies, limit = shared.predictor, shared.bodies, parts.settings.max_body_bytes
    registry, bundle, lifecycle = parts.registry, parts.bundle, parts.lifecycle
    hidden_size = bundle.manifest.hidden_size
    native.Predict(predictor, bodies, limit).mount(app)
    oip.Infer(predictor, bodies, limit, shared.statistics).mount(app)
    images = predictor.takes_images
    catalogue = Catalogue(registry, lifecycle, hidden_size, images=images)
    oip_models.ModelStatistics(catalogue, shared.statistics).mount(app)
    oip_models.OipModels(lifecycle, shared.documents, catalogue).mount(app)
    tei.TeiPredict(predictor, bodies, limit).mount(app)
    tei.TeiEmbed(predictor, bodies, limit, hidden_size).mount(app)
    tei.TeiModels(registry, parts.batcher, lifecycle, bundle, parts.settings).mount(app)
    hf.HfClassify(predictor, bodies, limit).mount(app)
    vllm.Classify(predictor, bodies, limit, bundle.manifest.max_length).mount(app)
    vllm.VllmModels(registry, bundle).mount(app)
    feedback.Feedback(
        registry,
        parts.signing,
        parts.log,
        bodies,
        parts.metrics,
        Entrance(parts.limits, parts.metrics, parts.usage),
        max_body_bytes=limit,
        timeout_s_max=parts.settings.request_timeout_s_max,
    ).mount(app)


def _mount_running(app: FastAPI, parts: Parts, shared: Shared, operator_port: int | None) -> None:
    """Add the routes of ML teams and operators."""
    registry, documents = parts.registry, shared.documents
    references = LoggedReferences(
        parts.log, parts.batcher.status, registry.tenant_settings, parts.signing
    )
    changes = Changes()
    tenants.Tenants(registry, documents, changes).mount(app)
    keys.Keys(registry, documents, changes).mount(app)
    usage.UsageReport(registry, parts.usage).mount(app)
    adapters.Adapters(registry, changes).mount(app)
    Uploads(
        registry,
        parts.batcher,
        _preparer(parts),
        parts.bundle,
        shared.bodies,
        parts.metrics,
        parts.settings,
        on_reference=references.keep,
    ).mount(app)
    rollouts.Rollouts(registry, documents, changes).mount(app)
    mode = parts.settings.automatic_rollback
    comparison.ComparisonRoute(registry, parts.trials, mode).mount(app)
    audit.Audit(registry).mount(app)
    operations.Operations(parts.lifecycle, parts.metrics, parts.registry.routes).mount(app)
    StatusPage(
        registry.routes,
        parts.batcher,
        parts.bundle,
        parts.lifecycle,
        shared.answers,
        parts.settings,
        operator_port,
        parts.trials,
    ).mount(app)


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
