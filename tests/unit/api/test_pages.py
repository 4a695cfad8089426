import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from service.api.status_page import StatusPage
from service.errors import AdapterQuarantined, AdapterUnreadable
from service.registry.records import Proof, Rollout, Route, TenantSettings
from service.registry.routes import AdapterRoutes, Routes, TenantRoutes
from service.settings import Settings
from service.trials.comparison import Comparison, compare
from service.trials.trial import Arms, Trial
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

VOID = {"meta", "br"}
TEXTS = {"inputs": ["a"]}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps texts, links, figures and numbers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.targets: set[str] = set()
        self.text = ""
        self.tags: set[str] = set()
        self.headings: list[str] = []
        self.scopes: set[str] = set()
        self.refresh: str | None = None
        self.figures: dict[str, str] = {}  # of the tiles, by name
        self.numbers: list[str] = []  # of the table of tenants
        self.marked: list[tuple[str, str]] = []  # classes and texts
        self._figure = self._kind = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self._kind = named.get("class") or ""
        self.scopes |= {scope for scope in (named.get("scope"),) if scope}
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(tag)
        if named.get("http-equiv") == "refresh":
            self.refresh = named["content"]
        self.links += [link for link in (named.get("href"), named.get("src")) if link]
        self.targets |= {name for name in (named.get("id"),) if name}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if not self.open or not data.strip():
            return
        self.marked.append((self._kind, data))
        if self.open[-1] == "dt":
            self._figure = data
        elif self._kind == "figure":
            self.figures[self._figure] = data
        elif self.open[-1] == "td" and self._kind.startswith("number"):
            self.numbers.append(data)


async def page(service: FakeService, path: str, headers: Mapping[str, str] | None = None) -> Page:
    async with service.client(headers=headers) as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return Page(answer.text)


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_needs_nothing_from_elsewhere(service: FakeService, path: str) -> None:
    shown = await page(service, path)
    assert not shown.tags & {"script", "img", "iframe", "link"}
    assert all(link.startswith(("/", "#")) for link in shown.links)


async def test_every_link_within_the_reference_leads_somewhere(service: FakeService) -> None:
    shown = await page(service, "/docs")
    inner = {link[1:] for link in shown.links if link.startswith("#")}
    assert inner
    assert inner <= shown.targets


async def test_the_reference_shows_every_route(service: FakeService) -> None:
    shown = await page(service, "/docs")
    for path in service.app.openapi()["paths"]:
        assert path in shown.text


