"""Adapters and their versions: listed, shown, deleted. How they come in, `uploads` knows."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.answers import json_response, version_number
from service.api.call import call_of
from service.api.changes import Changes
from service.api.names import AdapterName, TenantName, VersionText
from service.api.openapi import example_of, refusals
from service.api.report_example import REPORT_EXAMPLE
from service.api.schemas import (
    EXAMPLE_BACKBONE,
    EXAMPLE_DIGEST,
    AdapterDocument,
    AdapterList,
    VersionDocument,
    VersionList,
)
from service.errors import (
    AdapterUnreadable,
    Conflict,
    StoreFull,
    UnknownAdapter,
    UnknownTenant,
    UnknownVersion,
)
from service.gate.card import card_of
from service.gate.report import Report
from service.registry.records import AdapterSummary, Version
from service.registry.registry import Registry
from service.uploads.archive import CARD_FILE

TAG = "Adapters"
ADAPTERS_PATH = "/v1/tenants/{tenant}/adapters"
ADAPTER_PATH = ADAPTERS_PATH + "/{adapter}"
VERSIONS_PATH = ADAPTER_PATH + "/versions"
VERSION_PATH = VERSIONS_PATH + "/{version}"


class Markdown(Response):
    """Markdown, which no browser is to take for anything else."""

    media_type = "text/markdown"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Add what keeps a browser from guessing another type, and from running any of it."""
        super().init_headers(
            {
                **(headers or {}),
                "x-content-type-options": "nosniff",
                "content-security-policy": "sandbox",
            }
        )


class Adapters:
    """The routes of adapters and versions, apart from the upload."""

    def __init__(self, registry: Registry, changes: Changes) -> None:
        self._registry = registry
        self._changes = changes

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
                    200: example_of(
                        Report, VERSION_EXAMPLE["report"], "What the upload was found to be"
                    ),
                    **refusals(*unknown, UnknownVersion),
                },
            ),
        }
        for path, (endpoint, summary, responses) in shown.items():
            app.add_api_route(
                path, endpoint, methods=["GET"], tags=[TAG], summary=summary, responses=responses
            )
        self._mount_card(app)
        app.add_api_route(
            ADAPTER_PATH,
            self.delete_adapter,
            methods=["DELETE"],
            tags=[TAG],
            summary="Delete an adapter",
            status_code=204,
            responses=refusals(*unknown, Conflict, StoreFull),
        )
        app.add_api_route(
            VERSION_PATH,
            self.delete_version,
            methods=["DELETE"],
            tags=[TAG],
            summary="Delete a version",
            status_code=204,
            responses=refusals(*unknown, UnknownVersion, Conflict, StoreFull),
        )

    def _mount_card(self, app: FastAPI) -> None:
        app.add_api_route(
            VERSION_PATH + "/card",
            self.card,
            methods=["GET"],
            tags=[TAG],
            summary="Show a version's model card",
            response_class=Markdown,
            responses={
                200: {
                    "description": "The card",
                    "content": {"text/markdown": {"example": _CARD}},
                },
                **refusals(UnknownTenant, UnknownAdapter, UnknownVersion, AdapterUnreadable),
            },
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
        """List an adapter's versions, oldest first; the `card` of their metadata is left out."""
        versions = await asyncio.to_thread(self._registry.versions, tenant, adapter)
        return json_response({"versions": [_listed(version) for version in versions]})

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

    async def card(
        self, tenant: TenantName, adapter: AdapterName, version: VersionText
    ) -> Response:
        """Show a version's model card: Markdown, made from its metadata and its report.

        The card that the upload brought stands below, as it came, in a fence.
        """
        found = await self._version(tenant, adapter, version)
        card = await asyncio.to_thread(self._card, found)
        return Markdown(card)

    def _card(self, version: Version) -> str:
        own: str | None = version.metadata.get("card")
        if own is None:
            data = self._registry.extra_file(version, CARD_FILE)
            own = None if data is None else data.decode("utf-8", "replace")
        return card_of(version, own)

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
        await self._changes.make(self._registry.delete_version, tenant, adapter, number, actor)
        return Response(status_code=204)

    async def delete_adapter(
        self, tenant: TenantName, adapter: AdapterName, request: Request
    ) -> Response:
        """Delete an adapter with all its versions; 409 while one is in the rollout."""
        actor = call_of(request.scope).actor
        await self._changes.make(self._registry.delete_adapter, tenant, adapter, actor)
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


def _listed(version: Version) -> dict[str, Any]:
    """Return a version as lists show it: a thousand cards would be a hundred megabytes."""
    document = version_document(version)
    document["metadata"] |= {"card": None}
    return document


_LINE = {
    "tenant": "acme",
    "adapter": "support",
    "versions": 3,
    "latest": 3,
    "live": 3,
    "canary": {"version": 4, "percent": 10.0},
    "shadows": [5],
    "created_at": "2025-03-31T09:30:00.000000+00:00",
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
    "report": REPORT_EXAMPLE,
    "bytes": 299_544,
    "created_at": "2025-03-31T09:31:07.512000+00:00",
}
_CARD = """# acme.support, version 3

validated: accuracy 0.946 on 500 rows of the hold-out

| figure | value |
| --- | --- |
| accuracy | 0.946 (0.9226 to 0.9626) |
"""
