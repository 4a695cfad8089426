from html.parser import HTMLParser

import pytest

from tests.fakes.service import FakeService

pytestmark = pytest.mark.anyio

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps texts and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.targets: set[str] = set()
        self.text = ""
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self.links += [link for link in (named.get("href"), named.get("src")) if link]
        self.targets |= {name for name in (named.get("id"),) if name}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def page(service: FakeService, path: str) -> Page:
    async with service.client() as client:
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
    for shown in ("acme", "support", "version 1 is live", "no version is live", "1 of 4", "cpu"):
        assert shown in text
    assert service.bundle.digest in text


async def test_the_status_page_shows_a_canary_and_shadows(service: FakeService) -> None:
    for seed in range(3):
        service.publish("acme", "support", seed=seed, live=False)
    document = {"live": 1, "canary": {"version": 2, "percent": 12.5}, "shadow": [3]}
    service.registry.set_rollout("acme", "support", document, None, "tests")
    text = (await page(service, "/")).text
    assert "version 1 is live, 2 is the canary at 12.5 %, in the shadow: 3, 3 kept" in text


async def test_a_server_without_tenants_says_how_to_begin(service: FakeService) -> None:
    assert "PUT /v1/tenants/acme" in (await page(service, "/")).text


async def test_a_server_that_warms_up_names_no_provider(service: FakeService) -> None:
    service.lifecycle.warm = False
    assert "warming up" in (await page(service, "/")).text
