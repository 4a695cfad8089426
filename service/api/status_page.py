"""`/`: what runs here, for people; the first thing that somebody new opens.

All of it is of this process and from its memory: it shows as much when the disk is full. What it
shows is bounded, so that a page of ten thousand tenants is no larger than one of fifty.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

from fastapi import FastAPI, Request, Response

from service.api.estate import Estate, ShownAdapter, ShownTenant, survey
from service.api.first_steps import address_of, first_steps
from service.api.html import badge, code, escaped, link, page, table, tile, tiles
from service.api.image_reading import waiting_max
from service.api.lately import SECONDS, Minute
from service.api.lifecycle import Lifecycle
from service.api.ports import Batcher
from service.api.tenant_answers import TenantAnswers
from service.api.version import VERSION
from service.batching.answers import BatcherStatus
from service.engine.bundle import Bundle
from service.registry.routes import Routes
from service.settings import Settings

REFRESH_S = 10


class StatusPage:
    """The page of the root."""

    def __init__(
        self,
        routes: Callable[[], Routes],
        batcher: Batcher,
        bundle: Bundle,
        lifecycle: Lifecycle,
        answers: TenantAnswers,
        settings: Settings,
        operator_port: int | None,
    ) -> None:
        self._routes = routes
        self._batcher = batcher
        self._bundle = bundle
        self._lifecycle = lifecycle
        self._answers = answers
        self._settings = settings
        self._operator_port = operator_port
        self._queue_texts_max = waiting_max(settings, bundle.manifest.image)
        self._begun_s = time.monotonic()

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route("/", self.show, methods=["GET"], include_in_schema=False)

    async def show(self, request: Request) -> Response:
        """Show what runs here; again every few seconds, unless asked for `?refresh=off`."""
        apart = request.scope["server"][1] == self._operator_port  # where no other route is
        address = address_of(request.scope, self._settings.port or None if apart else None)
        still = request.query_params.get("refresh") == "off"
        return await asyncio.to_thread(self.page, address, apart=apart, still=still)

    def page(self, address: str, *, apart: bool = False, still: bool = False) -> Response:
        """Return the page, for somebody who reaches the service at that address.

        `apart`: from a port that has no other routes; `still`: it is not loaded again by itself.
        """
        status, minute = self._batcher.status(), self._answers.minute()
        estate = survey(self._routes(), status.quarantined, minute.by_tenant)
        empty = not estate.adapters_count  # whoever copies the first steps wants them to stay
        parts = [
            *self._head(),
            *self._lead(status, estate),
            *_troubles(estate),
            *(self._beginning(address) if empty else ()),
            *_traffic(minute, self._inputs),
            *self._load(status),
            *(self._tenants(estate, minute) if estate.tenants_count else ()),
            *_canaries(estate, linked=not apart and not self._settings.keyed),
            *self._backbone(status),
            *_foot(refreshes=not empty, still=still),
        ]
        return page("Tenantry", parts, refresh_s=None if empty or still else REFRESH_S)

    def _head(self) -> Iterator[str]:
        yield "<header>\n<h1>Tenantry</h1>"
        if self._lifecycle.draining:
            yield badge("draining", "warn")
        elif self._lifecycle.warm:
            yield badge("serving", "good")
        else:
            yield badge("warming up", "warn")
        uptime = _duration(time.monotonic() - self._begun_s)
        yield f'<span class="quiet">{escaped(f"version {VERSION}, up for {uptime}")}</span>'
        yield '</header>\n<nav aria-label="Pages">'
        yield link("/docs", "Routes")
        yield link("/openapi.json", "OpenAPI")
        yield link("/metrics", "Metrics")
        if self._settings.grafana_url is not None:
            yield link(self._settings.grafana_url, "Grafana")
        if self._settings.sidecar_url is not None:
            yield link(self._settings.sidecar_url, "Drift and calibration")
        yield "</nav>"

    def _lead(self, status: BatcherStatus, estate: Estate) -> Iterator[str]:
        runs = f"One backbone, {code(self._bundle.manifest.source.name)},"
        if self._lifecycle.warm:
            runs += f" on {code(status.provider)} in {code(status.precision)},"
        held = "no adapter yet"
        if estate.adapters_count:
            adapters = _counted(estate.adapters_count, "adapter")
            held = f"{adapters} of {_counted(estate.tenants_count, 'tenant')}"
        yield f'<p class="lead">{runs} with {held}.</p>'

    @property
    def _inputs(self) -> str:
        return "texts" if self._bundle.manifest.image is None else "images"

    def _load(self, status: BatcherStatus) -> Iterator[str]:
        yield "<h2>Capacity</h2>"
        texts = self._inputs
        running = f"and {status.running_texts:,} run"
        yield tiles(
            [
                _filled("Slots with an adapter", status.slots_used, status.slots),
                _filled(f"Waiting {texts}", status.queue_texts, self._queue_texts_max, running),
                _filled("Waiting tokens", status.queue_tokens, self._settings.queue_tokens_max),
            ]
        )

    def _beginning(self, address: str) -> Iterator[str]:
        yield "<h2>First steps</h2>"
        yield "<p>Nothing was uploaded yet. These commands work as they stand here:</p>"
        yield '<ol class="steps">'
        images, keyed = self._inputs == "images", self._settings.keyed
        for told, commands in first_steps(address, keyed=keyed, images=images):
            yield f"<li>{escaped(told)}\n<pre>{code(commands)}</pre></li>"
        yield "</ol>"

    def _tenants(self, estate: Estate, minute: Minute) -> Iterator[str]:
        yield "<h2>Tenants</h2>"
        yield '<table class="cards" role="table">'  # on a phone it looks like none
        yield f"<caption>{escaped(_told(estate))}</caption>"
        yield '<thead><tr role="row">'
        for name in ("Tenant", "Class", "Adapters"):
            yield f'<th scope="col" role="columnheader">{name}</th>'
        for name in ("Requests, last minute", f"{self._inputs.capitalize()} since the start"):
            yield f'<th scope="col" role="columnheader" class="number">{name}</th>'
        yield "</tr></thead>\n<tbody>"
        for tenant in estate.tenants:
            texts = self._answers.texts_of(tenant.name)
            yield _row(tenant, minute.by_tenant[tenant.name], texts, self._inputs)
        yield "</tbody>\n</table>"
        if not estate.is_whole:
            yield f'<p class="quiet">All of them: {code("GET /v1/tenants")}</p>'

    def _backbone(self, status: BatcherStatus) -> Iterator[str]:
        manifest = self._bundle.manifest
        rows = [
            ("model", f"{code(manifest.source.name)} ({escaped(manifest.family)})"),
            ("bundle", code(self._bundle.digest)),
        ]
        if self._lifecycle.warm:
            rows += [
                ("provider", code(status.provider)),
                ("precision", code(status.precision)),
                ("why these two", escaped(status.reason)),
            ]
        else:
            rows.append(("provider", "warming up"))
        limits = f"rank {manifest.max_rank} on {len(manifest.targets)} layers, at most"
        if manifest.image is None:
            rows.append(("a text", f"{manifest.max_length:,} tokens, at most"))
        access = "holders of a key" if self._settings.keyed else "everyone on this machine"
        rows += [("an adapter", escaped(limits)), ("who may call", access)]
        yield "<h2>What runs</h2>"
        yield table(("What", "Which"), rows)


def _troubles(estate: Estate) -> Iterator[str]:
    if not estate.quarantined_count:
        return
    yield '<div class="note bad" role="status">'
    yield f"<p><strong>{estate.quarantined_count:,} out of service</strong>: an answer held inf or"
    yield "NaN. Roll back, and upload a sound version.</p>\n<ul>"
    for name in estate.quarantined:
        yield f"<li>{code(name)}</li>"
    yield "</ul>"
    if estate.quarantined_count > len(estate.quarantined):
        yield f"<p>and {estate.quarantined_count - len(estate.quarantined):,} more</p>"
    yield "</div>"


def _traffic(minute: Minute, inputs: str) -> Iterator[str]:
    whole = "last minute" if minute.seconds >= SECONDS else f"last {minute.seconds:.0f} s"
    yield f"<h2>Traffic, {whole}</h2>"
    failed = f"{minute.failed / minute.requests:.1%} of the requests" if minute.failed else ""
    answered = "" if minute.answered else "nothing was answered"
    yield tiles(
        [
            tile("Requests a second", _rate(minute.requests / minute.seconds)),
            tile(f"{inputs.capitalize()} a second", _rate(minute.texts / minute.seconds)),
            tile("Failed (5xx)", f"{minute.failed:,}", failed),
            tile("Refused (4xx)", f"{minute.refused:,}"),
            tile("Latency, p50", _latency(minute.latency_s(0.5)), answered),
            tile("Latency, p95", _latency(minute.latency_s(0.95)), answered),
        ]
    )


def _canaries(estate: Estate, *, linked: bool) -> Iterator[str]:
    if not estate.canaries_count:
        return
    yield "<h2>Canaries</h2>\n<ul>"
    for one in estate.canaries:
        assert one.canary is not None, "these are the adapters that have one"
        version, percent = one.canary
        path = f"/v1/tenants/{one.tenant}/adapters/{one.name}/rollout/comparison"
        shown = link(path, "Compare the two") if linked else f"Compare: {code(f'GET {path}')}"
        yield (
            f"<li>{code(f'{one.tenant}.{one.name}')} version {version} answers {percent:g} % of the"
            f" requests, version {escaped(one.live)} the others. {shown}</li>"
        )
    yield "</ul>"
    if estate.canaries_count > len(estate.canaries):
        yield f"<p>and {estate.canaries_count - len(estate.canaries):,} more</p>"


def _row(tenant: ShownTenant, requests: int, texts: int, inputs: str) -> str:
    adapters = "\n".join(map(_adapter, tenant.adapters)) or '<span class="quiet">none</span>'
    if tenant.adapters_count > len(tenant.adapters):
        more = tenant.adapters_count - len(tenant.adapters)
        adapters += f'\n<div class="quiet">and {more:,} more</div>'
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{code(tenant.name)}</th>'
        f'<td role="cell" data-name="class">{escaped(tenant.kind)}</td>'
        f'<td role="cell">{adapters}</td>'
        f'<td role="cell" class="number" data-name="requests, last minute">{requests:,}</td>'
        f'<td role="cell" class="number" data-name="{inputs} since the start">{texts:,}</td></tr>'
    )


def _adapter(adapter: ShownAdapter) -> str:
    roles = dict.fromkeys(adapter.shadows, "shadow")
    if adapter.canary is not None:
        version, percent = adapter.canary
        roles = {version: f"canary, {percent:g} %", **roles}
    if adapter.live is not None:
        roles = {adapter.live: "live", **roles}
    told = [badge("no version is live", "warn")] if adapter.live is None else []
    for version, role in roles.items():
        if version in adapter.quarantined:
            told.append(badge(f"v{version} {role}, out of service", "bad"))
        elif version in adapter.elsewhere:
            told.append(badge(f"v{version} {role}, but for another bundle", "warn"))
        else:
            told.append(badge(f"v{version} {role}", "good" if role == "live" else ""))
    others = [version for version in adapter.quarantined if version not in roles]
    told += [badge(f"v{version} out of service", "bad") for version in others]
    kept = _counted(adapter.versions, "version")
    return (
        f'<div class="adapter">{code(adapter.name)} {" ".join(told)}'
        f' <span class="quiet">{kept}</span></div>'
    )


def _foot(*, refreshes: bool, still: bool) -> Iterator[str]:
    yield "<footer>"
    yield "<p>Figures are of this process alone."
    if refreshes:
        if still:
            yield f"This page stands still. {link('/', f'Refresh it every {REFRESH_S} s')}"
        else:
            yield f"This page comes anew every {REFRESH_S} s. {link('/?refresh=off', 'Stop that')}"
    yield f"</p>\n<p>Guides and concepts are in the folder {code('docs')} of the project.</p>"
    yield "</footer>"


def _told(estate: Estate) -> str:
    held = ", ".join(
        [
            _counted(estate.tenants_count, "tenant"),
            _counted(estate.adapters_count, "adapter"),
            _counted(estate.versions_count, "version"),
        ]
    )
    return held if estate.is_whole else f"{held}; shown are the {len(estate.tenants)} busiest"


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _filled(name: str, count: int, most: int, more: str = "") -> str:
    told = f"of {most:,}, {more}" if more else f"of {most:,}"
    return tile(name, f"{count:,}", told, filled=count / most if most else None)


def _rate(value: float) -> str:
    if value >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _latency(seconds: float | None) -> str:
    if seconds is None:
        return "none"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _duration(seconds: float) -> str:
    days, hours, minutes = (int(seconds // size) for size in (86_400, 3_600, 60))
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
