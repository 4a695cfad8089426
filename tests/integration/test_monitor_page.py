"""The sidecar's page in a real browser: what is drawn, what is said, and what must not happen."""

import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from monitoring.web.app import Parts, create_app
from monitoring.web.gate import gate_of
from monitoring.web.metrics import Metrics
from monitoring.web.server import WebServer, listen
from monitoring.web.static_report import render
from tests.fakes.reports import CASES, HARM, INJECT, NOTES, SPAM, SUPPORT, FakeReports, adapter_of
from tests.needs import needs_program

CHROMIUM = needs_program("chromium")
DRIVER = needs_program("chromedriver")

ADMIN = "correct-horse-battery-staple"
TENANT = "the-key-of-acme"
PATIENCE_S = 20.0
# Every page there is to look at, and what its heading says.
PAGES = {
    "#/": "5 adapters",
    "#/acme/support": "acme/support",
    "#/acme/support/5/canary": "acme/support",
    "#/acme/support/4/live/1d": "acme/support",
    "#/globex/spam": "globex/spam",
    "#/hooli/notes": "hooli/notes",
    "#/xss/inject": "xss/inject",
    "#/nobody/nothing": "Not here",
}


class TenantKeys:
    def tenant_of(self, key: bytes) -> str | None:
        return "acme" if key == TENANT.encode() else None


@contextmanager
def serving(reports: FakeReports, *, keyed: bool = False) -> Iterator[WebServer]:
    registry = CollectorRegistry()
    Metrics(registry, reports)
    gate = gate_of(ADMIN if keyed else None, None, TenantKeys())
    app = create_app(Parts(reports, registry, gate, lambda: None))
    server = WebServer(app, listen("127.0.0.1", 0, keyed=keyed))
    server.start()
    try:
        yield server
    finally:
        if server.alive:
            server.stop()


class Browser:
    """One window of Chromium, and what people and programs see in it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def command(self, name: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.driver.execute_cdp_cmd(name, options)
        return answer

    def look(self, width: int = 1280, scheme: str = "light") -> None:
        """Take the window of a desktop or a phone, light or dark."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str, heading: str) -> None:
        """Open an address anew, and wait for its heading."""
        self.driver.get("about:blank")
        self.driver.get(address)
        self.wait(lambda: self.text("h1") == heading)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so; elements may come and go meanwhile."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, self.text("body")
            time.sleep(0.05)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element("css selector", selector)

    def count(self, selector: str) -> int:
        found: int = self.run("return document.querySelectorAll(arguments[0]).length", selector)
        return found

    def text(self, selector: str) -> str:
        """Return the text that is seen of the first such element on one line, or nothing."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        found: str = self.run(script, selector)
        return " ".join(found.split())

    def texts(self, selector: str) -> list[str]:
        script = (
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())"
        )
        found: list[str] = self.run(script, selector)
        return [" ".join(text.split()) for text in found]

    def complaints(self) -> list[str]:
        """Return what the console holds, and forget it."""
        return [line["message"] for line in self._log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last time."""
        lines = [json.loads(line["message"])["message"] for line in self._log("performance")]
        return [
            line["params"]["request"]["url"]
            for line in lines
            if line["method"] == "Network.requestWillBeSent"
        ]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return lines


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Browser:
    made = Browser(chromium)
    chromium.get("about:blank")
    made.look()
    made.complaints()
    made.requests()
    return made


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(FakeReports()) as server:
        yield server.address


def test_the_fleet_is_shown_worst_first_with_its_states_as_words(
    browser: Browser, address: str
) -> None:
    browser.open(address, "5 adapters")
    assert browser.texts(".fleet .of-state") == ["alarm", "warning", "unknown", "ok", "ok"]
    assert browser.texts(".fleet .of-name :is(a, span):first-child")[0] == "acme/support"
    assert SUPPORT.why in browser.text(".fleet .of-name")
    assert "Single tenants moved, not everyone." in browser.text("#fleet")
    assert browser.texts("#retrain-triggers-latest-first tbody tr")[1].endswith("beyond 10 %")


