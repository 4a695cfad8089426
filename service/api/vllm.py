"""The wire of vLLM: classification, and the list of models.

https://docs.vllm.ai, "OpenAI-Compatible Server". The model is named in the body, as
`{tenant}.{adapter}`; the backbone is listed and cannot be asked by itself. Errors have that
server's statuses and body: see `error_bodies`.
"""

import asyncio
import os
import time
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from service.api.answers import json_response, send_json
from service.api.asking import JsonReader, Shown, Template, mount_asking
from service.api.bodies import Bodies
from service.api.call import call_of
from service.api.callers import Caller
from service.api.foreign_refusals import ASKED, foreign_refusals
from service.api.foreign_requests import ClassifyRequest
from service.api.foreign_schemas import ClassifyAnswer, ModelCards, VllmError
from service.api.names import model_parts
from service.api.openapi import example_of
from service.api.prediction import Predicted, Predictor
from service.api.provenance import SHOWN, provenance
from service.api.schemas import EXAMPLE_BACKBONE, EXAMPLE_DIGEST
from service.engine.bundle import Bundle
from service.errors import (
    MalformedRequest,
    TenantLimited,
    UnacceptableRequest,
    UnknownTenant,
    UnknownVersion,
)
from service.registry.records import AdapterSummary
from service.registry.registry import Registry

TAG = "vLLM"
_CLASSIFY = "/classify"
_MODELS = "/v1/models"


class Classify:
    """`POST /classify`."""

    def __init__(
        self, predictor: Predictor, bodies: Bodies, max_body_bytes: int, max_length: int
    ) -> None:
        self._predictor = predictor
        self._reader = JsonReader(ClassifyRequest, bodies, max_body_bytes)
        self._max_length = max_length

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        shown = Shown(
            TAG,
            "Answers for each text the best label and all probabilities, in the order of the"
            " version's labels. A text that is too long is refused, unless"
            " `truncate_prompt_tokens` is -1.",
            ClassifyRequest,
            _EXAMPLES,
            ClassifyAnswer,
            _ANSWER,
            foreign_refusals(_CLASSIFY, VllmError, *ASKED),
            SHOWN,
        )
        mount_asking(app, self, shown, Template(_CLASSIFY, "classify", "Classify as vLLM does"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        request = await self._reader.read(call, receive)
        model = (*model_parts(request.model), None)
        if request.input == "":
            raise MalformedRequest("$.input: a text to classify cannot be empty")
        predicted = await self._predictor.predict(
            call,
            receive,
            model,
            [request.input] if isinstance(request.input, str) else request.input,
            routing_key=request.user or None,
            may_truncate=self._may_truncate(request),
        )
        await send_json(send, _document(request.model, predicted), provenance(predicted))

    def _may_truncate(self, request: ClassifyRequest) -> bool:
        """Return whether a text may be cut; raise `UnacceptableRequest` for options not had."""
        if False in (request.activation, request.softmax, request.use_activation):
            raise UnacceptableRequest("probabilities are always a softmax; it cannot be off")
        given = request.truncate_prompt_tokens
        if given not in (None, -1, self._max_length):
            raise UnacceptableRequest(
                f"$.truncate_prompt_tokens: a text is cut to {self._max_length} tokens, which -1"
                f" asks for, and not to {given}"
            )
        return given is not None


class VllmModels:
    """`GET /v1/models`."""

    def __init__(self, registry: Registry, bundle: Bundle) -> None:
        self._registry = registry
        self._bundle = bundle

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route(
            _MODELS,
            self.index,
            methods=["GET"],
            tags=[TAG],
            summary="List models as vLLM does",
            responses={
                200: example_of(ModelCards, {"object": "list", "data": _CARDS}),
                **foreign_refusals(_MODELS, VllmError, TenantLimited),
            },
        )

    async def index(self, request: Request) -> Response:
        """List the backbone, and every adapter with a live version that the caller may see."""
        caller = call_of(request.scope).caller
        assert caller is not None, "the edge admits a caller before any route runs"
        cards = await asyncio.to_thread(self._cards, caller)
        return json_response({"object": "list", "data": cards})

    def _cards(self, caller: Caller) -> list[dict[str, Any]]:
        manifest = self._bundle.manifest
        backbone = manifest.source.name
        cards = [
            _card(
                backbone,
                manifest.exported_at,
                "tenantry",
                root=self._bundle.digest,
                parent=None,
                max_model_len=manifest.max_length,
            )
        ]
        own = caller.tenant
        seen = [tenant.name for tenant in self._registry.tenants()] if own is None else [own]
        for tenant in seen:
            for adapter in self._adapters(tenant):
                digest = self._live_digest(adapter)
                if digest is not None:
                    card = _card(
                        f"{adapter.tenant}.{adapter.adapter}",
                        adapter.created_at,
                        adapter.tenant,
                        root=digest,
                        parent=backbone,
                        max_model_len=manifest.max_length,
                    )
                    cards.append(card)
        return cards

    def _adapters(self, tenant: str) -> list[AdapterSummary]:
        try:
            return self._registry.adapters(tenant)
        except UnknownTenant:  # deleted since it was listed
            return []

    def _live_digest(self, adapter: AdapterSummary) -> str | None:
        """Return what answers for an adapter; None where nothing does."""
        if adapter.live is None:
            return None
        try:
            return self._registry.route(adapter.tenant, adapter.adapter, adapter.live).digest
        except UnknownVersion:  # judged against another bundle
            return None


def _document(model: str, predicted: Predicted) -> dict[str, Any]:
    answer = predicted.answer
    return {
        "id": f"classify-{os.urandom(16).hex()}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": [
            {
                "index": row,
                "label": answer.labels[top],
                "probs": answer.probabilities[row],
                "num_classes": len(answer.labels),
            }
            for row, top in enumerate(predicted.tops)
        ],
        "usage": {
            "prompt_tokens": predicted.tokens,
            "total_tokens": predicted.tokens,
            "completion_tokens": 0,
        },
    }


def _card(
    name: str, created_at: str, owner: str, *, root: str, parent: str | None, max_model_len: int
) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(datetime.fromisoformat(created_at).timestamp()),
        "owned_by": owner,
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len,
        "permission": [],
    }


_EXAMPLES = {
    "texts": {
        "summary": "Texts",
        "value": {
            "model": "acme.support",
            "input": ["I want my money back.", "Where is my parcel?"],
        },
    }
}
_ANSWER = {
    "id": "classify-8c1f0a52e4b7d9630f5a21bc7d90e1f4",
    "object": "list",
    "created": 1743413467,
    "model": "acme.support",
    "data": [{"index": 0, "label": "refund", "probs": [0.93, 0.05, 0.02], "num_classes": 3}],
    "usage": {"prompt_tokens": 8, "total_tokens": 8, "completion_tokens": 0},
}
_CARDS = [
    {
        "id": "sentence-transformers/all-MiniLM-L6-v2",
        "object": "model",
        "created": 1743410000,
        "owned_by": "tenantry",
        "root": EXAMPLE_BACKBONE,
        "parent": None,
        "max_model_len": 512,
        "permission": [],
    },
    {
        "id": "acme.support",
        "object": "model",
        "created": 1743413400,
        "owned_by": "acme",
        "root": EXAMPLE_DIGEST,
        "parent": "sentence-transformers/all-MiniLM-L6-v2",
        "max_model_len": 512,
        "permission": [],
    },
]
