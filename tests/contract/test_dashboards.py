"""Dashboards and their files: true of the code, of each other, and of what Prometheus accepts."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from grafana.dashboards.files import PRODUCERS
from grafana.lint.dashboards import complaints, read
from grafana.lint.document import Json, panels, queries, variables
from grafana.lint.promql import parse, selectors
from grafana.lint.series import Declared, Known, Recorded
from grafana.lint.variables import substituted
from grafana.slo import read as read_slo
from monitoring.web.declared import DECLARED
from service.metrics import Metrics
from tests.needs import needs_program

ROOM = Path(__file__).resolve().parents[2] / "grafana"
FILES = sorted((ROOM / "generated" / "dashboards").glob("*.json"))
UIDS_IN_ORDER = ("tenantry-fleet", "tenantry-on-call", "tenantry-tenant", "tenantry-debug")
UIDS = set(UIDS_IN_ORDER)

# Series that are exported, and that no dashboard and no rule asks for.
NOT_ASKED: dict[str, str] = {}


def service_metrics() -> list[Declared]:
    """Return what the service declares; an info's labels are those of its samples."""
    metrics = Metrics(CollectorRegistry())
    metrics.serves("bundle", "provider", "precision")
    samples = {
        sample.name: tuple(sample.labels)
        for family in metrics.registry.collect()
        for sample in family.samples
    }
    return [
        Declared(name, kind, samples[name] if kind == "info" else labels)
        for name, kind, labels, _ in metrics.declared()
    ]


def process_metrics() -> list[Declared]:
    """Return what prometheus_client tells of any process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return [
        Declared(sample.name, family.type)
        for family in registry.collect()
        for sample in family.samples
    ]


def rules(name: str) -> Iterator[dict[str, Any]]:
    document = yaml.safe_load((ROOM / "generated" / "rules" / name).read_text(encoding="utf-8"))
    for group in document["groups"]:
        yield from group["rules"]


def exported() -> list[Declared]:
    ours = [Declared(one.name, one.kind, one.labels) for one in DECLARED]
    return [*service_metrics(), *ours]


@pytest.fixture(scope="module")
def known() -> Known:
    recorded = [
        Recorded(rule["record"], rule["expr"], tuple(rule.get("labels", {})))
        for rule in rules("recording.yaml")
    ]
    return Known.of([*exported(), *process_metrics()], recorded)


@pytest.fixture(scope="module")
def documents() -> list[Json]:
    return read(FILES)


def test_dashboards_are_what_the_code_makes() -> None:
    slo = read_slo()
    made = {name: text(slo) for name, text in PRODUCERS}
    there = {str(path.relative_to(ROOM)): path.read_text(encoding="utf-8") for path in FILES}
    assert there == made, "run `make grafana`"


def test_there_are_four_and_nothing_is_wrong_with_them(documents: list[Json], known: Known) -> None:
    assert {document["uid"] for document in documents} == UIDS
    assert complaints(documents, known) == []


def test_every_exported_series_is_asked_for(documents: list[Json]) -> None:
    exprs = [expr for document in documents for _, expr in queries(document)]
    exprs += [rule["expr"] for name in ("recording.yaml", "alerts.yaml") for rule in rules(name)]
    asked = {one.name for expr in exprs for one in selectors(parse(substituted(expr)))}
    for document in documents:
        found = re.findall(r"label_values\((\w+)", json.dumps(document["templating"]))
        asked |= set(found)
    endings = ("", "_bucket", "_sum", "_count")
    never = {
        metric.name
        for metric in exported()
        if not any(metric.name + ending in asked for ending in endings)
    }
    assert never == NOT_ASKED.keys()


def test_prometheus_accepts_every_query(documents: list[Json], tmp_path: Path) -> None:
    promtool = needs_program("promtool")
    asked = [
        {"record": f"asked:{index}:query", "expr": substituted(expr)}
        for index, (_, expr) in enumerate(
            query for document in documents for query in queries(document)
        )
    ]
    assert len(asked) > 100
    file = tmp_path / "queries.yaml"
    group = {"groups": [{"name": "dashboards", "rules": asked}]}
    file.write_text(yaml.safe_dump(group), encoding="utf-8")
    ran = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(asked)} rules found" in ran.stdout


def test_what_needs_a_data_source_plugin_needs_prometheus_only(documents: list[Json]) -> None:
    kinds = {panel["type"] for document in documents for panel in panels(document)}
    assert kinds <= {"stat", "timeseries", "table", "bargauge", "state-timeline"}


def test_a_chosen_tenant_goes_from_each_dashboard_to_the_next(documents: list[Json]) -> None:
    choosing = [document for document in documents if "tenant" in variables(document)]
    assert {document["uid"] for document in choosing} == UIDS - {"tenantry-fleet"}
    for document in choosing:
        assert "adapter" in variables(document)


def test_the_guide_tours_every_panel(documents: list[Json]) -> None:
    guide = (ROOM.parent / "docs" / "guides" / "dashboards.md").read_text(encoding="utf-8")
    tours = dict(zip(("Fleet", "On call", "Tenant", "Debug"), UIDS_IN_ORDER, strict=True))
    for name, uid in tours.items():
        tour = guide.split(f"\n## {name}\n")[1].split("\n## ")[0]
        [document] = [one for one in documents if one["uid"] == uid]
        missing = [panel["title"] for panel in panels(document) if panel["title"] not in tour]
        assert missing == [], f"{name}: the guide does not tell of these"
