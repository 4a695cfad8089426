"""Every query of the dashboards and rules, against a real Prometheus after a day full of events.

The service and the sidecar are real processes. Prometheus scrapes them by the project's own
configuration, with its rules; their expressions are as they are, only looked at more often. A month
before the day is backfilled, so that long windows have something to look at.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from examples.gameday import prometheus as prometheuses
from examples.gameday.programs import until
from examples.gameday.prometheus import Prometheus, Watching, check_config, prometheus
from examples.gameday.stack import PROMETHEUS, SERVICE_JOB, SIDECAR_JOB, rules_of
from examples.gameday.town import Town
from tests.fakes.otlp_receiver import otlp_receiver
from tests.fixtures_bundles import BundleCache
from tests.needs import needs_program
from tests.oncall.backfill import DAY_S, series_of, write_past, write_recorded
from tests.oncall.complaints import complaints_of
from tests.oncall.day import CANARY, DRIFTED, FLOODED, POISONED, WORSE, Day, day
from tests.oncall.questions import Question, Values, questions_of, variables_of
from tests.oncall.selectors import name_of, selectors_of
from tests.oncall.towns import town_of

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "grafana" / "generated" / "dashboards").glob("*.json"))
RULES = rules_of()
REFERENCE = [ROOT / "docs" / "reference" / f"{name}.md" for name in ("metrics", "monitor-metrics")]
INTERVAL = "1s"
PATIENCE_S = 60.0
PAST_DAYS = 31
STEP_S = 2.0
NOT_OURS = ("process_", "python_")  # of every program that uses prometheus_client

# What must have happened before anything is asked.
HAPPENED = (
    f'tenantry_drift_alarm{{tenant="{DRIFTED}"}} == 1',
    f'tenantry_retrain_trigger_timestamp_seconds{{tenant="{DRIFTED}"}}',
    f'tenantry_version_quarantined{{tenant="{POISONED}"}} == 1',
    f'tenantry_automatic_rollback_timestamp_seconds{{tenant="{WORSE}"}}',
    f'tenantry_canary_difference_ratio{{tenant="{CANARY}", measure="accuracy", bound="lower"}}',
    f'tenantry_limited_total{{tenant="{FLOODED}"}} > 0',
    'sum(tenantry_tenant_answers_total{class="gold", outcome="slow"}) > 5',
    'sum(tenantry_tenant_answers_total{class="standard", outcome="slow"}) > 5',
    'tenantry_spans_total{outcome="exported"} > 0',
    "tenantry_bank_evictions_total > 0",
    'sum(tenantry_tenant_answers_total{class="gold", outcome="failed"}) > 3',
    'sum(tenantry_tenant_answers_total{class="standard", outcome="failed"}) > 3',
    'ALERTS{alertname="TenantryDrift", alertstate="firing"}',
    'ALERTS{severity="critical", alertstate="firing"}',
    'count(tenantry_accuracy_ratio{method="labels"}) > 4',
    f'tenantry_canary_latency_difference_seconds{{tenant="{CANARY}", bound="lower"}}',
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A Prometheus that has seen the day, and the month before."""

    prometheus: Prometheus
    began_s: float
    pages: Mapping[str, str]  # what each job exports, as text

    @property
    def now_s(self) -> float:
        return time.time()

    def answer(self, question: Question) -> list[dict[str, Any]]:
        """Return what Prometheus answers as Grafana would ask it."""
        match question.kind:
            case "instant":
                return self.prometheus.query(question.expression)
            case "values":
                labels = self.prometheus.series(question.expression, self.began_s, self.now_s)
                return [dict(one) for one in labels]
            case "range" | "annotation":
                return self.prometheus.query_range(
                    question.expression, self.began_s, self.now_s, STEP_S
                )

    def matches(self, selector: str) -> bool:
        """Say whether a selector found a series at any time."""
        start_s = self.began_s - PAST_DAYS * DAY_S
        return bool(self.prometheus.series(selector, start_s, self.now_s))

    def shows(self, question: Question) -> bool:
        """Say whether an answer holds a number that can be drawn."""
        if question.kind == "values":
            return bool(self.answer(question))
        return any(
            value not in ("NaN", "+Inf", "-Inf")
            for series in self.answer(question)
            for _, value in series.get("values") or [series["value"]]
        )


@pytest.fixture(scope="module")
def town(bundle_cache: BundleCache) -> Town:
    return town_of(bundle_cache)


