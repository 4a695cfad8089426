"""The linter of dashboards finds what is wrong with them, one thing at a time."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.dashboards import links, panels, variables
from grafana.dashboards.annotations import of_processes, of_tenants
from grafana.dashboards.board import Board, text_of
from grafana.dashboards.files import PRODUCERS
from grafana.dashboards.grid import Section, line
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of
from grafana.lint.dashboards import complaints
from grafana.lint.document import Json
from grafana.lint.series import Declared, Known
from grafana.slo import Slo
from grafana.slo import read as read_slo

_VERSION = ("tenant", "adapter", "version")
KNOWN = Known.of(
    [
        Declared("tenantry_predictions_total", "counter", _VERSION),
        Declared("tenantry_drift_effect_ratio", "gauge", _VERSION),
        Declared("tenantry_request_seconds", "histogram", ("route",)),
        Declared("tenantry_rollout_timestamp_seconds", "gauge", ("tenant", "adapter", "cause")),
        Declared("tenantry_automatic_rollback_timestamp_seconds", "gauge", (*_VERSION, "reason")),
        Declared("tenantry_retrain_trigger_timestamp_seconds", "gauge", (*_VERSION, "reason")),
        Declared("process_start_time_seconds", "gauge"),
    ]
)
ABOUT = "What it shows, and what to do when it is not as it should be."
CHOSEN = 'tenant=~"$tenant", adapter=~"$adapter"'


def board(uid: str) -> Json:
    """Return a small dashboard with nothing wrong."""
    drift = f"max by (tenant, adapter) (tenantry_drift_effect_ratio{{{CHOSEN}}})"
    rate = "sum by (tenant) (rate(tenantry_predictions_total[$__rate_interval]))"
    slow = (
        "histogram_quantile(0.9,"
        " sum by (le) (rate(tenantry_request_seconds_bucket[$__rate_interval])))"
    )
    steps: panels.Steps = ((None, "green"), (1, "red"))
    made = Board(
        uid=uid,
        about=ABOUT,
        since="now-1h",
        refresh="1m",
        variables=(
            variables.datasource(),
            variables.tenant(everyone=True),
            variables.adapter(everyone=True),
        ),
        annotations=(*of_tenants(), *of_processes()),
        sections=(
            Section(
                "A row",
                (
                    line(
                        8,
                        panels.graph("Rate", ABOUT, (Query(rate, "{{tenant}}"),), "reqps"),
                        panels.graph("Slow", ABOUT, (Query(slow, "p90", exemplars=True),), "s"),
                    ),
                    line(
                        6,
                        table_of(
                            "Drift",
                            ABOUT,
                            (
                                Value(drift, "Drift", "none", steps=steps),
                                Label(
                                    "tenant",
                                    "Tenant",
                                    links.of_row(links.TENANT, "tenant", "adapter"),
                                ),
                                Label("adapter", "Adapter"),
                            ),
                            nothing="unknown",
                        ),
                    ),
                ),
            ),
        ),
    )
    document: Json = json.loads(text_of(made))
    return document


@pytest.fixture
def boards() -> list[Json]:
    return [board(uid) for uid in links.TITLES]


def panel(document: Json, title: str) -> dict[str, Any]:
    [found] = [one for one in document["panels"] if one["title"] == title]
    assert isinstance(found, dict)
    return found


def test_nothing_is_wrong_with_these(boards: list[Json]) -> None:
    assert complaints(boards, KNOWN) == []


def _expr(title: str, expr: str) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        panel(document, title)["targets"][0]["expr"] = expr

    return change


def _set(title: str, *path: str | int, value: object) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        place: Any = panel(document, title)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def _drop_thresholds(document: Json) -> None:
    for override in panel(document, "Drift")["fieldConfig"]["overrides"]:
        override["properties"] = [one for one in override["properties"] if one["id"] == "unit"]


def _row_link(url: str) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        for override in panel(document, "Drift")["fieldConfig"]["overrides"]:
            for one in override["properties"]:
                if one["id"] == "links":
                    one["value"][0]["url"] = url

    return change


_RATED = "sum by (tenant) (rate(tenantry_predictions_total[{}]))"
_ROW = "var-tenant=${__data.fields.tenant}&${datasource:queryparam}&${__url_time_range}"


@pytest.mark.parametrize(
    ("breaks", "word"),
    [
        # words and units
        (_set("Rate", "title", value=""), "has no title"),
        (_set("Rate", "title", value="Slow"), "several panels"),
        (_set("Rate", "description", value="Rate."), "no description"),
        (_set("Rate", "fieldConfig", "defaults", "unit", value=""), "no unit"),
        (_set("Rate", "fieldConfig", "defaults", "noValue", value=""), "no words for no data"),
        (_set("Rate", "targets", value=[]), "no query"),
        (_drop_thresholds, "neither thresholds"),
        (lambda document: document.update(description=""), "no description"),
        (lambda document: document.update(schemaVersion=16), "schemaVersion"),
        (lambda document: document.update(id=7), "has an id"),
        (lambda document: document.update(editable=True), "editable"),
        # the data source
        (_set("Rate", "datasource", "uid", value="prometheus"), "the panel's data source"),
        (_set("Rate", "targets", 0, "datasource", value=None), "a query's data source"),
        (_set("Rate", "targets", 0, "refId", value=""), "refIds"),
        (lambda document: document["templating"]["list"].pop(0), "no variable `datasource`"),
        (
            lambda document: document["annotations"]["list"][0].update(datasource=None),
            "annotation Rollouts: its data source",
        ),
        (
            lambda document: document["templating"]["list"][1].update(datasource=None),
            "variable tenant: its data source",
        ),
        # places
        (_set("Rate", "id", value=1), "its id is not its own"),
        (_set("Rate", "gridPos", "w", value=13), "overlap"),
        (_set("Slow", "gridPos", "w", value=13), "not within 24 columns"),
        (_set("Slow", "gridPos", "h", value=0), "has no size"),
        (_set("Drift", "gridPos", "y", value=5), "overlap"),
        # queries
        (_expr("Rate", "sum by (tenant (x)"), "was expected"),
        (_expr("Rate", _RATED.format("5m")), "not over $__rate_interval"),
        (_expr("Rate", _RATED.format("$__range")), "not over $__rate_interval"),
        (_expr("Rate", _RATED.format("$__interval")), "not over $__rate_interval"),
        (_expr("Rate", "sum by (tenant) (tenantry_predictions_total)"), "drawn without a rate"),
        (
            _expr("Rate", "sum by (tenant) (rate(tenantry_drift_effect_ratio[$__rate_interval]))"),
            "which is no counter",
        ),
        (_expr("Rate", "sum by (tenant) (tenantry_nothing)"), "no series 'tenantry_nothing'"),
        (_expr("Rate", "max by (tenant) (tenantry_drift_effect_ratio{role='x'})"), "no label"),
        (_expr("Rate", "tenantry_drift_effect_ratio"), "depend on the instance"),
        (
            _expr("Rate", "max by (tenant) (tenantry_drift_effect_ratio{instance='a'})"),
            "chosen by instance",
        ),
        (_expr("Rate", "max (process_start_time_seconds)"), "none is chosen"),
        (_set("Rate", "targets", 0, "legendFormat", value="{{route}}"), "the legend names 'route'"),
        (_set("Rate", "targets", 0, "instant", value=True), "asks once only"),
        (_set("Rate", "targets", 0, "exemplar", value=True), "of no histogram"),
        (
            _expr("Rate", "max by (tenant) (tenantry_drift_effect_ratio{tenant=~'$teant'})"),
            "$teant is no variable",
        ),
        (
            _expr("Rate", 'max by (tenant) (tenantry_drift_effect_ratio{tenant="$tenant"})'),
            "matched as one",
        ),
        (
            lambda document: document["templating"]["list"].append(
                {"name": "idle", "type": "textbox", "query": "1"}
            ),
            "idle is for nothing",
        ),
        (
            lambda document: document["templating"]["list"][1]["query"].update(
                query="label_values(tenantry_predictions_total, tenants)"
            ),
            "asks for values of 'tenants'",
        ),
        # tables
        (_expr("Drift", "max by (tenant) (tenantry_drift_effect_ratio)"), "no column 'adapter'"),
        (
            _set("Drift", "fieldConfig", "overrides", 0, "matcher", "options", value="Drifting"),
            "no column is called 'Drifting'",
        ),
        # annotations
        (
            lambda document: document["annotations"]["list"][0].update(useValueForTime=False),
            "not taken for one",
        ),
        (
            lambda document: document["annotations"]["list"][0].update(
                expr="max by (tenant, adapter, cause) (tenantry_rollout_timestamp_seconds)"
            ),
            "not in milliseconds",
        ),
        (
            lambda document: document["annotations"]["list"][0].update(titleFormat="{{version}}"),
            "names 'version'",
        ),
        # ways
        (_row_link(f"/d/tenantry-nowhere?{_ROW}"), "leads nowhere"),
        (_row_link(f"/d/tenantry-tenant?var-tenants=a&{_ROW}"), "no variable 'tenants'"),
        (_row_link("/d/tenantry-tenant?${datasource:queryparam}"), "drops the time range"),
        (_row_link("/d/tenantry-tenant?${__url_time_range}"), "drops the data source"),
        (
            _row_link(f"/d/tenantry-tenant?var-adapter=${{__data.fields.route}}&{_ROW}"),
            "no column or label 'route'",
        ),
        (_row_link(f"/d/tenantry-tenant?var-adapter=${{klass}}&{_ROW}"), "no variable '${klass}'"),
        (lambda document: document["links"][0].update(url="/d/gone"), "leads nowhere"),
        (lambda document: document["links"].pop(), "no link to"),
        (lambda document: document["links"][0].update(keepTime=False), "drops variables or time"),
        (lambda document: document["links"][0].update(placement="inControlsMenu"), "hidden"),
    ],
)
def test_what_is_wrong_is_said(
    boards: list[Json], breaks: Callable[[Json], None], word: str
) -> None:
    broken = copy.deepcopy(boards)
    breaks(broken[0])
    found = complaints(broken, KNOWN)
    assert any(word in one for one in found), found
    assert all(one.startswith(broken[0]["uid"]) for one in found), found


def test_two_dashboards_of_one_uid_are_found(boards: list[Json]) -> None:
    assert "several dashboards have one uid" in complaints([*boards, boards[0]], KNOWN)


def test_panels_inside_of_a_collapsed_row_are_looked_at(boards: list[Json]) -> None:
    document = boards[0]
    row, *inner = document["panels"]
    document["panels"] = [row | {"collapsed": True, "panels": inner}]
    assert complaints(boards, KNOWN) == []
    inner[0]["fieldConfig"]["defaults"]["unit"] = ""
    assert complaints(boards, KNOWN) == [f"{document['uid']}: Rate: no unit"]


@pytest.mark.parametrize("name", [name for name, _ in PRODUCERS])
def test_a_dashboard_is_made_the_same_each_time(name: str) -> None:
    slo = read_slo()
    make = dict(PRODUCERS)[name]
    assert make(slo) == make(slo)


def test_objectives_come_from_the_file() -> None:
    slo = read_slo()
    make = dict(PRODUCERS)["generated/dashboards/on-call.json"]
    stricter = slo.service.model_copy(update={"availability": 0.95})
    changed: Slo = slo.model_copy(update={"service": stricter})
    assert "vector(0.05)" in make(changed)
    assert "vector(0.05)" not in make(slo)


def test_a_table_of_versions_has_no_rows_but_theirs() -> None:
    live = "max by (tenant, adapter, version) (tenantry_rollout_share_ratio)"
    made = table_of(
        "Live",
        ABOUT,
        (Value(live, "Share", "percentunit"), Value("x", "Drift", "none"), Label("tenant", "T")),
        nothing="unknown",
        only=live,
    ).build()
    targets = json.loads(json.dumps(made, cls=JSONEncoder))["targets"]
    exprs = [target["expr"] for target in targets]
    assert exprs == [live, f"(x) and on (tenant, adapter, version) {live}"]
