"""What the Open Inference Protocol tells of the server and its models."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.answers import json_response, version_number
from service.api.documents import Documents
from service.api.lifecycle import Lifecycle
from service.api.names import ModelName, VersionText
from service.api.oip import PLATFORM, TAG, model_parts
from service.api.openapi import refusals
from service.api.operations import RETRY_SOON
from service.api.version import VERSION
from service.errors import (
    NoLiveVersion,
    UnknownAdapter,
    UnknownTenant,
    UnknownVersion,
)
from service.registry.registry import Registry

_UNKNOWN = (UnknownTenant, UnknownAdapter, UnknownVersion)
_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"


class OipModels:
    """Health, metadata and the index of models."""

    def __init__(
        self, registry: Registry, lifecycle: Lifecycle, documents: Documents, hidden_size: int
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._documents = documents
        self._hidden_size = hidden_size

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        for path, endpoint, summary, example, raised in (
            ("/v2", self.server, "Tell of the server", _SERVER, ()),
            ("/v2/health/live", self.live, "Say that the server lives", {"live": True}, ()),
            ("/v2/health/ready", self.ready, "Say whether it is ready", {"ready": True}, ()),
            (_MODEL, self.model, "Tell of a model", _METADATA, _UNKNOWN),
            (_VERSION, self.model_version, "Tell of a version", _METADATA, _UNKNOWN),
            (_MODEL + "/ready", self.model_ready, "Say whether a model is ready", _READY, _UNKNOWN),
            (
                _VERSION + "/ready",
                self.version_ready,
                "Say whether a version is ready",
                _READY,
                _UNKNOWN,
            ),
        ):
            app.add_api_route(
                path,
                endpoint,
                methods=["GET"],
                tags=[TAG],
                summary=summary,
                responses={
                    200: {
                        "description": "Answered",
                        "content": {"application/json": {"example": example}},
                    },
                    **refusals(*raised, NoLiveVersion, oip=True),
                },
            )
        app.add_api_route(
            "/v2/repository/index",
            self.index,
            methods=["POST"],
            tags=[TAG],
            summary="List models",
            responses={
                200: {
                    "description": "Answered",
                    "content": {"application/json": {"example": [_INDEX_LINE]}},
                },
                **refusals(body=True, oip=True),
            },
        )

    async def server(self) -> Response:
        """Tell of the server."""
        return json_response(_SERVER)

    async def live(self) -> Response:
        """Answer 200 for as long as the process answers at all."""
        return json_response({"live": True})

    async def ready(self) -> Response:
        """Answer 200 when the backbone is warm."""
        return json_response({"ready": True}) if self._lifecycle.ready else _not_ready()

    async def model(self, model: ModelName) -> Response:
        """Tell of a model: its versions, inputs and outputs."""
        return json_response(await asyncio.to_thread(self._metadata, model, None))

    async def model_version(self, model: ModelName, version: VersionText) -> Response:
        """Tell of one version of a model."""
        number = version_number(version)
        return json_response(await asyncio.to_thread(self._metadata, model, number))

    async def model_ready(self, model: ModelName) -> Response:
        """Answer 200 where a version of the model is live."""
        return self._model_ready(model, None)

    async def version_ready(self, model: ModelName, version: VersionText) -> Response:
        """Answer 200 where the version can be asked."""
        return self._model_ready(model, version_number(version))

    async def index(self, request: Request) -> Response:
        """List every model and version; `{"ready": true}` leaves out what cannot answer."""
        asked = await self._documents.read_object(request, may_be_absent=True)
        ready = asked.get("ready") is True
        return json_response(await asyncio.to_thread(self._index, ready=ready))

    def _model_ready(self, model: str, version: int | None) -> Response:
        self._registry.route(*model_parts(model), version)
        if not self._lifecycle.ready:
            return _not_ready()
        return json_response({"name": model, "ready": True})

    def _metadata(self, model: str, version: int | None) -> dict[str, Any]:
        tenant, adapter = model_parts(model)
        versions = self._registry.versions(tenant, adapter)
        if version is not None:
            versions = [self._registry.version(tenant, adapter, version)]
        live = [found for found in versions if found.state == "live"]
        shown = (live or versions)[-1]
        return _metadata(
            model, [found.version for found in versions], shown.labels, self._hidden_size
        )

    def _index(self, *, ready: bool) -> list[dict[str, Any]]:
        lines = []
        for tenant in self._registry.tenants():
            for adapter in self._registry.adapters(tenant.name):
                if adapter.live is None and ready:
                    continue
                line = {"name": f"{tenant.name}.{adapter.adapter}"}
                if adapter.live is None:
                    line |= {"state": "UNAVAILABLE", "reason": "no version is live"}
                else:
                    line |= {"version": str(adapter.live), "state": "READY", "reason": ""}
                lines.append(line)
        return lines


def _not_ready() -> Response:
    return json_response({"error": "the server is warming up"}, 503, RETRY_SOON)


def _metadata(
    name: str, versions: list[int], labels: tuple[str, ...], hidden_size: int
) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": [
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
            {
                "name": "pair",
                "datatype": "BYTES",
                "shape": [-1],
                "parameters": {"optional": True},
            },
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [-1, len(labels)],
                "parameters": {"labels": list(labels)},
            },
            {"name": "id", "datatype": "BYTES", "shape": [-1]},
            {
                "name": "embedding",
                "datatype": "FP32",
                "shape": [-1, hidden_size],
                "parameters": {"optional": True},
            },
        ],
    }


_SERVER = {"name": "tenantry", "version": VERSION, "extensions": []}
_READY = {"name": "acme.support", "ready": True}
_METADATA = _metadata("acme.support", [1, 2, 3], ("refund", "delivery", "other"), 384)
_INDEX_LINE = {"name": "acme.support", "version": "3", "state": "READY", "reason": ""}
