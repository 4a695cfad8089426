"""`/`: what runs here, for people; the first thing that somebody new opens.

All of it is of this process and from its memory: it shows as much when the disk is full. What it
shows is bounded, so that a page of ten thousand tenants is no larger than one of fifty.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response

from service.api.comparison import Comparisons
from service.api.estate import Estate, ShownAdapter, ShownTenant, survey
from service.api.first_steps import address_of, first_steps
from service.api.html import badge, code, escaped, link, page, table, tile, tiles
from service.api.image_reading import waiting_max
from service.api.lately import SECONDS, Level, Minute, Tally, level_of
from service.api.lifecycle import Lifecycle
from service.api.ports import Batcher
from service.api.tenant_answers import TenantAnswers
from service.api.troubles import (
    WORDS,
    colour_of,
    counted_as,
    more_of,
    state_of,
    suffering,
    troubles,
)
from service.api.version import VERSION
from service.batching.answers import BatcherStatus
from service.engine.bundle import Bundle
from service.registry.records import DEFAULTS
from service.registry.routes import Routes
from service.settings import Settings

REFRESH_S = 10
_COUNTED = ("OK", "Slow", "Failed", "Refused")


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
        trials: Comparisons | None = None,
    ) -> None:
        """Without `trials` nothing is told of how canaries compare."""
        self._routes = routes
        self._batcher = batcher
        self._bundle = bundle
        self._lifecycle = lifecycle
        self._answers = answers
        self._settings = settings
        self._operator_port = operator_port
        self._trials = trials
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
        lost = request.app.edge.unreadable.lately(time.monotonic())
        return await asyncio.to_thread(
            self.page, address, apart=apart, still=still, unreadable=lost
        )

    def page(
        self,
        address: str,
        *,
        apart: bool = False,
        still: bool = False,
        unreadable: Collection[str] = (),
    ) -> Response:
        """Return the page, for somebody who reaches the service at that address.

        `apart`: from a port that has no other routes; `still`: it is not loaded again by itself;
        `unreadable`: digests whose stored files could not be read lately.
        """
        status, minute, routes = self._batcher.status(), self._answers.minute(), self._routes()
        busy = {name: tally.requests for name, tally in minute.by_tenant.items()}
        estate = survey(routes, status.quarantined, busy, unreadable, datetime.now(UTC))
        mute = routes.count_answering({*status.quarantined, *unreadable})
        late = {
            name: tally.late(self._objective_s(routes, name))
            for name, tally in minute.by_tenant.items()
        }
        linked = not apart and not self._settings.keyed
        empty = not estate.adapters_count  # whoever copies the first steps wants them to stay
        parts = [
            *self._head(state_of(minute, late, mute)),
            *self._lead(status, estate),
            *troubles(estate),
            *suffering(minute, late),
            *(self._beginning(address) if empty else ()),
            *_traffic(minute, sum(late.values()), self._inputs),
            *self._load(status),
            *(self._tenants(estate, minute, late) if estate.tenants_count else ()),
            *self._canaries(estate, linked=linked),
            *_rollbacks(estate, linked=linked),
            *self._backbone(status),
            *_foot(refreshes=not empty, still=still),
        ]
        return page("Tenantry", parts, refresh_s=None if empty or still else REFRESH_S)

    def _objective_s(self, routes: Routes, tenant: str) -> float:
        """Return within how long a tenant is answered, if all is well."""
        own = routes.tenants.get(tenant)
        kind = (DEFAULTS if own is None else own.settings).kind
        return self._settings.latency_objectives.get(kind, self._settings.latency_objective_s)

    def _head(self, state: tuple[Level, str]) -> Iterator[str]:
        yield "<header>\n<h1>Tenantry</h1>"
        if self._lifecycle.draining:
            yield badge("draining", "warn")
        elif self._lifecycle.warm:
            level, told = state
            yield badge(told, level)
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
            adapters = counted_as(estate.adapters_count, "adapter")
            held = f"{adapters} of {counted_as(estate.tenants_count, 'tenant')}"
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

    def _tenants(self, estate: Estate, minute: Minute, late: Mapping[str, int]) -> Iterator[str]:
        yield "<h2>Tenants</h2>"
        yield '<table class="cards" role="table">'  # on a phone it looks like none
        counted = "requests and " + self._inputs
        yield f"<caption>{escaped(_told(estate))}; {counted} of the last minute</caption>"
        yield '<thead><tr role="row">'
        for name in ("Tenant", "Class", "Adapters"):
            yield f'<th scope="col" role="columnheader">{name}</th>'
        for name in (*_COUNTED, self._inputs.capitalize()):
            yield f'<th scope="col" role="columnheader" class="number">{name}</th>'
        yield "</tr></thead>\n<tbody>"
        for tenant in estate.tenants:
            tally = minute.by_tenant.get(tenant.name, Tally())
            yield _row(tenant, tally, late.get(tenant.name, 0), self._inputs)
        yield "</tbody>\n</table>"
        if not estate.is_whole:
            yield f'<p class="quiet">All of them: {code("GET /v1/tenants")}</p>'

    def _canaries(self, estate: Estate, *, linked: bool) -> Iterator[str]:
        if not estate.canaries_count:
            return
        yield "<h2>Canaries</h2>\n<ul>"
        for one in estate.canaries:
            assert one.canary is not None, "these are the adapters that have one"
            version, percent = one.canary
            shown = _compared(one.tenant, one.name, "Compare the two", linked)
            yield (
                f"<li>{code(f'{one.tenant}.{one.name}')} version {version} answers {percent:g} % of"
                f" the requests, version {escaped(one.live)} the others. {shown}"
                f"{self._verdict(one, version)}</li>"
            )
        yield "</ul>"
        yield more_of(estate.canaries_count, len(estate.canaries))

    def _verdict(self, one: ShownAdapter, version: int) -> str:
        """Return what is thought of a canary, in a word and a sentence; nothing where unknown."""
        found = None if self._trials is None else self._trials.comparison(one.tenant, one.name)
        if found is None or (found.arms.canary, found.arms.live) != (version, one.live):
            return ""
        kind = {"worse": "bad", "better": "good"}.get(found.verdict, "")
        told = badge(found.verdict.replace("_", " "), kind)
        return f'<div class="verdict">{told} {escaped(found.sentence)}</div>'

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


def _traffic(minute: Minute, late: int, inputs: str) -> Iterator[str]:
    whole = "last minute" if minute.seconds >= SECONDS else f"last {minute.seconds:.0f} s"
    yield f"<h2>Traffic, {whole}</h2>"
    failed = f"{minute.failed / minute.requests:.1%} of the requests" if minute.failed else ""
    answered = "" if minute.answered else "nothing was answered"
    slow = f"{late / minute.answered:.1%} of the answers are late" if late else answered
    how_failed = level_of(minute.answered, 0, minute.failed)
    how_late = level_of(minute.answered, late, 0)
    yield tiles(
        [
            tile("Requests a second", _rate(minute.requests / minute.seconds)),
            tile(f"{inputs.capitalize()} a second", _rate(minute.texts / minute.seconds)),
            tile("Failed (5xx)", f"{minute.failed:,}", failed, kind=colour_of(how_failed)),
            tile("Refused (4xx)", f"{minute.refused:,}"),
            tile("Latency, p50", _latency(minute.latency_s(0.5)), answered),
            tile("Latency, p95", _latency(minute.latency_s(0.95)), slow, kind=colour_of(how_late)),
        ]
    )


def _rollbacks(estate: Estate, *, linked: bool) -> Iterator[str]:
    if not estate.rollbacks:
        return
    yield "<h2>Rolled back by the controller, last day</h2>\n<ul>"
    for rollout in estate.rollbacks:
        assert rollout.created_at is not None, "it is recent"
        at = datetime.fromisoformat(rollout.created_at).strftime("%Y-%m-%d %H:%M:%S UTC")
        live = "no version is live" if rollout.live is None else f"version {rollout.live} is live"
        name = code(f"{rollout.tenant}.{rollout.adapter}")
        why = _compared(rollout.tenant, rollout.adapter, "Why", linked)
        yield f"<li>{name} at {escaped(at)}; {live}. {why}</li>"
    yield "</ul>"


def _compared(tenant: str, adapter: str, what: str, linked: bool) -> str:
    path = f"/v1/tenants/{tenant}/adapters/{adapter}/rollout/comparison"
    return link(path, what) if linked else f"{what}: {code(f'GET {path}')}"


def _row(tenant: ShownTenant, tally: Tally, late: int, inputs: str) -> str:
    level = level_of(tally.answered, late, tally.failed)
    adapters = "\n".join(_adapter(one, well=level != "bad") for one in tenant.adapters)
    adapters = adapters or '<span class="quiet">none</span>'
    if tenant.adapters_count > len(tenant.adapters):
        more = tenant.adapters_count - len(tenant.adapters)
        adapters += f'\n<div class="quiet">and {more:,} more</div>'
    told = "" if level == "good" else f" {badge(WORDS[level], level)}"
    failed = colour_of(level_of(tally.answered, 0, tally.failed))
    slow = colour_of(level_of(tally.answered, late, 0))
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{code(tenant.name)}{told}</th>'
        f'<td role="cell" data-name="class">{escaped(tenant.kind)}</td>'
        f'<td role="cell">{adapters}</td>'
        f"{_number('ok', tally.answered - late)}{_number('slow', late, slow)}"
        f"{_number('failed', tally.failed, failed)}{_number('refused', tally.refused)}"
        f"{_number(inputs, tally.texts)}</tr>"
    )


def _number(name: str, count: int, kind: str = "") -> str:
    marks = f"number {kind}".strip()
    return f'<td role="cell" class="{marks}" data-name="{name}">{count:,}</td>'


def _adapter(adapter: ShownAdapter, *, well: bool) -> str:
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
        elif version in adapter.unreadable:
            told.append(badge(f"v{version} {role}, unreadable", "bad"))
        elif version in adapter.elsewhere:
            told.append(badge(f"v{version} {role}, but for another bundle", "warn"))
        else:
            told.append(badge(f"v{version} {role}", "good" if role == "live" and well else ""))
    others = [version for version in adapter.quarantined if version not in roles]
    told += [badge(f"v{version} out of service", "bad") for version in others]
    kept = counted_as(adapter.versions, "version")
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
            counted_as(estate.tenants_count, "tenant"),
            counted_as(estate.adapters_count, "adapter"),
            counted_as(estate.versions_count, "version"),
        ]
    )
    return held if estate.is_whole else f"{held}; shown are the {len(estate.tenants)} busiest"


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