def test_states_differ_by_shape_and_not_only_by_colour(browser: Browser, address: str) -> None:
    browser.open(address, "5 adapters")
    script = "return [...document.querySelectorAll('.chip .shape')].map((e) => e.innerHTML)"
    assert len(set(browser.run(script))) == 4


def test_the_fleet_can_be_searched_filtered_and_ordered(browser: Browser, address: str) -> None:
    browser.open(address, "5 adapters")
    names = ".fleet .of-name a"
    browser.find("#search").send_keys("OO")
    assert browser.texts(names) == ["hooli/notes"]
    browser.find("#search").send_keys("x")
    assert "No adapter is called so" in browser.text("#lines")
    browser.find("#search").send_keys(Keys.BACKSPACE * 3)
    browser.find("#only-ok").click()
    browser.find("#only-unknown").click()
    assert browser.texts(names) == ["hooli/notes", "initech/moderation", "xss/inject"]
    assert browser.find("#only-ok").get_attribute("aria-pressed") == "true"
    browser.find("#only-ok").click()
    browser.find("#only-unknown").click()
    browser.find("#order").send_keys("calibration")
    assert browser.texts(names)[0] == "globex/spam"
    assert browser.texts(names)[-1] == "hooli/notes", "what is unknown comes last"


def test_a_link_leads_deep_to_a_version_and_a_window(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#/acme/support/4/live/1d", "acme/support")
    assert browser.texts("[aria-current]") == ["alarm: v4 live", "last 1 day"]
    assert browser.driver.title == "acme/support · Tenantry monitor"
    assert browser.text("#state") == f"Alarm {SUPPORT.why}"
    browser.find("#version-5-canary").click()
    browser.wait(lambda: browser.texts("[aria-current]") == ["ok: v5 canary", "last 1 day"])
    browser.find("#window-1h").click()
    browser.wait(lambda: browser.texts("[aria-current]") == ["ok: v5 canary", "last 1 h"])
    assert browser.driver.current_url.endswith("#/acme/support/5/canary/1h")
    browser.find(".back").click()
    browser.wait(lambda: browser.text("h1") == "5 adapters")
    browser.driver.back()
    browser.wait(lambda: browser.text("h1") == "acme/support")


def test_every_drawing_has_its_marks(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#/acme/support", "acme/support")
    [version, *_] = adapter_of(SUPPORT).versions
    timeline = ".timeline:first-of-type "
    assert browser.count(".timeline svg[role=img]") == 4
    assert browser.count(f".card > {timeline} .alarm-span") == len(version.alarms)
    assert browser.count(f".card > {timeline} .tolerance") == 1
    assert browser.count(f".card > {timeline} .band") == 2, "it is torn where there were no rows"
    assert browser.count(f".card > {timeline} .line") == 2
    assert browser.count(f".card > {timeline} .rollout-mark") == 3, "the first is weeks before"
    alarming = sum(point.alarm for point in version.history)
    assert browser.count(f".card > {timeline} .alarm-point") == alarming
    assert browser.count(".bin") == len(version.calibration.bins)
    assert browser.count(".bin .whisker-line") == len(version.calibration.bins)
    window = version.windows[0]
    assert browser.count(".class-bars .bar-now") == len(window.mix.classes)
    assert browser.count(".class-bars .bar-reference") == len(window.mix.classes)
    assert browser.count(".class-bars .prior-range") == len(window.mix.classes)
    assert browser.count(".chart .bar-now") == len(window.confidence)
    assert browser.count(".chart .step-reference") == len(window.confidence)
    assert browser.count(".points-reference > *") == 200
    assert browser.count(".points-now > *") == 100
    assert browser.count(".inputs tbody tr") == len(window.inputs)
    assert browser.count(".groups tbody tr") == len(version.groups)
    assert browser.count(".samples tbody tr") == len(version.samples)
    assert browser.count(".alarms tbody tr") == len(version.alarms)
    assert browser.count(".rollouts tbody tr") == 4
    taken_out = "version 2 taken out by the service itself: latency: 0.4 s more than live"
    assert sum(taken_out in told for told in browser.texts(".rollouts tbody tr")) == 1
    assert browser.count(".triggers tbody tr") == 1


def test_a_mark_stands_where_its_figure_is(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#/globex/spam", "globex/spam")
    script = """
      const place = (e) => [Number(e.getAttribute("cx")), Number(e.getAttribute("cy"))];
      return [...document.querySelectorAll(".bin .dot")].map(place);
    """
    places = browser.run(script)
    bins = adapter_of(SPAM).versions[0].calibration.bins
    for axis, figures in enumerate(
        ([one.confidence for one in bins], [one.accuracy.value or 0.0 for one in bins])
    ):
        at = [place[axis] for place in places]
        unit = (at[-1] - at[0]) / (figures[-1] - figures[0])
        for figure, place in zip(figures, at, strict=True):
            assert place == pytest.approx(at[0] + unit * (figure - figures[0]), abs=0.2)
    ideal = browser.find(".ideal")
    left, bottom, right, top = (
        float(ideal.get_attribute(name) or "nan") for name in ("x1", "y1", "x2", "y2")
    )
    # On the diagonal confidence is kept; every one of these bins is below it.
    for x, y in places:
        assert y > bottom + (x - left) * (top - bottom) / (right - left)


def test_figures_are_told_with_interval_and_count(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#/acme/support", "acme/support")
    drift = browser.texts("#drift-of-the-window tbody tr")
    assert drift[0] == "Drift over tolerance 2.31\u00d7 1.85\u00d7 to 2.77\u00d7 500"
    text = browser.text("main")
    for told in (
        "other content: the distance stays when classes are re-weighted",
        "p 0.001",
        "0.21, p 0.040, most in billing",
        "evidence 6.4 of 5.1 (log₁₀) after 184,302 rows",
        "its own hold-out, 640 rows",
        "1,240, of them 103 of audits",
        "half within 5.2 h, 90 % within 2.4 d",
        "Rests on labels",
        "unreliable: drift",
        "version 4 live, version 5 canary at 10 %, in the shadow: 6",
        "text is not logged",
        "delivered after 2 attempts",
    ):
        assert told in text, told


def test_what_is_unknown_is_called_unknown_with_its_reason(browser: Browser, address: str) -> None:
    browser.open(address, "5 adapters")
    line = browser.texts(".fleet tbody tr")[2]
    assert line.count("unknown") == 4, "state, drift, calibration error and accuracy"
    browser.open(f"{address}/#/hooli/notes", "hooli/notes")
    text = browser.text("main")
    for reason in (
        "unknown: too few rows: 31 of 50",
        "unknown: too few labels: 0 of 50",
        "unknown: reference too small",
        "unknown: condition of the confusion matrix is 41, above 30",
        "unknown: the reference is borrowed",
        "unknown: no rows are embedded without the adapter",
        "Reliability diagram: unknown",
        "Projection: unknown",
        "borrowed from its backbone's adapters",
    ):
        assert reason in text, reason
    assert browser.count(".timeline .line") == browser.count(".timeline .band") == 0
    assert NOTES.why in text


@pytest.mark.parametrize(("path", "heading"), PAGES.items())
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_keeps_its_manners(
    browser: Browser, address: str, path: str, heading: str, scheme: str
) -> None:
    browser.look(375, scheme)
    browser.open(f"{address}/{path}", heading)
    for summary in browser.driver.find_elements("css selector", "summary"):
        summary.click()
    widths = browser.run("const e = document.scrollingElement; return [e.scrollWidth, innerWidth]")
    assert widths == [375, 375], "nothing is wider than the screen"
    text = browser.text("body")
    assert not re.search(r"NaN|Infinity|undefined|\bnull\b|\[object", text)
    drawings = browser.run("return [...document.querySelectorAll('svg')].map((e) => e.outerHTML)")
    assert not [drawing for drawing in drawings if "NaN" in drawing]
    missing = [line for line in browser.complaints() if "404" not in line]
    assert not missing
    outside = [
        url for url in browser.requests() if not url.startswith((address, "data:", "about:"))
    ]
    assert not outside


@pytest.mark.parametrize("width", [320, 480, 600, 768, 820, 900, 1020, 1024, 1280])
def test_no_screen_is_too_narrow(browser: Browser, address: str, width: int) -> None:
    browser.look(width)
    for path in ("#/", "#/acme/support", "#/xss/inject"):
        browser.open(f"{address}/{path}", PAGES[path])
        beyond = "const e = document.scrollingElement; return e.scrollWidth - e.clientWidth"
        assert browser.run(beyond) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(browser: Browser, address: str, scheme: str) -> None:
    browser.look(1280, scheme)
    script = """
      const parse = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = (color) => color.slice(0, 3).map((c) => c / 255)
        .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (e) => {
        for (; e; e = e.parentElement) {
          const color = parse(getComputedStyle(e).backgroundColor);
          if (color.length === 3 || color[3] > 0) return color;
        }
      };
      const ratio = (e) => {
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      };
      const all = [...document.querySelectorAll(
        "h1, h2, p, td, th, dt, dd, a, span, button, summary")];
      return [all.length, Math.min(...all.filter((e) => e.innerText).map(ratio)),
        light(ground(document.body))];
    """
    for path in ("#/", "#/acme/support", "#/hooli/notes"):
        browser.open(f"{address}/{path}", PAGES[path])
        number, least, ground = browser.run(script)
        assert number > 20
        assert least >= 4.5
        assert (ground < 0.05) is (scheme == "dark")


def test_what_users_wrote_stays_text(browser: Browser, address: str) -> None:
    for path, heading in (("#/", "5 adapters"), ("#/xss/inject", "xss/inject")):
        browser.open(f"{address}/{path}", heading)
        assert HARM in browser.text("main")
        assert browser.count("main :is(img, script, iframe, svg svg)") == 0
        assert "harmed" not in browser.driver.title
    assert browser.text(".samples .text") == HARM
    assert HARM in browser.texts(".rollouts .label")
    assert {INJECT.classes[1], INJECT.classes[2]} <= set(browser.texts(".shares .label"))
    assert browser.count("script") == 2
    assert not browser.complaints(), "nothing even tried"


def test_injected_markup_is_refused_by_the_policy(browser: Browser, address: str) -> None:
    browser.open(address, "5 adapters")
    with pytest.raises(Exception, match="TrustedHTML"):
        browser.run("document.body.innerHTML = '<img src=x onerror=1>'")


def test_keys_are_asked_for_kept_in_the_tab_and_forgotten(browser: Browser) -> None:
    with serving(FakeReports(), keyed=True) as server:
        browser.open(f"{server.address}/#/globex/spam", "A key is needed")
        assert "globex" not in browser.text("main")
        browser.find("#key").send_keys("wrong", Keys.ENTER)
        browser.wait(lambda: "That key was not taken" in browser.text("main"))
        browser.find("#key").send_keys(ADMIN, Keys.ENTER)
        browser.wait(lambda: browser.text("h1") == "globex/spam")
        browser.driver.refresh()
        browser.wait(lambda: browser.text("h1") == "globex/spam")
        browser.find("#forget").click()
        browser.wait(lambda: browser.text("h1") == "A key is needed")
        assert browser.run("return sessionStorage.length") == 0
        assert not [url for url in browser.requests() if ADMIN in url or "wrong" in url]


def test_a_tenant_s_key_shows_its_own_adapters_alone(browser: Browser) -> None:
    with serving(FakeReports(problems=("of the sidecar",)), keyed=True) as server:
        browser.open(server.address, "A key is needed")
        browser.find("#key").send_keys(TENANT, Keys.ENTER)
        browser.wait(lambda: browser.text("h1") == "1 adapter")
        assert browser.texts(".fleet .of-name a") == ["acme/support"]
        assert browser.count("#fleet") == 0
        assert browser.text("#banners") == ""
        assert "events read" not in browser.text("footer")
        browser.open(f"{server.address}/#/globex/spam", "Not here")
        browser.run("sessionStorage.clear()")


def test_an_open_page_shows_what_is_new_and_leaves_its_reader_in_peace(browser: Browser) -> None:
    reports = FakeReports()
    with serving(reports) as server:
        browser.open(server.address, "5 adapters")
        browser.find("#search").send_keys("acme")
        reports.cases = (*CASES, dataclasses.replace(SPAM, tenant="acme", adapter="new"))
        reports.made_s += 60
        browser.wait(lambda: browser.text("h1") == "6 adapters")
        assert browser.texts(".fleet .of-name a") == ["acme/support", "acme/new"]
        assert browser.run("return document.activeElement.id") == "search"
        assert browser.run("return document.activeElement.value") == "acme"
        browser.open(f"{server.address}/#/acme/support", "acme/support")
        browser.find("#history-summary").click()
        before = browser.text("#age time")
        reports.made_s += 60
        browser.wait(lambda: browser.text("#age time") != before)
        assert browser.run("return document.querySelector('#history').open")
        assert browser.run("return document.activeElement.id") == "history-summary"


def test_a_paused_page_asks_for_nothing(browser: Browser) -> None:
    reports = FakeReports()
    with serving(reports) as server:
        browser.open(server.address, "5 adapters")
        browser.find("#pause").click()
        assert "paused" in browser.text("#age")
        asked = len(reports.asked)
        time.sleep(5.5)  # longer than the time between two refreshes
        assert len(reports.asked) == asked
        browser.find("#pause").click()
        browser.wait(lambda: len(reports.asked) > asked)


def test_a_late_sidecar_and_its_problems_are_told_at_the_top(browser: Browser) -> None:
    problem = "the webhook refused 3 triggers: look at its log"
    with serving(FakeReports(lag_s=7200.0, problems=(problem,))) as server:
        browser.open(f"{server.address}/#/acme/support", "acme/support")
        told = browser.text("#banners")
        assert "The sidecar is 2 h behind the log; 46.1 MiB wait in 3 segments." in told
        assert problem in told


def test_a_sidecar_that_is_gone_is_told_and_its_last_figures_stay(browser: Browser) -> None:
    with serving(FakeReports()) as server:
        browser.open(server.address, "5 adapters")
        server.stop()
        browser.wait(lambda: "The sidecar cannot be asked" in browser.text("#banners"))
        assert browser.count(".fleet tbody tr") == 5


def test_figures_that_do_not_change_any_more_are_told_to_be_old(
    browser: Browser, address: str
) -> None:
    browser.open(address, "5 adapters")
    assert browser.text("#banners") == ""
    browser.run("const now = performance.now(); performance.now = () => now + 90000")
    browser.wait(lambda: "has made no new figures for 90 s" in browser.text("#banners"))


def test_times_are_local_and_have_utc_at_hand(browser: Browser, address: str) -> None:
    browser.command("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
    try:
        browser.open(f"{address}/#/acme/support", "acme/support")
        ended = browser.find(".window-told time:last-of-type")
        assert ended.text == "23:30:00"
        assert ended.get_attribute("title") == "2025-03-31 14:30:00 UTC"
        assert ended.get_attribute("datetime") == "2025-03-31T14:30:00.000Z"
    finally:
        browser.command("Emulation.setTimezoneOverride", timezoneId="")


def test_the_pointer_reads_the_drift_of_a_moment(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#/acme/support", "acme/support")
    before = browser.text(".readout")
    script = """
      const drawing = document.querySelector(".timeline svg");
      const box = drawing.getBoundingClientRect();
      const x = box.left + box.width / 4, y = box.top + box.height / 2;
      drawing.dispatchEvent(new PointerEvent("pointermove", {clientX: x, clientY: y}));
    """
    browser.run(script)
    assert browser.text(".readout") != before
    browser.run("document.querySelector('.timeline svg').dispatchEvent(new Event('pointerleave'))")
    assert browser.text(".readout") == before


def test_groups_of_points_can_be_hidden(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#/acme/support", "acme/support")
    shown = (
        "return getComputedStyle(document.querySelector('.points-reference')).display !== 'none'"
    )
    assert browser.run(shown)
    browser.find("#show-reference").click()
    assert not browser.run(shown)


def test_it_can_be_used_and_understood_without_eyes_or_mouse(
    browser: Browser, address: str
) -> None:
    browser.open(address, "5 adapters")
    browser.find("body").send_keys(Keys.TAB)
    assert browser.run("return document.activeElement.id") == "skip"
    for _ in range(20):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        if browser.run("return document.activeElement.id") == "/acme/support":
            break
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    browser.wait(lambda: browser.text("h1") == "acme/support")
    nameless = browser.run("""
      const named = (e) => e.getAttribute("aria-label") || e.getAttribute("aria-hidden") === "true"
        || e.labels?.length || e.innerText;
      return [...document.querySelectorAll("svg, input, select, button, a, nav, .scroll")]
        .filter((e) => !named(e) && !e.closest("[aria-hidden=true], [hidden]"))
        .map((e) => e.outerHTML.slice(0, 120));
    """)
    assert nameless == []
    assert browser.count("table:not(:has(caption)):not([aria-label])") == 0
    ids = browser.run("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_a_thousand_adapters_are_a_page_of_a_hundred_and_all_on_demand(browser: Browser) -> None:
    with serving(FakeReports(more=995)) as server:
        browser.open(server.address, "1,000 adapters")
        assert browser.count(".fleet tbody tr") == 100
        browser.find("#search").send_keys("adapter-0994")
        assert browser.texts(".fleet .of-name a") == ["tenant-0331/adapter-0994"]
        browser.find("#search").send_keys(Keys.BACKSPACE * 20)
        assert browser.text("#show-all") == "Show 900 more"
        browser.find("#show-all").click()
        assert browser.count(".fleet tbody tr") == 1000


def test_a_fleet_without_adapters_says_so(browser: Browser) -> None:
    with serving(FakeReports(cases=())) as server:
        browser.open(server.address, "0 adapters")
        assert "No predictions are in the log yet" in browser.text("main")


@pytest.fixture
def static(tmp_path: Path) -> str:
    reports = FakeReports(more=3)
    adapters = [adapter_of(case) for case in CASES]
    path = tmp_path / "report.html"
    path.write_text(render(reports.fleet(), adapters, lines_max=7), "utf-8")
    return path.as_uri()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.tenant)
def test_a_static_report_shows_what_the_page_shows(
    browser: Browser, address: str, static: str, case: Any
) -> None:
    path, name = f"#/{case.tenant}/{case.adapter}", f"{case.tenant}/{case.adapter}"
    browser.open(f"{address}/{path}", name)
    served = browser.text("main")
    browser.requests()
    browser.open(f"{static}{path}", name)
    assert browser.text("main") == served
    assert {url.partition(":")[0] for url in browser.requests()} <= {"file", "data", "about"}
    assert not browser.complaints()


def test_a_static_report_needs_nobody_and_says_what_it_leaves_out(
    browser: Browser, static: str
) -> None:
    browser.open(static, "7 adapters")
    assert browser.count(".fleet .of-name a") == 5
    assert browser.texts(".fleet .of-name > span:first-child") == [
        "tenant-0000/adapter-0000",
        "tenant-0000/adapter-0001",
    ]
    told = browser.text("#left-out")
    assert "1 adapter with less to worry about is left out of this table" in told
    assert "3 adapters have no page of their own in this report" in told
    assert browser.text("#age") == "report of 31 Mar 2025 14:30"
    assert not browser.find("#pause").is_displayed()
    browser.find(".fleet .of-name a").click()
    browser.wait(lambda: browser.text("h1") == "acme/support")
    assert not browser.complaints()
