"""Tenants: made, changed, listed, deleted."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.answers import json_response
from service.api.call import call_of
from service.api.changes import Changes
from service.api.documents import Documents
from service.api.names import TenantName
from service.api.openapi import body_of, example_of, refusals
from service.api.schemas import TenantDocument, TenantList
from service.errors import Conflict, StoreFull, UnknownTenant
from service.registry.records import Tenant, TenantSettings
from service.registry.registry import Registry

TAG = "Tenants"
_PATH = "/v1/tenants/{tenant}"


class Tenants:
    """The routes of tenants."""

    def __init__(self, registry: Registry, documents: Documents, changes: Changes) -> None:
        self._registry = registry
        self._changes = changes
        self._documents = documents

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.add_api_route(
            "/v1/tenants",
            self.index,
            methods=["GET"],
            tags=[TAG],
            summary="List tenants",
            responses={200: example_of(TenantList, {"tenants": [_EXAMPLE]}), **refusals()},
        )
        app.add_api_route(
            _PATH,
            self.show,
            methods=["GET"],
            tags=[TAG],
            summary="Show a tenant",
            responses={200: example_of(TenantDocument, _EXAMPLE), **refusals(UnknownTenant)},
        )
        app.add_api_route(
            _PATH,
            self.put,
            methods=["PUT"],
            tags=[TAG],
            summary="Make or change a tenant",
            openapi_extra=body_of(TenantSettings, _SETTINGS_EXAMPLE),
            responses={
                200: example_of(TenantDocument, _EXAMPLE, "Changed"),
                201: example_of(TenantDocument, _EXAMPLE, "Made"),
                **refusals(StoreFull, body=True),
            },
        )
        app.add_api_route(
            _PATH,
            self.delete,
            methods=["DELETE"],
            tags=[TAG],
            summary="Delete a tenant",
            status_code=204,
            responses=refusals(UnknownTenant, Conflict, StoreFull),
        )

    async def index(self, request: Request) -> Response:
        """List every tenant that the caller sees: all of them, or the one whose key it has."""
        own = call_of(request.scope).admitted.tenant
        if own is None:
            seen = await asyncio.to_thread(self._registry.tenants)
        else:
            seen = [await asyncio.to_thread(self._registry.tenant, own)]
        return json_response({"tenants": [tenant_document(tenant) for tenant in seen]})

    async def show(self, tenant: TenantName) -> Response:
        """Show a tenant's settings."""
        return json_response(
            tenant_document(await asyncio.to_thread(self._registry.tenant, tenant))
        )

    async def put(self, tenant: TenantName, request: Request) -> Response:
        """Give a tenant its settings; what the document leaves out takes its default.

        `{}` makes a tenant with defaults alone.
        """
        settings = await self._documents.read(request, TenantSettings)
        actor = call_of(request.scope).actor
        found, created = await self._changes.make(
            self._registry.put_tenant, tenant, settings, actor
        )
        return json_response(tenant_document(found), 201 if created else 200)

    async def delete(self, tenant: TenantName, request: Request) -> Response:
        """Delete a tenant; 409 while one of its adapters is live."""
        actor = call_of(request.scope).actor
        await self._changes.make(self._registry.delete_tenant, tenant, actor)
        return Response(status_code=204)


def tenant_document(tenant: Tenant) -> dict[str, Any]:
    """Return a tenant as it is shown."""
    return {"name": tenant.name, **tenant.settings.document(), "created_at": tenant.created_at}


_SETTINGS_EXAMPLE = {"class": "standard", "weight": 2.0, "log": {"text": False, "sample": 0.5}}
_EXAMPLE = {
    "name": "acme",
    "class": "standard",
    "weight": 2.0,
    "rates": {"requests_per_s": None, "tokens_per_s": None, "concurrent_requests": None},
    "log": {"text": False, "embedding": True, "sample": 0.5},
    "created_at": "2025-03-31T09:30:00.000000+00:00",
}
