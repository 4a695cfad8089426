"""Rollouts: which versions of an adapter answer; changed by one writer at a time."""

import asyncio
import re
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.adapters import ADAPTER_PATH
from service.api.answers import json_response
from service.api.call import Call, call_of
from service.api.changes import Changes
from service.api.documents import Documents
from service.api.names import AdapterName, TenantName
from service.api.openapi import IF_MATCH, body_of, example_of, refusals
from service.api.schemas import RolloutDocument, RolloutRequest
from service.errors import (
    Conflict,
    RevisionMismatch,
    StoreFull,
    UnknownAdapter,
    UnknownTenant,
)
from service.registry.records import Rollout
from service.registry.registry import Registry

TAG = "Rollout"
_PATH = ADAPTER_PATH + "/rollout"
_ETAG = re.compile(rb'"([0-9]{1,15})"')


class Rollouts:
    """The routes of rollouts."""

    def __init__(self, registry: Registry, documents: Documents, changes: Changes) -> None:
        self._registry = registry
        self._changes = changes
        self._documents = documents

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        unknown = (UnknownTenant, UnknownAdapter)
        answered = example_of(RolloutDocument, _EXAMPLE)
        answered["headers"] = {
            "ETag": {"description": 'the revision, as `"5"`', "schema": {"type": "string"}}
        }
        app.add_api_route(
            _PATH,
            self.show,
            methods=["GET"],
            tags=[TAG],
            summary="Show which versions answer",
            responses={200: answered, **refusals(*unknown)},
        )
        app.add_api_route(
            _PATH,
            self.put,
            methods=["PUT"],
            tags=[TAG],
            summary="Say which versions answer",
            openapi_extra={**body_of(RolloutRequest, _DOCUMENT), "parameters": [IF_MATCH]},
            responses={
                200: answered,
                **refusals(*unknown, RevisionMismatch, StoreFull, body=True),
            },
        )
        app.add_api_route(
            ADAPTER_PATH + "/rollback",
            self.rollback,
            methods=["POST"],
            tags=[TAG],
            summary="Return to the previous rollout",
            openapi_extra={"parameters": [IF_MATCH]},
            responses={200: answered, **refusals(*unknown, Conflict, RevisionMismatch, StoreFull)},
        )

    async def show(self, tenant: TenantName, adapter: AdapterName) -> Response:
        """Show which versions answer, and the revision that says so."""
        return _answer(await asyncio.to_thread(self._registry.rollout, tenant, adapter))

    async def put(self, tenant: TenantName, adapter: AdapterName, request: Request) -> Response:
        """Say which versions answer; all later requests see it at one moment.

        `live` answers; `canary` answers its share instead, always the same routing keys; each of
        `shadow` answers too, for the log alone. The document is put whole: a canary that it does
        not name is over. A version that the upload gate rejected needs `force` with a reason,
        and that the scope `admin`. With `If-Match: "<revision>"` the change is made only where
        nobody was faster: else 412.
        """
        document = await self._documents.read_object(request)
        call = call_of(request.scope)
        set_rollout = partial(
            self._registry.set_rollout,
            tenant,
            adapter,
            document,
            if_match(call),
            call.actor,
            may_force=call.admitted.holds("admin"),
        )
        return _answer(await self._changes.make(set_rollout))

    async def rollback(
        self, tenant: TenantName, adapter: AdapterName, request: Request
    ) -> Response:
        """Return to the whole rollout before this one, as a new revision; 409 where none was."""
        call = call_of(request.scope)
        rollout = await self._changes.make(
            self._registry.rollback, tenant, adapter, if_match(call), call.actor
        )
        return _answer(rollout)


def if_match(call: Call) -> int | None:
    """Return the revision that a change is bound to; None where it is bound to none.

    `*` binds to none: an adapter always has a rollout. Raises `RevisionMismatch` for a tag that
    no revision has.
    """
    given = call.headers.get(b"if-match")
    if given is None or given.strip() == b"*":
        return None
    match = _ETAG.fullmatch(given.strip())
    if match is None:
        raise RevisionMismatch('If-Match must be one revision as the ETag gave it: "5"')
    return int(match[1])


def _answer(rollout: Rollout) -> Response:
    document: dict[str, Any] = {
        **rollout.document(),
        "revision": rollout.revision,
        "previous": rollout.previous,
        "actor": rollout.actor,
        "created_at": rollout.created_at,
    }
    return json_response(document, headers=[("etag", f'"{rollout.revision}"')])


_DOCUMENT = {"live": 3, "canary": {"version": 4, "percent": 10.0}, "shadow": [5]}
_EXAMPLE = {
    **_DOCUMENT,
    "revision": 5,
    "previous": 4,
    "actor": "admin",
    "created_at": "2025-03-31T09:32:11.040000+00:00",
}
