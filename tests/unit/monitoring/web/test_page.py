"""The page as a document: nothing from elsewhere, and a policy that fits it to the byte."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest

from monitoring.web.page import live_page, static_page
from monitoring.web.static_report import ADAPTERS_MAX, render, worst
from tests.fakes.reports import CASES, HARM, INJECT, FakeReports, adapter_of

VOID = {"meta", "link", "path", "input", "br"}


class Parsed(HTMLParser):
    """Keeps the texts of elements, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [link for link in (named.get("href"), named.get("src")) if link]
        self.handlers += [name for name in named if name.startswith("on") or name == "style"]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"] or ""
        if tag not in VOID:
            self.open.append(tag)
            if tag in ("script", "style"):
                self.texts.setdefault(named.get("id") or tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            raise AssertionError(f"<{tag}/> is not closed in HTML")
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            name = next(reversed(self.texts)) if self.open[-1] == "script" else "style"
            self.texts[name][-1] += data


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_policy_names_the_only_style_and_the_only_script() -> None:
    page = live_page()
    parsed = Parsed(page.html)
    [style], [script] = parsed.texts["style"], parsed.texts["script"]
    assert f"style-src 'sha256-{digest(style)}'" in page.policy
    assert f"script-src 'sha256-{digest(script)}'" in page.policy
    assert parsed.texts["embedded"] == ["null"]


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    parsed = Parsed(live_page().html)
    assert all(link.startswith(("#", "data:image/")) for link in parsed.addresses)
    assert not parsed.handlers
    outside = re.findall(r"https?://[^\s\"'`)]+", live_page().html)
    assert set(outside) == {"http://www.w3.org/2000/svg"}


def test_the_script_makes_no_markup_of_texts() -> None:
    [script] = Parsed(live_page().html).texts["script"]
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


@pytest.mark.parametrize("text", [HARM, "</script>", "<!--<script>", "a & b \u2028\u2029"])
def test_embedded_data_cannot_end_its_element(text: str) -> None:
    [embedded] = Parsed(static_page({"text": text})).texts["embedded"]
    assert json.loads(embedded) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(embedded)


def test_a_static_report_holds_its_policy_and_may_ask_for_nothing() -> None:
    page = static_page(None)
    parsed = Parsed(page)
    assert f"'sha256-{digest(parsed.texts['script'][0])}'" in parsed.policy
    assert "connect-src" not in parsed.policy
    assert page.index("Content-Security-Policy") < page.index("<style>")


def embedded(page: str) -> dict[str, object]:
    [text] = Parsed(page).texts["embedded"]
    found: dict[str, object] = json.loads(text)
    return found


def test_a_static_report_tells_what_the_reports_tell() -> None:
    fleet = FakeReports().fleet()
    found = embedded(render(fleet, [adapter_of(INJECT)]))
    assert found["fleet"] == json.loads(msgspec.json.encode(fleet))
    assert found["adapters"] == [json.loads(msgspec.json.encode(adapter_of(INJECT)))]
    assert found["left_out"] == {"lines": 0, "adapters": len(CASES) - 1}


def test_a_static_report_is_bounded_and_says_what_is_left_out() -> None:
    fleet = FakeReports(more=95).fleet()
    asked = []

    def adapters() -> object:
        for tenant, adapter in worst(fleet):
            asked.append((tenant, adapter))
            yield adapter_of(INJECT)

    found = embedded(render(fleet, adapters(), adapters_max=7, lines_max=40))  # type: ignore[arg-type]
    assert found["left_out"] == {"lines": 60, "adapters": 93}
    assert len(asked) == 7, "reports that are left out are not made"


def test_the_worst_adapters_are_told_of_in_full() -> None:
    fleet = FakeReports(more=95).fleet()
    assert len(worst(fleet)) == ADAPTERS_MAX
    assert worst(fleet, 2) == [("acme", "support"), ("globex", "spam")]