@pytest.fixture(scope="module")
def asked(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    needs_program("prometheus")
    needs_program("promtool")
    folder = tmp_path_factory.mktemp("day")
    with ExitStack() as opened:
        receiver = opened.enter_context(otlp_receiver())
        began_s = time.time()
        running = opened.enter_context(day(town, folder, receiver.url))
        config = configured(running, folder)
        data, log = folder / "prometheus", folder / "prometheus.log"
        with prometheus(config, data, log) as found:
            live(running, found)
            past = series_of(found, sorted(_names_of_rules()))
        first_s, last_s = round(began_s) - PAST_DAYS * DAY_S, round(began_s) - 600
        write_past(past, first_s, last_s, data, folder)
        with prometheus(config, data, log) as found:
            recording = next(rules for rules in RULES if rules.name == "recording.yaml")
            write_recorded(recording, found, first_s, last_s, data, folder)
        pages = {
            job: httpx.get(f"{url}/metrics", trust_env=False).raise_for_status().text
            for job, url in (
                (SERVICE_JOB, running.service.url),
                (SIDECAR_JOB, running.sidecar.url),
            )
        }
        found = opened.enter_context(prometheus(config, data, log))
        until(found.all_up, "Prometheus scraped both again", PATIENCE_S)
        until(lambda: bool(found.query("up offset 2s")), "it did so twice", PATIENCE_S)
        started_s = time.time()
        until(lambda: looked_at(found) > started_s + 3.0, "rules were looked at", PATIENCE_S)
        yield Asked(found, began_s, pages)


def live(running: Day, found: Prometheus) -> None:
    """Let the day happen, until Prometheus has seen all of it."""
    until(found.all_up, "Prometheus scraped both", PATIENCE_S)
    until(
        lambda: len(found.query("tenantry_drift_effect_ratio")) >= len(running.town.tenants),
        "every tenant has figures",
        PATIENCE_S,
    )
    running.begin()
    for expression in HAPPENED:
        running.ask_in_every_way()
        until(lambda asked=expression: bool(found.query(asked)), expression, PATIENCE_S)  # type: ignore[misc]
    running.ask_in_every_way()


def looked_at(found: Prometheus) -> float:
    """Return when the rules were last looked at, of those that wait longest for it."""
    groups = found.get("rules")["groups"]
    return min(datetime.fromisoformat(group["lastEvaluation"]).timestamp() for group in groups)


def configured(running: Day, folder: Path) -> Path:
    """Write the project's configuration with these targets, and rules that are looked at soon."""
    often = []
    for file in RULES:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in document["groups"]:
            group["interval"] = INTERVAL
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = INTERVAL
        often.append(folder / file.name)
        often[-1].write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    targets = {
        SERVICE_JOB: [host_of(running.service.url)],
        SIDECAR_JOB: [host_of(running.sidecar.url)],
    }
    config = prometheuses.configured(PROMETHEUS, Watching(targets, often, None, INTERVAL), folder)
    check_config(config)
    return config


def host_of(url: str) -> str:
    return url.removeprefix("http://")


def rules() -> list[tuple[str, Mapping[str, Any]]]:
    """Return each rule, with what a person finds it by."""
    return [
        (f"{file.name} / {group['name']} / {rule.get('record') or rule['alert']} {place}", rule)
        for file in RULES
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for place, rule in enumerate(group["rules"])
    ]


def _names_of_rules() -> set[str]:
    """Return the metrics that rules look at, and that no rule made."""
    named = {name_of(each) for _, rule in rules() for each in selectors_of(rule["expr"])}
    return {name for name in named if name.startswith("tenantry_") and "timestamp" not in name}


def values_of(file: Path, tenant: str) -> Values:
    """Return the values of a dashboard's variables, for somebody who looks at a tenant."""
    every: Mapping[str, str | tuple[str, ...]] = {
        "datasource": "prometheus",
        "tenant": tenant,
        "adapter": "triage",
        "version": ("1", "2"),
        "price": "1",
    }
    return Values({name: every[name] for name in variables_of(file)}, "8s", "120s")


def for_each_tenant(file: Path, town: Town) -> Iterator[list[Question]]:
    """Yield each question as it is asked for every tenant in turn."""
    by_tenant = [questions_of(file, values_of(file, tenant.name)) for tenant in town.tenants]
    yield from map(list, zip(*by_tenant, strict=True))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_of_a_dashboard_is_answered_and_shows_something(
    asked: Asked, town: Town, file: Path
) -> None:
    empty = [
        question[0].name
        for question in for_each_tenant(file, town)
        if not any(asked.shows(each) for each in question)
    ]
    assert empty == []


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_selector_of_a_dashboard_finds_series(asked: Asked, town: Town, file: Path) -> None:
    lost = {}
    for question in for_each_tenant(file, town):
        for each in zip(*(selectors_of(one.expression) for one in question), strict=True):
            if not any(asked.matches(selector) for selector in dict.fromkeys(each)):
                lost[each[0]] = question[0].name
    assert lost == {}


def test_every_rule_is_evaluated_without_an_error(asked: Asked) -> None:
    wrong = {}
    for name, rule in rules():
        try:
            asked.prometheus.query(rule["expr"])
        except Exception as error:  # noqa: BLE001 - all of them are wanted at once
            wrong[name] = str(error)
    assert wrong == {}
    told = [
        (rule["name"], rule["health"], rule.get("lastError"))
        for group in asked.prometheus.get("rules")["groups"]
        for rule in group["rules"]
        if rule["health"] == "err"
    ]
    assert told == []


def test_every_selector_of_a_rule_finds_series(asked: Asked) -> None:
    lost = {
        selector: name
        for name, rule in rules()
        for selector in selectors_of(rule["expr"])
        if not asked.matches(selector)
    }
    assert lost == {}


def test_every_recording_rule_records_something(asked: Asked) -> None:
    recorded = {rule["record"] for _, rule in rules() if "record" in rule}
    assert {name for name in recorded if not asked.matches(name)} == set()


def test_every_exported_metric_is_documented(asked: Asked) -> None:
    told = {name for name in exported(asked) if not name.startswith(NOT_OURS)}
    assert told - documented() == set()


def test_every_documented_metric_is_exported(asked: Asked) -> None:
    assert documented() - exported(asked) == set()


def test_every_metric_that_is_named_exists(asked: Asked, town: Town) -> None:
    known = exported(asked) | {rule["record"] for _, rule in rules() if "record" in rule}
    known |= {"ALERTS", "ALERTS_FOR_STATE", "up"}
    expressions = [rule["expr"] for _, rule in rules()]
    for file in DASHBOARDS:
        questions = questions_of(file, values_of(file, town.tenants[0].name))
        expressions += [question.expression for question in questions]
    named = {family(name_of(each)) for text in expressions for each in selectors_of(text)}
    assert named - {family(name) for name in known} == set()


def test_slow_requests_lead_to_traces(asked: Asked) -> None:
    for name in ("tenantry_request_seconds", "tenantry_queue_seconds", "tenantry_batch_seconds"):
        found = asked.prometheus.ask(
            "query_exemplars", query=f"{name}_bucket", start=asked.began_s, end=asked.now_s
        )
        labels = [one["labels"] for series in found for one in series["exemplars"]]
        assert labels, name
        assert all(re.fullmatch("[0-9a-f]{32}", one["trace_id"]) for one in labels)


def test_long_windows_reach_into_the_past(asked: Asked) -> None:
    for day_ago in (1, 3, 30):
        then = f"sum(increase(tenantry_tenant_answers_total[6h] offset {day_ago}d))"
        [found] = asked.prometheus.query(then)
        assert float(found["value"][1]) > 0
    [month] = asked.prometheus.query("sum(increase(tenantry_tenant_answers_total[30d]))")
    [three] = asked.prometheus.query("sum(increase(tenantry_tenant_answers_total[3d]))")
    assert float(month["value"][1]) > 5 * float(three["value"][1])
    [short] = asked.prometheus.query("service:tenantry_answers:increase1d")
    [long] = asked.prometheus.query("service:tenantry_answers:increase30d")
    assert float(long["value"][1]) > 20 * float(short["value"][1])


def exported(asked: Asked) -> set[str]:
    """Return the families that the two export, as their pages declare them."""
    found = re.findall(r"^# TYPE (\S+) \S+$", "\n".join(asked.pages.values()), re.MULTILINE)
    return {name for name in found if not name.endswith("_created")}


@pytest.mark.parametrize("job", [SERVICE_JOB, SIDECAR_JOB])
def test_promtool_finds_no_fault_with_what_a_process_exports(asked: Asked, job: str) -> None:
    page = asked.pages[job]
    assert "tenantry_" in page
    assert complaints_of(page, needs_program("promtool")) == []


def documented() -> set[str]:
    """Return the series that the reference names."""
    rows: Sequence[str] = [
        line for page in REFERENCE for line in page.read_text(encoding="utf-8").splitlines()
    ]
    return {found[1] for row in rows if (found := re.match(r"\| `(\w+)` \|", row))}


def family(name: str) -> str:
    """Return a metric without what its type adds to a series' name."""
    return re.sub(r"_(bucket|sum|count)$", "", name)
