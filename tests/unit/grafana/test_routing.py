"""Who is told, asked of amtool; what Alertmanager does with it, `test_alertmanager.py` asks."""

import subprocess
from pathlib import Path

import pytest
import yaml

from grafana.alertmanager.inhibitions import OF_A_DEAD_SERVICE, documents, inhibitions
from grafana.alertmanager.routing import alertmanager_yaml
from grafana.generate import ROOM
from grafana.slo import LIMITS, SLO, parse, read
from tests.contract.test_alert_rules import BUDGETS
from tests.needs import needs_program

AMTOOL = needs_program("amtool")
CONFIG = ROOM / "alertmanager" / "alertmanager.yml"


def amtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(AMTOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def route(*labels: str) -> str:
    done = amtool("config", "routes", "test", f"--config.file={CONFIG}", *labels)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_alertmanager_takes_its_configuration() -> None:
    done = amtool("check-config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("owner", sorted(read().owners))
@pytest.mark.parametrize(
    ("severity", "urgency"), [("critical", "page"), ("warning", "ticket"), ("info", "info")]
)
def test_an_alert_goes_to_its_owner_as_urgently_as_it_is(
    owner: str, severity: str, urgency: str
) -> None:
    labels = ("alertname=TenantryDrift", "tenant=acme", f"severity={severity}", f"owner={owner}")
    assert route(*labels) == f"{owner}-{urgency}"


@pytest.mark.parametrize(
    ("severity", "urgency"), [("critical", "page"), ("warning", "ticket"), ("info", "info")]
)
def test_an_alert_of_nobody_goes_to_the_fallback(severity: str, urgency: str) -> None:
    assert route("alertname=Other", f"severity={severity}") == f"platform-{urgency}"
    assert route("alertname=Other", f"severity={severity}", "owner=x") == f"platform-{urgency}"


def test_an_alert_of_an_unknown_severity_is_a_ticket() -> None:
    assert route("alertname=Other", "severity=sev1") == "platform-ticket"
    assert route("alertname=Other") == "platform-ticket"


def test_the_heartbeat_goes_its_own_way_alone() -> None:
    labels = ("alertname=TenantryWatchdog", "severity=none", "owner=platform")
    assert route(*labels) == "heartbeat"
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    [own] = [one for one in document["route"]["routes"] if one["receiver"] == "heartbeat"]
    assert (own["group_interval"], own["repeat_interval"]) == ("1m", "50s")


def test_notifications_are_grouped_by_alert_and_tenant() -> None:
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert document["route"]["group_by"] == ["alertname", "cluster", "tenant"]


def test_inhibitions_name_alerts_that_there_are() -> None:
    known = BUDGETS | LIMITS.keys()
    assert set(OF_A_DEAD_SERVICE) <= known
    for one in inhibitions(read()):
        assert {one.source, *one.targets} <= known
        assert one.source not in one.targets


@pytest.mark.parametrize(
    ("availability", "matchers"),
    [
        ({"gold": 0.9995}, [['alertname=~"TenantryTenantErrorBudgetBurn"', 'class!~"gold"']]),
        ({"gold": 0.999}, [['alertname=~"TenantryTenantErrorBudgetBurn"']]),
        ({"standard": 0.9995}, []),  # and with it every class that is not listed
    ],
)
def test_classes_that_are_promised_more_are_told_though_everyone_fails(
    availability: dict[str, float], matchers: list[list[str]]
) -> None:
    document = yaml.safe_load(SLO.read_text(encoding="utf-8"))
    for name, share in availability.items():
        document["classes"][name]["availability"] = share
    found = [
        one["target_matchers"]
        for one in documents(parse(yaml.safe_dump(document)))
        if 'alertname="TenantryErrorBudgetBurn"' in str(one["source_matchers"])
    ]
    assert found == matchers


def test_no_secret_is_in_the_configuration() -> None:
    text = CONFIG.read_text(encoding="utf-8")
    assert "api_url:" not in text
    assert "password:" not in text
    assert "credentials:" not in text


def test_mail_takes_its_password_from_a_file(tmp_path: Path) -> None:
    document = yaml.safe_load(SLO.read_text(encoding="utf-8"))
    document["smtp"] |= {"username": "alerts", "password_file": "/run/secrets/mail"}
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_yaml(parse(yaml.safe_dump(document))), encoding="utf-8")
    assert "smtp_auth_password_file: /run/secrets/mail" in path.read_text(encoding="utf-8")
    done = amtool("check-config", path)
    assert done.returncode == 0, done.stdout + done.stderr
