"""Which alerts are silent because another one says it already: asked of a real Alertmanager."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from grafana.alertmanager.inhibitions import OF_A_DEAD_SERVICE, inhibitions
from grafana.generate import ROOM
from grafana.slo import read
from tests.fakes.patience import until
from tests.needs import needs_program

START_S = 30.0
CONFIG = ROOM / "alertmanager" / "alertmanager.yml"
INHIBITIONS = inhibitions(read())
ACME = {"tenant": "acme", "adapter": "mail", "version": "3"}


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A running one; each case has a `cluster` of its own, which all inhibitions keep apart."""

    client: httpx.Client

    def silent(self, cluster: str, *alerts: dict[str, str]) -> set[str]:
        """Post alerts, and return the names of those that are inhibited.

        Inhibitions follow what was posted, in its order and a moment later: a pair that is known
        to have one is posted behind it.
        """
        self._post(cluster, *alerts)
        behind = f"{cluster}-behind"
        burn = alert("TenantryErrorBudgetBurn", "critical")
        self._post(behind, alert("TenantryServiceDown", "critical"), burn)
        until(lambda: self._inhibited(behind, 2) == {burn["alertname"]})
        return self._inhibited(cluster, len(alerts))

    def _post(self, cluster: str, *alerts: dict[str, str]) -> None:
        posted = [{"labels": {**alert, "cluster": cluster}} for alert in alerts]
        self.client.post("/api/v2/alerts", json=posted).raise_for_status()

    def _inhibited(self, cluster: str, count: int) -> set[str]:
        every = self.client.get("/api/v2/alerts").raise_for_status().json()
        found = [one for one in every if one["labels"]["cluster"] == cluster]
        assert len(found) == count
        return {one["labels"]["alertname"] for one in found if one["status"]["inhibitedBy"]}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    program = needs_program("prometheus-alertmanager")
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(program),
                f"--config.file={CONFIG}",
                f"--storage.path={folder / 'state'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            _wait(client, process, folder / "log")
            yield Alertmanager(client)
    finally:
        process.terminate()
        process.wait(10)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(log.read_text(encoding="utf-8"), pytrace=False)


def alert(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "owner": "platform", **labels}


PAIRS = [
    pytest.param(
        one.source, one.severity or "critical", target, one.equal, id=f"{one.source}-{target}"
    )
    for one in INHIBITIONS
    for target in one.targets
]


@pytest.mark.parametrize(("source", "severity", "target", "equal"), PAIRS)
def test_one_alert_silences_another(
    alertmanager: Alertmanager, source: str, severity: str, target: str, equal: tuple[str, ...]
) -> None:
    about = ACME if equal else {}
    alerts = (alert(source, severity, **about), alert(target, **ACME))
    assert alertmanager.silent(f"{source}-{target}", *alerts) == {target}


@pytest.mark.parametrize(
    ("source", "severity", "target", "equal"), [pair for pair in PAIRS if pair.values[3]]
)
def test_it_does_not_where_it_is_about_somebody_else(
    alertmanager: Alertmanager, source: str, severity: str, target: str, equal: tuple[str, ...]
) -> None:
    for label in equal:
        alerts = (alert(source, severity, **ACME), alert(target, **{**ACME, label: "other"}))
        assert alertmanager.silent(f"{source}-{target}-{label}", *alerts) == set()


def test_another_cluster_is_not_silenced(alertmanager: Alertmanager) -> None:
    down = alert("TenantryServiceDown", "critical")
    burn = alert("TenantryErrorBudgetBurn", "critical")
    assert alertmanager.silent("eu", down) == set()
    assert alertmanager.silent("us", burn) == set()


@pytest.mark.parametrize("name", ["TenantryErrorBudgetBurn", "TenantryTenantErrorBudgetBurn"])
def test_a_page_silences_the_ticket_of_the_same_alert_and_tenant(
    alertmanager: Alertmanager, name: str
) -> None:
    tenant = {"tenant": "acme"} if "TenantError" in name else {}
    page = alert(name, "critical", window="1h", **tenant)
    ticket = alert(name, window="1d", **tenant)
    assert alertmanager.silent(f"same-{name}", page, ticket) == {name}
    other = {**ticket, "tenant": "other"}
    assert alertmanager.silent(f"other-{name}", page, other) == set()


@pytest.mark.parametrize(
    "name", ["TenantryDiskFilling", "TenantryMonitorDown", "TenantryAdapterQuarantined"]
)
def test_a_dead_service_does_not_hide_why_it_died(alertmanager: Alertmanager, name: str) -> None:
    assert name not in OF_A_DEAD_SERVICE
    down = alert("TenantryServiceDown", "critical")
    assert alertmanager.silent(f"why-{name}", down, alert(name, "critical")) == set()


def test_a_dead_replica_silences_nobody(alertmanager: Alertmanager) -> None:
    some = alert("TenantryServiceDown", "warning")
    assert alertmanager.silent("some", some, alert("TenantryErrorBudgetBurn", "critical")) == set()


def test_a_ticket_of_a_burn_does_not_silence_the_pages_of_tenants(
    alertmanager: Alertmanager,
) -> None:
    slow = alert("TenantryErrorBudgetBurn", window="3d")
    page = alert("TenantryTenantErrorBudgetBurn", "critical", tenant="acme")
    assert alertmanager.silent("slow", slow, page) == set()


@pytest.mark.parametrize("sli", ["Error", "Latency"])
def test_everyone_fails_and_a_class_that_is_promised_more_is_told_all_the_same(
    alertmanager: Alertmanager, sli: str
) -> None:
    everyone = alert(f"Tenantry{sli}BudgetBurn", "critical")
    name = f"TenantryTenant{sli}BudgetBurn"
    for kind, silent in (("standard", {name}), ("free", {name}), ("gold", set())):
        page = alert(name, "critical", **{"tenant": "acme", "class": kind})
        assert alertmanager.silent(f"class-{sli}-{kind}", everyone, page) == silent


def test_a_quarantine_does_not_hide_what_else_fails(alertmanager: Alertmanager) -> None:
    quarantined = alert("TenantryAdapterQuarantined", "critical", **ACME)
    burn = alert("TenantryTenantErrorBudgetBurn", "critical", tenant="acme")
    assert alertmanager.silent("quarantine", quarantined, burn) == set()


def test_the_heartbeat_is_never_silenced(alertmanager: Alertmanager) -> None:
    everything = [alert(one.source, "critical", **ACME) for one in INHIBITIONS]
    unique = {one["alertname"]: one for one in everything}
    beat = alert("TenantryWatchdog", "none")
    assert "TenantryWatchdog" not in alertmanager.silent("beat", *unique.values(), beat)