async def test_the_status_page_shows_what_runs(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("acme", "spam", live=False)
    text = (await page(service, "/")).text
    for shown in ("serving", "acme", "support", "v1 live", "no version is live", "cpu", "fp32"):
        assert shown in text
    assert service.bundle.digest in text
    assert service.bundle.manifest.source.name in text
    assert "1 tenant, 2 adapters, 2 versions" in text
    assert "2 adapters of 1 tenant." in text


async def test_the_status_page_shows_a_canary_and_shadows(service: FakeService) -> None:
    for seed in range(3):
        service.publish("acme", "support", seed=seed, live=False)
    document = {"live": 1, "canary": {"version": 2, "percent": 12.5}, "shadow": [3]}
    service.registry.set_rollout("acme", "support", document, None, "tests")
    shown = await page(service, "/")
    for told in ("v1 live", "v2 canary, 12.5 %", "v3 shadow", "3 versions"):
        assert told in shown.text
    assert "acme.support version 2 answers 12.5 % of the requests, version 1 the others" in (
        shown.text
    )
    assert "/v1/tenants/acme/adapters/support/rollout/comparison" in shown.links


async def test_the_status_page_names_what_is_out_of_service(service: FakeService) -> None:
    first = service.publish("acme", "support")
    second = service.publish("acme", "support", seed=1, live=False)
    out = replace(service.batcher.status(), quarantined=(first.digest, second.digest))
    service.batcher.status = lambda: out  # type: ignore[method-assign]
    shown = await page(service, "/")
    text = shown.text
    assert ("badge warn", "in trouble: 1 version cannot answer") in shown.marked
    assert "2 out of service" in text
    for told in (
        "acme.support.1",
        "acme.support.2",
        "v1 live, out of service",
        "v2 out of service",
    ):
        assert told in text


async def test_the_status_page_shows_the_last_minute_by_tenant(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("zoo", "support")
    async with service.client() as client:
        for _ in range(3):
            await client.post("/v1/tenants/acme/adapters/support/predict", json={"inputs": ["a"]})
        await client.post("/v1/tenants/acme/adapters/support/predict", json={"inputs": ["a", "b"]})
        service.batcher.error = AdapterQuarantined("out of service")
        await client.post("/v1/tenants/acme/adapters/support/predict", json={"inputs": ["a"]})
        service.batcher.error = RuntimeError("a bug")
        await client.post("/v1/tenants/zoo/adapters/support/predict", json={"inputs": ["a"]})
    shown = await page(service, "/")
    assert shown.figures["Failed (5xx)"] == "1"
    assert shown.figures["Refused (4xx)"] == "1"
    assert shown.figures["Latency, p50"].endswith(" ms")
    acme, zoo = ["4", "0", "0", "1", "5"], ["0", "0", "1", "0", "0"]
    assert shown.numbers == acme + zoo, "ok, slow, failed, refused and texts"
    assert "of the last minute" in shown.text


async def test_failures_turn_the_page_red_and_say_whose_they_are(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("zoo", "support")
    well = await page(service, "/")
    assert ("badge good", "serving") in well.marked
    async with service.client() as client:
        for tenant, error in (("acme", None), ("acme", None), ("zoo", RuntimeError("a bug"))):
            service.batcher.error = error
            await client.post(f"/v1/tenants/{tenant}/adapters/support/predict", json=TEXTS)
    shown = await page(service, "/")
    assert ("badge bad", "failing: 33.3% failed") in shown.marked
    assert ("badge bad", "failing") in shown.marked, "in the tenant's row"
    assert shown.marked.count(("badge good", "v1 live")) == 1, "that of acme"
    assert ("number bad", "1") in shown.marked
    assert "33.3% of the requests" in shown.text
    assert "1 tenant answered badly" in shown.text
    assert "zoo: 1 of 1 failed, 0 late" in shown.text


async def test_one_dead_tenant_among_many_answers_is_no_green_page(service: FakeService) -> None:
    service.publish("acme", "support")
    answers = service.app.shared.answers
    for _ in range(999):
        answers._lately.note(time.monotonic(), "answered", 0.01, "acme", 1)
    answers._lately.note(time.monotonic(), "failed", 0.01, "zoo", 0)
    shown = await page(service, "/")
    assert ("badge warn", "in trouble: 0.1% failed") in shown.marked
    assert "zoo: 1 of 1 failed, 0 late" in shown.text


async def test_late_answers_turn_the_page_red_by_the_objective_of_their_class(
    service_with: MakeService,
) -> None:
    service = service_with(class_latency_objectives=("gold=0.000000001",))
    service.publish("acme", "support")
    async with service.client() as client:
        await client.post("/v1/tenants/acme/adapters/support/predict", json=TEXTS)
        assert ("badge good", "serving") in (await page(service, "/")).marked
        gold = TenantSettings.model_validate({"class": "gold"})
        service.registry.put_tenant("acme", gold, "tests")
    shown = await page(service, "/")
    assert ("badge bad", "failing: 100.0% answered late") in shown.marked
    assert "100.0% of the answers are late" in shown.text
    assert shown.numbers == ["0", "1", "0", "0", "1"]


async def test_the_status_page_names_what_cannot_be_read(service: FakeService) -> None:
    version = service.publish("acme", "support")
    service.batcher.error = AdapterUnreadable(f"the adapter {version.digest} cannot be read")
    async with service.client() as client:
        await client.post("/v1/tenants/acme/adapters/support/predict", json=TEXTS)
    shown = await page(service, "/")
    assert "1 unreadable" in shown.text
    assert "acme.support.1" in shown.text
    assert ("badge bad", "v1 live, unreadable") in shown.marked


async def test_what_the_controller_did_is_told(service: FakeService) -> None:
    for seed in range(2):
        service.publish("acme", "support", seed=seed, live=False)
    document = {"live": 1, "canary": {"version": 2, "percent": 5}}
    seen = service.registry.set_rollout("acme", "support", document, None, "tests")
    service.registry.take_out_canary(seen, Proof("accuracy: worse", {}), "controller")
    shown = await page(service, "/")
    assert "Rolled back by the controller" in shown.text
    assert "version 1 is live" in shown.text
    assert "/v1/tenants/acme/adapters/support/rollout/comparison" in shown.links


async def test_a_canary_s_verdict_stands_beside_it(service: FakeService) -> None:
    for seed in range(2):
        service.publish("acme", "support", seed=seed, live=False)
    document = {"live": 1, "canary": {"version": 2, "percent": 5}}
    service.registry.set_rollout("acme", "support", document, None, "tests")

    def shown(live: int) -> Page:
        arms = Arms("acme", "support", 2, live, 1, 0.0)
        known = compare(Trial(arms, alpha=0.01, objective_s=0.5), 5.0)
        return Page(bytes(_page_of(service, Known(known)).page("x").body).decode())

    assert "Version 2 has answered too little" in shown(1).text
    assert ("badge", "collecting") in shown(1).marked
    assert "Version 2 has answered" not in shown(7).text, "of another live version"


async def test_what_was_not_measured_is_not_shown_as_nothing(service: FakeService) -> None:
    figures = (await page(service, "/")).figures
    assert figures["Requests a second"] == "0"
    assert figures["Latency, p50"] == figures["Latency, p95"] == "none"


async def test_a_server_without_adapters_says_how_to_begin(service: FakeService) -> None:
    shown = await page(service, "/")
    assert "curl -X PUT http://localhost:8000/v1/tenants/acme" in shown.text
    assert "Authorization" not in shown.text
    assert shown.refresh is None, "who copies a command wants it to stay"
    service.publish("acme", "support")
    assert "First steps" not in (await page(service, "/")).text


async def test_a_server_with_a_key_shows_first_steps_that_carry_it(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    shown = await page(service, "/", headers=bearer(ADMIN_KEY))
    assert 'Authorization: Bearer $TENANTRY_KEY"' in shown.text
    assert ADMIN_KEY not in shown.text


async def test_the_operator_s_port_points_to_the_port_that_answers(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=ADMIN_KEY, operator_port=9000)
    shown = await page(service, "http://localhost:9000/")
    assert "http://localhost:8000/v1/tenants/acme" in shown.text
    for seed in range(2):
        service.publish("acme", "support", seed=seed, live=False)
    document = {"live": 1, "canary": {"version": 2, "percent": 5}}
    service.registry.set_rollout("acme", "support", document, None, "tests")
    shown = await page(service, "http://localhost:9000/")
    path = "/v1/tenants/acme/adapters/support/rollout/comparison"
    assert path in shown.text
    assert path not in shown.links, "no such route on this port"


async def test_the_page_comes_anew_until_it_is_told_to_stand_still(service: FakeService) -> None:
    service.publish("acme", "support")
    moving = await page(service, "/")
    assert moving.refresh == "10"
    assert "/?refresh=off" in moving.links
    still = await page(service, "/?refresh=off")
    assert still.refresh is None
    assert "/" in still.links
    assert (await page(service, "/?refresh=<script>")).refresh == "10"


async def test_the_page_links_to_what_the_settings_name(service_with: MakeService) -> None:
    service = service_with(
        grafana_url="https://grafana.example.com/?a=1&b='\"", sidecar_url="http://127.0.0.1:9100/"
    )
    links = (await page(service, "/")).links
    assert "https://grafana.example.com/?a=1&b='\"" in links
    assert "http://127.0.0.1:9100/" in links
    plain = (await page(service_with(), "/")).links
    assert all(link.startswith("/") for link in plain)


async def test_a_server_that_warms_up_names_no_provider(service: FakeService) -> None:
    service.lifecycle.warm = False
    shown = await page(service, "/")
    assert "warming up" in shown.text
    assert "fp32" not in shown.text
    service.lifecycle.draining = True
    assert "draining" in (await page(service, "/")).text


async def test_names_that_are_markup_stay_text(service: FakeService) -> None:
    hostile = "</code><script>alert(1)</script><img src=x onerror='a'>&amp;\"'"
    service.publish("acme", "support")
    status = replace(
        service.batcher.status(),
        reason=hostile,
        provider=hostile,
        precision=hostile,
        quarantined=(hostile,),
    )
    service.batcher.status = lambda: status  # type: ignore[method-assign]
    manifest = service.bundle.manifest
    source = manifest.source.model_copy(update={"name": hostile})
    object.__setattr__(
        service.bundle,
        "manifest",
        manifest.model_copy(update={"source": source, "family": hostile}),
    )
    shown = await page(service, "/", headers={"x-request-id": "a"})
    assert not shown.tags & {"script", "img", "iframe", "link"}
    assert shown.text.count(hostile) == 9


async def test_a_host_that_is_markup_or_a_command_is_not_repeated(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    for host in ("<script>alert(1)</script>", "a;rm -rf ~", "$(reboot)"):
        shown = await page(service, "/", headers={**bearer(ADMIN_KEY), "host": host})
        assert host not in shown.text
        assert "script" not in shown.tags


async def test_headings_and_tables_tell_what_they_are_of(service: FakeService) -> None:
    service.publish("acme", "support")
    shown = await page(service, "/")
    assert shown.headings[0] == "h1"
    assert shown.headings.count("h1") == 1
    assert {"h2"} == set(shown.headings[1:])
    assert "caption" in shown.tags
    assert shown.scopes >= {"col", "row"}


async def test_a_large_estate_makes_a_page_of_bounded_size(service: FakeService) -> None:
    routes = {
        f"tenant-{number:05}": TenantRoutes(adapters=_adapters(f"tenant-{number:05}"))
        for number in range(10_000)
    }
    large = Routes(routes, service.bundle.digest)
    status_page = _page_of(service, routes=lambda: large)
    answer = status_page.page("http://localhost:8000")
    text = Page(bytes(answer.body).decode()).text
    assert "10,000 tenants, 10,000 adapters, 10,000 versions; shown are the 50 busiest" in text
    assert len(answer.body) < 50_000


class Known:
    """Knows one comparison, and says it of everything."""

    def __init__(self, known: Comparison) -> None:
        self.known = known

    def comparison(self, tenant: str, adapter: str) -> Comparison | None:
        assert (tenant, adapter) == ("acme", "support")
        return self.known


def _page_of(
    service: FakeService,
    trials: Known | None = None,
    routes: Callable[[], Routes] | None = None,
) -> StatusPage:
    return StatusPage(
        routes or service.registry.routes,
        service.batcher,
        service.bundle,
        service.lifecycle,
        service.app.shared.answers,
        Settings(bundle=service.state, state=service.state),
        None,
        trials,
    )


def _adapters(tenant: str) -> dict[str, AdapterRoutes]:
    route = Route(tenant, "support", 1, "sha256:a", ("a",), calibrated=False)
    rollout = Rollout(tenant, "support", 1, 1, None, None, None)
    return {"support": AdapterRoutes(rollout, {1: route}, {}, route, None)}
