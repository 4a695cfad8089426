"""The rules, run by promtool, and what all of them have in common."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.generate import ROOM
from grafana.rules.files import alerts_yaml, recording_yaml
from grafana.slo import LIMITS, read
from tests.needs import needs_program

PROMTOOL = needs_program("promtool")
FOLDER = Path(__file__).with_name("promtool")
FILES = sorted(FOLDER.glob("*.yaml"))
RULES = ROOM / "generated" / "rules"
LONG = {"long-windows.yaml"}  # days of rules

BUDGETS = {
    "TenantryErrorBudgetBurn",
    "TenantryLatencyBudgetBurn",
    "TenantryTenantErrorBudgetBurn",
    "TenantryTenantLatencyBudgetBurn",
}
# What tells apart the rules of one name.
TELLING = ("severity", "window", "told_by")
RECORDED = re.compile(r"[a-z_]+:[a-z_]+:\w+")
Rule = tuple[str, tuple[tuple[str, str], ...]]


def loaded(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)


def rules_of(name: str) -> list[dict[str, Any]]:
    return [rule for group in loaded(RULES / name)["groups"] for rule in group["rules"]]


ALERTS = rules_of("alerts.yaml")
RECORDINGS = rules_of("recording.yaml")


def rule_of(alert: str, labels: Mapping[str, str]) -> Rule:
    return alert, tuple((name, labels[name]) for name in TELLING if name in labels)


def checks() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each alert that a case asks for, with what is expected."""
    for path in FILES:
        for case in loaded(path)["tests"]:
            for check in case["alert_rule_test"]:
                yield check["alertname"], check["exp_alerts"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(PROMTOOL), *map(str, arguments)]
    # A quarter of its time goes into collecting garbage, of which there is little.
    seldom = {**os.environ, "GOGC": "400"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=seldom)


def with_its_rules_alone(path: Path, folder: Path) -> Path:
    """Return the same cases over those rules alone that can change what they find.

    They are the alerts that the cases ask for, and the recordings that those read, and so on:
    promtool evaluates every rule that it is given at each step of each case, which takes minutes.
    """
    document = loaded(path)
    asked = {check["alertname"] for case in document["tests"] for check in case["alert_rule_test"]}
    wanted = [alert["expr"] for alert in ALERTS if alert["alert"] in asked]
    recorded: set[str] = set()
    while wanted:
        read = set(RECORDED.findall(wanted.pop())) - recorded
        recorded |= read
        wanted += [rule["expr"] for rule in RECORDINGS if rule["record"] in read]
    kept: set[str] = set()
    for name in (Path(one).name for one in document["rule_files"]):
        rules = loaded(RULES / name)
        for group in rules["groups"]:
            group["rules"] = [
                rule
                for rule in group["rules"]
                if rule.get("alert") in asked or rule.get("record") in recorded
            ]
        rules["groups"] = [group for group in rules["groups"] if group["rules"]]
        kept |= {group["name"] for group in rules["groups"]}
        (folder / name).write_text(yaml.dump(rules, Dumper=yaml.CSafeDumper), encoding="utf-8")
    document["rule_files"] = [Path(one).name for one in document["rule_files"]]
    if "group_eval_order" in document:
        document["group_eval_order"] = [n for n in document["group_eval_order"] if n in kept]
    alone = folder / path.name
    alone.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper), encoding="utf-8")
    return alone


@pytest.mark.parametrize("name", ["alerts.yaml", "recording.yaml"])
def test_prometheus_takes_the_rules(name: str) -> None:
    done = run("check", "rules", RULES / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration() -> None:
    done = run("check", "config", ROOM / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.long] if path.name in LONG else [])
        for path in FILES
    ],
)
def test_alerts_fire_and_stay_silent_as_they_must(path: Path, tmp_path: Path) -> None:
    done = run("test", "rules", with_its_rules_alone(path, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_case_in_which_it_fires() -> None:
    fired = {rule_of(name, one["exp_labels"]) for name, expected in checks() for one in expected}
    assert {rule_of(alert["alert"], alert["labels"]) for alert in ALERTS} == fired


def test_every_rule_has_a_case_in_which_it_is_silent() -> None:
    silent: set[Rule] = {rule_of("TenantryWatchdog", {"severity": "none"})}  # which never is
    for name, expected in checks():
        firing = {rule_of(name, one["exp_labels"]) for one in expected}
        own = {rule_of(name, alert["labels"]) for alert in ALERTS if alert["alert"] == name}
        silent |= own - firing
    assert {rule_of(alert["alert"], alert["labels"]) for alert in ALERTS} <= silent


def test_every_case_has_a_name_of_its_own() -> None:
    for path in FILES:
        names = [case["name"] for case in loaded(path)["tests"]]
        assert len(names) == len(set(names)), path.name


def test_every_alert_of_the_contract_is_made_and_no_other() -> None:
    assert {alert["alert"] for alert in ALERTS} == BUDGETS | LIMITS.keys()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_carries_what_a_person_needs(alert: dict[str, Any]) -> None:
    urls, owners = read().urls, read().owners
    assert alert["for"]
    assert alert["labels"]["severity"] in {"critical", "warning", "info", "none"}
    assert alert["labels"]["owner"] in owners
    annotations = alert["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert len(annotations["summary"]) < 130  # its template
    assert annotations["description"].endswith(".")
    assert annotations["runbook_url"] == f"{urls.runbooks}/{alert['alert']}.md"
    assert re.fullmatch(
        re.escape(urls.dashboards) + r"/tenantry-(debug|fleet|on-call|tenant)(\?var-.+)?",
        annotations["dashboard_url"],
    )


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_does_not_depend_on_an_instance(alert: dict[str, Any]) -> None:
    assert re.search(r"\binstance\s*[=!]", alert["expr"]) is None


def test_drift_is_never_a_page() -> None:
    for alert in ALERTS:
        if "Drift" in alert["alert"]:
            assert alert["labels"]["severity"] == "warning"


def test_recordings_are_named_by_level_metric_and_operation() -> None:
    for rule in RECORDINGS:
        assert re.fullmatch(r"[a-z_]+:tenantry_[a-z_]+:[a-z]+\d*[smhd]?", rule["record"])


def test_what_alerts_and_recordings_read_is_recorded() -> None:
    made = {rule["record"] for rule in RECORDINGS}
    for rule in (*ALERTS, *RECORDINGS):
        assert set(RECORDED.findall(rule["expr"])) <= made


def test_everything_of_a_file_with_one_class_and_other_windows_is_taken(tmp_path: Path) -> None:
    slo = read()
    other = slo.model_copy(
        update={
            "classes": {"standard": slo.standard},
            "windows": slo.windows[1:3],
            "period": "7d",
        }
    )
    for name, text in (("a.yaml", alerts_yaml(other)), ("r.yaml", recording_yaml(other))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        done = run("check", "rules", tmp_path / name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "increase7d" in (tmp_path / "r.yaml").read_text(encoding="utf-8")
