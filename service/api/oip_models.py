"""What the Open Inference Protocol tells of the server and its models, over HTTP."""

from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.answers import json_response, version_number
from service.api.call import call_of
from service.api.documents import Documents
from service.api.lifecycle import Lifecycle
from service.api.names import ModelName, VersionText
from service.api.oip import TAG
from service.api.oip_catalogue import SERVER, Catalogue, config_document, metadata_document
from service.api.oip_statistics import Counts, Statistics, statistics_line
from service.api.openapi import refusals
from service.api.operations import RETRY_SOON
from service.engine.errors import TenantryError
from service.errors import (
    NoLiveVersion,
    UnacceptableRequest,
    UnknownAdapter,
    UnknownTenant,
    UnknownVersion,
)

_UNKNOWN = (UnknownTenant, UnknownAdapter, UnknownVersion)
_UNANSWERED = (*_UNKNOWN, NoLiveVersion)
_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"


class OipModels:
    """Health, metadata, configuration and the index of models."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        documents: Documents,
        catalogue: Catalogue,
    ) -> None:
        self._catalogue = catalogue
        self._lifecycle = lifecycle
        self._documents = documents

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        for path, endpoint, summary, example, raised in (
            ("/v2", self.server, "Tell of the server", SERVER, ()),
            ("/v2/health/live", self.live, "Say that the server lives", {"live": True}, ()),
            ("/v2/health/ready", self.ready, "Say whether it is ready", {"ready": True}, ()),
            (_MODEL, self.model, "Tell of a model", _METADATA, _UNANSWERED),
            (_VERSION, self.model_version, "Tell of a version", _METADATA, _UNANSWERED),
            (
                _MODEL + "/ready",
                self.model_ready,
                "Say whether a model is ready",
                _READY,
                _UNANSWERED,
            ),
            (
                _VERSION + "/ready",
                self.version_ready,
                "Say whether a version is ready",
                _READY,
                _UNANSWERED,
            ),
            (_MODEL + "/config", self.config, "Show a model's configuration", _CONFIG, _UNANSWERED),
            (
                _VERSION + "/config",
                self.version_config,
                "Show a version's configuration",
                _CONFIG,
                _UNANSWERED,
            ),
        ):
            _mount(app, "GET", path, endpoint, summary, example, *raised)
        _mount(
            app, "POST", "/v2/repository/index", self.index, "List models", [_INDEX_LINE], body=True
        )
        for verb in ("load", "unload"):
            app.add_api_route(
                f"/v2/repository/models/{{model}}/{verb}",
                self.refuse,
                methods=["POST"],
                name=f"refuse_to_{verb}",
                tags=[TAG],
                summary=f"Refuse to {verb} a model",
                status_code=422,
                responses=refusals(UnacceptableRequest, *_UNKNOWN, oip=True),
            )

    async def server(self) -> Response:
        """Tell of the server."""
        return json_response(SERVER)

    async def live(self) -> Response:
        """Answer 200 for as long as the process answers at all."""
        return json_response({"live": True})

    async def ready(self) -> Response:
        """Answer 200 when the backbone is warm."""
        return json_response({"ready": True}) if self._lifecycle.ready else _not_ready()

    async def model(self, model: ModelName) -> Response:
        """Tell of a model: its versions, inputs and outputs."""
        return json_response(self._catalogue.metadata(model, None))

    async def model_version(self, model: ModelName, version: VersionText) -> Response:
        """Tell of one version of a model."""
        return json_response(self._catalogue.metadata(model, version_number(version)))

    async def model_ready(self, model: ModelName) -> Response:
        """Answer 200 where a version of the model is live."""
        return self._model_ready(model, None)

    async def version_ready(self, model: ModelName, version: VersionText) -> Response:
        """Answer 200 where the version can be asked."""
        return self._model_ready(model, version_number(version))

    async def config(self, model: ModelName) -> Response:
        """Show a model's inputs and outputs as Triton writes a configuration."""
        return json_response(self._catalogue.config(model, None))

    async def version_config(self, model: ModelName, version: VersionText) -> Response:
        """Show a version's inputs and outputs as Triton writes a configuration."""
        return json_response(self._catalogue.config(model, version_number(version)))

    async def index(self, request: Request) -> Response:
        """List the models that the caller sees, a line for each version that is live or canary.

        An adapter without such a version has one line that says so; `{"ready": true}` leaves it
        out. The model's own metadata lists all versions that can be asked.
        """
        call = call_of(request.scope)
        assert call.caller is not None, "the edge admits a caller before any route runs"
        # Triton's asynchronous client calls its empty body plain text.
        call.headers.pop(b"content-type", None)
        asked = await self._documents.read_object(request, may_be_absent=True)
        ready = asked.get("ready") is True
        return json_response(self._catalogue.index(call.caller, ready=ready))

    async def refuse(self, model: ModelName) -> Response:
        """Say how models come and go here, in place of what Triton has."""
        del model
        raise UnacceptableRequest(
            "models come in by upload and answer by rollout; they are not loaded or unloaded here"
        )

    def _model_ready(self, model: str, version: int | None) -> Response:
        if not self._catalogue.ready(model, version):
            return _not_ready()
        return json_response({"name": model, "ready": True})


