"""`/`: what runs here, for people."""

import asyncio
from collections.abc import Iterator

from fastapi import FastAPI, Response

from service.api.html import code, escaped, page, table
from service.api.lifecycle import Lifecycle
from service.api.ports import Batcher
from service.api.version import VERSION
from service.engine.bundle import Bundle
from service.registry.records import AdapterSummary
from service.registry.registry import Registry

_TENANTS_SHOWN = 200


class StatusPage:
    """The page of the root."""

    def __init__(
        self, registry: Registry, batcher: Batcher, bundle: Bundle, lifecycle: Lifecycle
    ) -> None:
        self._registry = registry
        self._batcher = batcher
        self._bundle = bundle
        self._lifecycle = lifecycle

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route("/", self.show, methods=["GET"], include_in_schema=False)

    async def show(self) -> Response:
        """Show what runs here."""
        parts = await asyncio.to_thread(lambda: list(self._parts()))
        return page("Tenantry", parts)

    def _parts(self) -> Iterator[str]:
        yield f'<p class="quiet">Version {escaped(VERSION)}. <a href="/docs">Routes</a>,'
        yield '<a href="/metrics">metrics</a>.</p>'
        yield "<h2>Backbone</h2>"
        yield table(("what", "which"), self._backbone())
        yield "<h2>Now</h2>"
        yield table(("what", "how many"), self._load())
        tenants = self._registry.tenants()
        yield f"<h2>Tenants ({len(tenants)})</h2>"
        if not tenants:
            yield f"<p>None yet: {code('PUT /v1/tenants/acme')} makes one.</p>"
            return
        shown = tenants[:_TENANTS_SHOWN]
        rows = []
        for tenant in shown:
            adapters = self._registry.adapters(tenant.name)
            rows.append((code(tenant.name), "<br>".join(map(_adapter, adapters)) or "none"))
        yield table(("tenant", "adapters"), rows)
        if len(tenants) > len(shown):
            yield f"<p>and {len(tenants) - len(shown)} more: {code('GET /v1/tenants')}</p>"

    def _backbone(self) -> Iterator[tuple[str, str]]:
        manifest, status = self._bundle.manifest, self._batcher.status()
        yield "model", f"{code(manifest.source.name)} ({escaped(manifest.family)})"
        yield "digest", code(self._bundle.digest)
        yield "tokens of a text, at most", escaped(manifest.max_length)
        yield "rank of an adapter, at most", escaped(manifest.max_rank)
        yield "targets of LoRA", escaped(len(manifest.targets))
        if self._lifecycle.warm:
            yield "provider", f"{code(status.provider)} {escaped(status.reason)}"
            yield "precision", code(status.precision)
        else:
            yield "provider", "warming up"

    def _load(self) -> Iterator[tuple[str, str]]:
        status = self._batcher.status()
        yield "state", "draining" if self._lifecycle.draining else "serving"
        yield "slots with an adapter", f"{status.slots_used} of {status.slots}"
        yield "texts that wait", escaped(status.queue_texts)
        yield "texts that run", escaped(status.running_texts)
        for digest in status.quarantined:
            yield "quarantined", code(digest)


def _adapter(adapter: AdapterSummary) -> str:
    told = ["no version is live" if adapter.live is None else f"version {adapter.live} is live"]
    if adapter.canary is not None:
        told.append(f"{adapter.canary.version} is the canary at {adapter.canary.percent:g} %")
    if adapter.shadows:
        told.append(f"in the shadow: {' '.join(map(str, adapter.shadows))}")
    return f"{code(adapter.adapter)} {', '.join([*told, f'{adapter.versions} kept'])}"
