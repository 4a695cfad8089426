"""`tenantry monitor` as a process: what it answers, how it ends, what it says when it cannot."""

import json
import random
import re
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitoring.settings import MonitorSettings
from monitoring.sidecar import Sidecar
from service.registry.database import Database
from service.registry.keys import make
from service.registry.records import RegistryLimits
from tests.fakes.logs import DAY_S, written_log
from tests.fakes.patience import until
from tests.fakes.sidecar import Process, monitor, run
from tests.fakes.traffic import Tenant
from tests.fakes.waiting import PATIENCE_S
from tests.fakes.world import STEP_S, write_world

NAMES = ("drifts", "rolls", "shy")  # the first is in alarm
HOURS = 26.0
ADMIN = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def half_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all of them have buckets that suit the log, and look often."""
    monkeypatch.setenv("TENANTRY_MONITOR_BUCKET_S", str(round(STEP_S)))
    monkeypatch.setenv("TENANTRY_MONITOR_POLL_S", "0.1")


def settled(process: Process) -> None:
    """Wait until the last bucket of the log is over, by the clock."""
    process.wait_until_ready()
    until(lambda: _last_s(process) == DAY_S + HOURS * 3600)


def _last_s(process: Process) -> float:
    found: float = process.report("/shy/support")["versions"][0]["history"][-1]["time_s"]
    return found


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "events"
    write_world(folder, *NAMES, hours=HOURS)
    return folder


@pytest.fixture
def state(events: Path, tmp_path: Path) -> Path:
    """A state directory whose log was never read."""
    (tmp_path / "events").symlink_to(events, target_is_directory=True)
    return tmp_path


@pytest.fixture(scope="module")
def once(events: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose log was read without a break."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "events").symlink_to(events, target_is_directory=True)
    with closing(Sidecar(settings_of(folder))) as sidecar:
        sidecar.follower.catch_up()
    return folder


@pytest.fixture
def done(once: Path, state: Path) -> Path:
    """A state directory whose log was read before."""
    shutil.copytree(once / "monitor", state / "monitor")
    return state


def settings_of(state: Path) -> MonitorSettings:
    return MonitorSettings(state=state, bucket_s=round(STEP_S))


def tenants_of(fleet: dict[str, Any]) -> tuple[str, ...]:
    """Return the tenants, the worst first and the others by name."""
    first, *others = (line["tenant"] for line in fleet["adapters"])
    return (first, *sorted(others))


def timeless(fleet: dict[str, Any]) -> dict[str, Any]:
    """Return a report without what tells of now."""
    return fleet | {"made_s": 0, "log": fleet["log"] | {"lag_s": 0}}


def test_it_answers_as_the_wire_says_and_ends_with_0(done: Path) -> None:
    with monitor(done) as process:
        settled(process)
        http = process.http
        assert http.get("/livez").json() == {"live": True}
        assert http.get("/readyz").json() == {"ready": True}
        page = http.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        fleet = process.report()
        assert tenants_of(fleet) == NAMES
        assert fleet["adapters"][0]["state"] == "alarm"
        assert fleet["problems"] == []
        assert fleet["log"]["backlog_bytes"] == 0
        assert [line["tenant"] for line in process.report("/shy")["adapters"]] == ["shy"]
        adapter = process.report("/rolls/support")
        assert next((one["version"], one["role"]) for one in adapter["versions"]) == (2, "live")
        assert len(adapter["rollouts"]) == 3
        for path in ("/nobody", "/drifts/nothing"):
            answer = http.get(f"/v1/report{path}")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
        metrics = http.get("/metrics").text
        labels = '{adapter="support",tenant="drifts",version="1"}'
        assert f"tenantry_drift_alarm{labels} 1.0" in metrics
        assert "process_resident_memory_bytes" in metrics
        idle = re.search(r"^tenantry_monitor_idle_seconds (\S+)$", metrics, re.MULTILINE)
        assert idle is not None
        assert 0 <= float(idle[1]) < PATIENCE_S
        assert process.end(signal.SIGTERM) == 0
    last = json.loads(process.said[-1])
    assert (last["level"], last["message"]) == ("info", "stopped")
    assert not any("Traceback" in line for line in process.said)


def test_off_a_terminal_it_says_how_much_it_reads_and_when_it_has(state: Path) -> None:
    with monitor(state) as process:
        process.wait_until_ready()
        told = "\n".join(process.said)
        assert re.search(r'"reading the event log: \d+\.\d MB"', told)
        assert re.search(r'"caught up with the event log in \d+\.\d s"', told)
        assert {json.loads(line)["level"] for line in process.said} == {"info"}
        assert "\x1b" not in told, "no bar"


def test_a_signal_ends_it_while_it_catches_up(state: Path) -> None:
    with monitor(state, TENANTRY_MONITOR_CHECKPOINT_S="1000") as process:
        unready = process.http.get("/readyz")
        assert unready.status_code == 503
        assert unready.json()["reason"].startswith("catching up with the event log")
        assert process.end(signal.SIGTERM) == 0
    assert not any("caught up" in line for line in process.said)
    with monitor(state) as process:
        process.wait_until_ready()
        assert process.report()["log"]["events"] > 0


def test_a_second_sidecar_on_the_same_state_says_so_in_one_line(done: Path) -> None:
    with monitor(done) as process:
        second = run("--state", done, "--port", 0)
        assert second.returncode == 1
        assert second.stderr == (
            f"tenantry monitor: another sidecar works on {done / 'monitor'};"
            " stop it, or name another --state\n"
        )
        assert process.http.get("/livez").status_code == 200


def test_after_kill_9_at_any_moment_it_resumes(state: Path, once: Path) -> None:
    with closing(Sidecar(settings_of(once), reading=True)) as sidecar:
        expected = [sidecar.reports.fleet(), sidecar.reports.adapter("drifts", "support")]
    fleet, adapter = (json.loads(msgspec.json.encode(report)) for report in expected)
    draw = random.Random(3)
    for _ in range(3):
        with monitor(state, TENANTRY_MONITOR_CHECKPOINT_S="0.1") as process:
            time.sleep(draw.uniform(0.2, 1.0))
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
    with monitor(state) as process:
        settled(process)
        found = [process.report(), process.report("/drifts/support")]
    assert timeless(found[0]) == timeless(fleet)
    assert found[1] == adapter


def test_a_report_is_written_alone_and_beside_a_running_sidecar(state: Path) -> None:
    out = state / "report.html"
    alone = run("report", "--state", state, "--out", out)
    assert (alone.returncode, alone.stdout) == (0, f"wrote {out}\n"), alone.stderr
    assert alone.stderr == ""
    page = out.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert '"drifts"' in page
    assert "<script src" not in page
    told = run("--state", state, "report", "--json")
    assert told.returncode == 0
    fleet = json.loads(told.stdout)
    assert tenants_of(fleet) == NAMES
    with monitor(state) as process:
        process.wait_until_ready()
        assert timeless(process.report())["adapters"] == fleet["adapters"]
        beside = run("report", "--state", state, "--json", "--tenant", "shy")
        assert beside.returncode == 0, beside.stderr
        assert [line["tenant"] for line in json.loads(beside.stdout)["adapters"]] == ["shy"]
        assert run("report", "--state", state, "--out", out).returncode == 0
        assert process.http.get("/livez").status_code == 200


def test_a_report_of_nothing_is_refused_in_one_line(tmp_path: Path) -> None:
    none = run("report", "--state", tmp_path / "nowhere", "--json")
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr == (
        f"tenantry monitor: there is no event log in {tmp_path / 'nowhere'}; name another --state\n"
    )
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "events").mkdir()
    nobody = run("report", "--state", tmp_path, "--tenant", "nobody", "--json")
    assert nobody.returncode == 1
    assert nobody.stderr == "tenantry monitor: there is nothing of a tenant 'nobody' in the log\n"


def test_with_an_admin_key_each_sees_what_is_his(done: Path) -> None:
    database = Database(done)
    database.prepare()
    with database.write() as connection:
        made = "2025-03-31T09:30:00.000000+00:00"
        scopes: Any = frozenset({"predict"})
        _, key = make(connection, "shy", scopes, "tests", made, RegistryLimits())
    with monitor(done, TENANTRY_ADMIN_KEY=ADMIN) as process:
        operator, tenant = f"Bearer {ADMIN}", f"Bearer {key}"
        statuses = {
            (path, who): process.http.get(
                path, headers={"authorization": given} if given else {}
            ).status_code
            for path in ("/livez", "/readyz", "/metrics", "/v1/report", "/v1/report/rolls")
            for who, given in (("nobody", ""), ("operator", operator), ("tenant", tenant))
        }
        ready = {statuses["/readyz", who] for who in ("nobody", "operator", "tenant")}
        assert ready <= {200, 503}
        assert {who: statuses["/metrics", who] for who in ("nobody", "operator", "tenant")} == {
            "nobody": 401,
            "operator": 200,
            "tenant": 403,
        }
        assert statuses["/livez", "nobody"] == 200
        assert statuses["/v1/report", "nobody"] == 401
        assert statuses["/v1/report/rolls", "tenant"] == 404
        process.wait_until_ready()
        own = process.report(authorization=tenant)
        assert [line["tenant"] for line in own["adapters"]] == ["shy"]
        assert own["fleet"] is None
        assert own["log"]["events"] is None
        assert len(process.report(authorization=operator)["adapters"]) == 3


def test_it_waits_for_a_service_that_has_not_begun(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    with monitor(tmp_path) as process:
        process.wait_until_ready()
        [problem] = process.report()["problems"]
        assert problem == f"there is no event log in {folder} yet; the service makes it"
        assert any(problem in line for line in process.said)
        tenant = Tenant("late", seed=1)
        with written_log(folder) as log:
            tenant.send(log, 30, time_s=DAY_S)
            log.flush()
            until(lambda: bool(process.report()["adapters"]))
        fleet = process.report()
        assert fleet["problems"] == []
        assert fleet["adapters"][0]["predictions"] == 30
        assert process.end(signal.SIGTERM) == 0


def test_what_cannot_be_used_is_said_in_a_line_and_nothing_is_made(tmp_path: Path) -> None:
    for variables, words in (
        ({"TENANTRY_MONITOR_BUKET_S": "60"}, "did you mean TENANTRY_MONITOR_BUCKET_S?"),
        ({"TENANTRY_MONITOR_HOST": "0.0.0.0"}, "without an admin key"),
        ({"TENANTRY_MONITOR_BACKENDS": str(tmp_path / "none.json")}, "cannot be read"),
    ):
        found = run("--state", tmp_path / "state", "--port", 0, **variables)
        assert found.returncode == 1
        assert found.stdout == ""
        assert found.stderr.startswith("tenantry monitor: ")
        assert len(found.stderr.splitlines()) == 1, found.stderr
        assert words in found.stderr
        assert not (tmp_path / "state").exists()
    assert run(TENANTRY_MONITOR_PORT="0").stderr == (
        "tenantry monitor: TENANTRY_STATE is needed, or --state\n"
    )
