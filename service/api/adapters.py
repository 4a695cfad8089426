"""Adapters and their versions: listed, shown, deleted. How they come in, `uploads` knows."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.answers import json_response, version_number
from service.api.call import call_of
from service.api.names import AdapterName, TenantName, VersionText
from service.api.openapi import example_of, refusals
from service.api.schemas import (
    EXAMPLE_BACKBONE,
    EXAMPLE_DIGEST,
    AdapterDocument,
    AdapterList,
    VersionDocument,
    VersionList,
)
from service.errors import Conflict, UnknownAdapter, UnknownTenant, UnknownVersion
from service.registry.records import AdapterSummary, Version
from service.registry.registry import Registry

TAG = "Adapters"
ADAPTERS_PATH = "/v1/tenants/{tenant}/adapters"
ADAPTER_PATH = ADAPTERS_PATH + "/{adapter}"
VERSIONS_PATH = ADAPTER_PATH + "/versions"
VERSION_PATH = VERSIONS_PATH + "/{version}"


class Adapters:
    """The routes of adapters and versions, apart from the upload."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        unknown = (UnknownTenant, UnknownAdapter)
        shown: dict[str, tuple[Any, str, Any]] = {
            ADAPTERS_PATH: (
                self.index,
                "List a tenant's adapters",
                {200: example_of(AdapterList, {"adapters": [_LINE]}), **refusals(UnknownTenant)},
            ),
            ADAPTER_PATH: (
                self.show,
                "Show an adapter",
                {
                    200: example_of(AdapterDocument, {**_LINE, "revision": 5}),
                    **refusals(*unknown),
                },
            ),
            VERSIONS_PATH: (
                self.versions,
                "List an adapter's versions",
                {
                    200: example_of(VersionList, {"versions": [VERSION_EXAMPLE]}),
                    **refusals(*unknown),
                },
            ),
            VERSION_PATH: (
                self.version,
                "Show a version",
                {
                    200: example_of(VersionDocument, VERSION_EXAMPLE),
                    **refusals(*unknown, UnknownVersion),
                },
            ),
            VERSION_PATH + "/report": (
                self.report,
                "Show a version's report",
                {
                    200: {
                        "description": "What the upload was found to be",
                        "content": {"application/json": {"example": VERSION_EXAMPLE["report"]}},
                    },
                    **refusals(*unknown, UnknownVersion),
                },
            ),
        }
        for path, (endpoint, summary, responses) in shown.items():
            app.add_api_route(
                path, endpoint, methods=["GET"], tags=[TAG], summary=summary, responses=responses
            )
        app.add_api_route(
            ADAPTER_PATH,
            self.delete_adapter,
            methods=["DELETE"],
            tags=[TAG],
            summary="Delete an adapter",
            status_code=204,
            responses=refusals(*unknown, Conflict),
        )
        app.add_api_route(
            VERSION_PATH,
            self.delete_version,
            methods=["DELETE"],
            tags=[TAG],
            summary="Delete a version",
            status_code=204,
            responses=refusals(*unknown, UnknownVersion, Conflict),
        )

    async def index(self, tenant: TenantName) -> Response:
        """List a tenant's adapters, each with the version that is live."""
        adapters = await asyncio.to_thread(self._registry.adapters, tenant)
        return json_response({"adapters": [adapter_line(adapter) for adapter in adapters]})

    async def show(self, tenant: TenantName, adapter: AdapterName) -> Response:
        """Show an adapter: how many versions it has, and which is live since which revision."""
        return json_response(await asyncio.to_thread(self._adapter, tenant, adapter))

    def _adapter(self, tenant: str, adapter: str) -> dict[str, Any]:
        rollout = self._registry.rollout(tenant, adapter)
        for summary in self._registry.adapters(tenant):
            if summary.adapter == adapter:
                return {**adapter_line(summary), "revision": rollout.revision}
        raise UnknownAdapter(f"the tenant {tenant} has no adapter {adapter}")

    async def versions(self, tenant: TenantName, adapter: AdapterName) -> Response:
        """List an adapter's versions, oldest first."""
        versions = await asyncio.to_thread(self._registry.versions, tenant, adapter)
        return json_response({"versions": [version_document(version) for version in versions]})

    async def version(
        self, tenant: TenantName, adapter: AdapterName, version: VersionText
    ) -> Response:
        """Show a version, as its upload was answered; only `state` may have changed."""
        return json_response(version_document(await self._version(tenant, adapter, version)))

    async def report(
        self, tenant: TenantName, adapter: AdapterName, version: VersionText
    ) -> Response:
        """Show what an upload was found to be."""
        found = await self._version(tenant, adapter, version)
        return json_response(dict(found.report))

    async def _version(self, tenant: str, adapter: str, version: str) -> Version:
        return await asyncio.to_thread(
            self._registry.version, tenant, adapter, version_number(version)
        )

    async def delete_version(
        self, tenant: TenantName, adapter: AdapterName, version: VersionText, request: Request
    ) -> Response:
        """Delete a version; 409 while it is in the rollout.

        Its number is never used again, and its digest and labels are kept, so that predictions
        that it made can still be labelled.
        """
        actor = call_of(request.scope).actor
        number = version_number(version)
        await asyncio.to_thread(self._registry.delete_version, tenant, adapter, number, actor)
        return Response(status_code=204)

    async def delete_adapter(
        self, tenant: TenantName, adapter: AdapterName, request: Request
    ) -> Response:
        """Delete an adapter with all its versions; 409 while one is in the rollout."""
        actor = call_of(request.scope).actor
        await asyncio.to_thread(self._registry.delete_adapter, tenant, adapter, actor)
        return Response(status_code=204)


def adapter_line(summary: AdapterSummary) -> dict[str, Any]:
    """Return an adapter as lists show it."""
    return asdict(summary)


def version_document(version: Version) -> dict[str, Any]:
    """Return a version as it is shown."""
    return {
        "tenant": version.tenant,
        "adapter": version.adapter,
        "version": version.version,
        "digest": version.digest,
        "backbone": version.backbone,
        "state": version.state,
        "labels": list(version.labels),
        "metadata": dict(version.metadata),
        "report": dict(version.report),
        "bytes": version.bytes,
        "created_at": version.created_at,
    }


_LINE = {
    "tenant": "acme",
    "adapter": "support",
    "versions": 3,
    "latest": 3,
    "live": 3,
    "created_at": "2025-03-31T09:30:00.000Z",
}
VERSION_EXAMPLE: dict[str, Any] = {
    "tenant": "acme",
    "adapter": "support",
    "version": 3,
    "digest": EXAMPLE_DIGEST,
    "backbone": EXAMPLE_BACKBONE,
    "state": "validated",
    "labels": ["refund", "delivery", "other"],
    "metadata": {
        "labels": ["refund", "delivery", "other"],
        "problem_type": "single_label",
        "license": "CC-BY-4.0",
        "owner": "support-ml@acme.example",
    },
    "report": {
        "rank": 8,
        "adapter_bytes": 299_544,
        "verified_backbone": True,
        "holdout_rows": 0,
        "ignored": ["README.md"],
        "probe": {"texts": 4, "passed": True},
    },
    "bytes": 299_544,
    "created_at": "2025-03-31T09:31:07.512Z",
}
