"""Keys of tenants: made, listed, revoked. What a key may do, `permissions` says."""

import asyncio
import re
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.answers import json_response
from service.api.call import call_of
from service.api.changes import Changes
from service.api.documents import Documents
from service.api.names import KeyId, TenantName
from service.api.openapi import body_of, example_of, refusals
from service.api.schemas import KeyList, KeyRequest, MadeKeyDocument
from service.credentials.scopes import listed
from service.errors import StoreFull, UnknownKey, UnknownTenant
from service.registry.records import KeyRecord
from service.registry.registry import Registry

TAG = "Tenants"
_PATH = "/v1/tenants/{tenant}/keys"
_ID = re.compile("[0-9a-f]{16}")
# Nobody between here and the caller may keep a key.
_NOT_KEPT = ("cache-control", "no-store")


class Keys:
    """The routes of keys."""

    def __init__(self, registry: Registry, documents: Documents, changes: Changes) -> None:
        self._registry = registry
        self._changes = changes
        self._documents = documents

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.add_api_route(
            _PATH,
            self.index,
            methods=["GET"],
            tags=[TAG],
            summary="List a tenant's keys",
            responses={
                200: example_of(KeyList, {"keys": [_EXAMPLE]}),
                **refusals(UnknownTenant),
            },
        )
        app.add_api_route(
            _PATH,
            self.make,
            methods=["POST"],
            tags=[TAG],
            summary="Make a key",
            status_code=201,
            openapi_extra=body_of(KeyRequest, {"scopes": ["predict", "publish"]}),
            responses={
                201: example_of(MadeKeyDocument, {**_EXAMPLE, "key": _KEY_EXAMPLE}, "Made"),
                **refusals(UnknownTenant, StoreFull, body=True),
            },
        )
        app.add_api_route(
            _PATH + "/{key}",
            self.revoke,
            methods=["DELETE"],
            tags=[TAG],
            summary="Revoke a key",
            status_code=204,
            responses=refusals(UnknownTenant, UnknownKey, StoreFull),
        )

    async def index(self, tenant: TenantName) -> Response:
        """List a tenant's keys by their ids: who made them, when, and what they are good for.

        The keys themselves are not kept anywhere, and cannot be shown.
        """
        keys = await asyncio.to_thread(self._registry.keys, tenant)
        return json_response({"keys": [key_document(key) for key in keys]}, headers=[_NOT_KEPT])

    async def make(self, tenant: TenantName, request: Request) -> Response:
        """Make a key of a tenant, with one scope or several; the answer shows it this once.

        `predict`: predictions on every wire, and feedback. `publish`: uploads, versions,
        rollouts. `admin`: all that, and the tenant's keys, usage and audit trail.
        """
        asked = await self._documents.read(request, KeyRequest)
        actor = call_of(request.scope).actor
        record, key = await self._changes.make(
            self._registry.create_key, tenant, frozenset(asked.scopes), actor
        )
        headers = [_NOT_KEPT, ("location", f"/v1/tenants/{record.tenant}/keys/{record.id}")]
        return json_response({**key_document(record), "key": key}, 201, headers)

    async def revoke(self, tenant: TenantName, key: KeyId, request: Request) -> Response:
        """Revoke a key: it opens nothing from now on, on other processes within two seconds."""
        if not _ID.fullmatch(key):
            # Perhaps it is the key itself, which must not come back in an error.
            raise UnknownKey("a key is revoked by its id, the 16 digits in the middle of it")
        actor = call_of(request.scope).actor
        await self._changes.make(self._registry.revoke_key, tenant, key, actor)
        return Response(status_code=204)


def key_document(key: KeyRecord) -> dict[str, Any]:
    """Return a key as it is shown: without what opens."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "scopes": listed(key.scopes),
        "created_at": key.created_at,
        "actor": key.actor,
    }


_EXAMPLE = {
    "id": "5e0c1b7a94d2f386",
    "tenant": "acme",
    "scopes": ["predict", "publish"],
    "created_at": "2025-03-31T09:30:00.000000+00:00",
    "actor": "admin",
}
# Of the form of a key, and none.
_KEY_EXAMPLE = "tk_5e0c1b7a94d2f386_" + "x" * 43