class ModelStatistics:
    """The statistics extension: what each version answered, over this protocol, in this process.

    To be mounted before `OipModels`, whose routes would take `stats` for a model.
    """

    def __init__(self, catalogue: Catalogue, statistics: Statistics) -> None:
        self._catalogue = catalogue
        self._statistics = statistics

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        for path, endpoint, summary, raised in (
            ("/v2/models/stats", self.every, "Show the statistics of all models", ()),
            (_MODEL + "/stats", self.model, "Show a model's statistics", _UNKNOWN),
            (_VERSION + "/stats", self.version, "Show a version's statistics", _UNKNOWN),
        ):
            _mount(app, "GET", path, endpoint, summary, _STATISTICS, *raised)

    async def every(self, request: Request) -> Response:
        """Show how often each version that the caller sees was asked, if it was."""
        caller = call_of(request.scope).caller
        assert caller is not None, "the edge admits a caller before any route runs"
        lines = self._statistics.lines(caller)
        return json_response({"model_stats": lines})

    async def model(self, model: ModelName) -> Response:
        """Show how often each version of a model was asked, over this protocol."""
        return self._of(model, None)

    async def version(self, model: ModelName, version: VersionText) -> Response:
        """Show how often a version was asked, over this protocol."""
        return self._of(model, version_number(version))

    def _of(self, model: str, version: int | None) -> Response:
        lines = self._statistics.lines_of(self._catalogue.versions(model, version))
        return json_response({"model_stats": lines})


def _mount(
    app: FastAPI,
    method: str,
    path: str,
    endpoint: Any,  # as the framework takes it
    summary: str,
    example: object,
    *raised: type[TenantryError],
    body: bool = False,
) -> None:
    app.add_api_route(
        path,
        endpoint,
        methods=[method],
        tags=[TAG],
        summary=summary,
        responses={
            200: {
                "description": "Answered",
                "content": {"application/json": {"example": example}},
            },
            **refusals(*raised, body=body, oip=True),
        },
    )


def _not_ready() -> Response:
    return json_response({"error": "the server is warming up"}, 503, RETRY_SOON)


_READY = {"name": "acme.support", "ready": True}
_LABELS = ("refund", "delivery", "other")
_METADATA = metadata_document("acme.support", [1, 2, 3], _LABELS, 384)
_CONFIG = config_document("acme.support", _LABELS, 384)
_INDEX_LINE = {"name": "acme.support", "version": "3", "state": "READY", "reason": ""}
_STATISTICS = {
    "model_stats": [
        statistics_line(
            ("acme", "support", 3), Counts(1_764_600_000_000, 20, 10, 0.09, 1, 0.002, 0.02, 0.06)
        )
    ]
}
