import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from examples.retrain_receiver.app import BODY_BYTES_MAX, make_app
from examples.retrain_receiver.ledger import Ledger
from examples.retrain_receiver.runner import Runner
from monitoring.triggers.event import body_of
from monitoring.triggers.signature import keys_of, signed_headers
from monitoring.triggers.trigger import key_of
from tests.fakes.patience import until
from tests.fakes.triggers import NOW_US, POLICY, raised

KEYS = keys_of("a-secret-of-thirty-two-characters")
NOW_S = NOW_US // 1_000_000
DAY_US = POLICY.cooldown_us
PYTHON = sys.executable
TELL = [PYTHON, "-c", "import sys; print(*sys.argv[1:])", "{tenant}", "{version}", "{event}"]
HANG = [PYTHON, "-c", "import time; print('began', flush=True); time.sleep(600)"]


@contextmanager
def receiver(folder: Path, command: list[str], at_once: int = 1) -> Iterator[TestClient]:
    ledger = Ledger(folder / "jobs.sqlite3")
    app = make_app(
        KEYS[0], ledger, Runner(ledger, command, folder, at_once), now_s=lambda: float(NOW_S)
    )
    with TestClient(app) as client:
        yield client


def request(tenant: str = "acme", day: int = 0) -> dict[str, Any]:
    trigger = raised(tenant, NOW_US + day * DAY_US)
    key = key_of(trigger, DAY_US)
    body = body_of(trigger, key)
    return {"content": body, "headers": signed_headers(key, NOW_S, body, KEYS)}


def states(client: TestClient) -> list[str]:
    return [job["state"] for job in client.get("/jobs").json()]


def test_an_event_starts_its_job_with_its_values(tmp_path: Path) -> None:
    with receiver(tmp_path, TELL) as client:
        answer = client.post("/retrain", **request())
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        until(lambda: states(client) == ["done"])
        [job] = client.get("/jobs").json()
    assert (job["adapter"], job["exit_status"]) == ("acme.router", 0)
    file = tmp_path / f"{job['id']}.json"
    assert file.read_bytes() == request()["content"]
    assert (tmp_path / f"{job['id']}.log").read_text() == f"acme 3 {file}\n"


def test_an_event_that_comes_twice_is_one_job(tmp_path: Path) -> None:
    with receiver(tmp_path, TELL) as client:
        client.post("/retrain", **request())
        again = client.post("/retrain", **request())
        assert (again.status_code, again.json()) == (200, {"status": "known"})
        assert len(states(client)) == 1
    with receiver(tmp_path, TELL) as client:
        assert client.post("/retrain", **request()).status_code == 200, "also after a restart"


def test_jobs_of_one_adapter_run_one_after_another_and_of_others_beside_it(
    tmp_path: Path,
) -> None:
    with receiver(tmp_path, HANG, at_once=2) as client:
        for tenant, day in (("acme", 0), ("acme", 1), ("globex", 0), ("initech", 0)):
            assert client.post("/retrain", **request(tenant, day)).status_code == 202
        assert states(client) == ["running", "waiting", "running", "waiting"]


def test_a_job_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    with receiver(tmp_path, HANG) as client:
        client.post("/retrain", **request())
        [job] = client.get("/jobs").json()
        log = tmp_path / f"{job['id']}.log"
        until(lambda: log.is_file() and log.read_text() == "began\n")
    with receiver(tmp_path, TELL) as client:
        until(lambda: states(client) == ["done"])


@pytest.mark.parametrize(
    ("command", "status"),
    [([PYTHON, "-c", "raise SystemExit(3)"], 3), (["/there/is/no/program"], 127)],
)
def test_a_job_that_fails_is_shown_and_the_next_one_runs(
    tmp_path: Path, command: list[str], status: int
) -> None:
    with receiver(tmp_path, command) as client:
        for day in (0, 1):
            client.post("/retrain", **request(day=day))
        until(lambda: states(client) == ["failed", "failed"])
        assert [job["exit_status"] for job in client.get("/jobs").json()] == [status, status]


def test_what_is_not_signed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with receiver(tmp_path, TELL) as client:
        forged = request()
        forged["headers"]["webhook-signature"] = "v1,AAAA"
        assert client.post("/retrain", **forged).status_code == 401
        assert client.post("/retrain", content=b"{}").status_code == 401
        old = signed_headers("retrain_1", NOW_S - 301, b"{}", KEYS)
        assert client.post("/retrain", content=b"{}", headers=old).status_code == 401
        assert states(client) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"type": "io.tenantry.other"}, "type: "),
        ({"specversion": "0.3"}, "specversion: "),
        ({"id": "../../etc"}, "id: "),
        ({"id": "retrain_other"}, "webhook-id is not the event's id"),
        ({"data": {"tenant": "../etc"}}, "data.tenant: "),
    ],
)
def test_what_is_no_such_event_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    event = msgspec.json.decode(request()["content"])
    key = event["id"]
    data = event["data"] | changes.pop("data", {})
    body = msgspec.json.encode({**event, "data": data, **changes})
    with receiver(tmp_path, TELL) as client:
        answer = client.post(
            "/retrain", content=body, headers=signed_headers(key, NOW_S, body, KEYS)
        )
        assert answer.status_code == 400
        assert told in answer.json()["detail"]
        assert states(client) == []


def test_more_than_an_event_can_be_is_not_read(tmp_path: Path) -> None:
    with receiver(tmp_path, TELL) as client:
        answer = client.post("/retrain", content=b" " * (BODY_BYTES_MAX + 1))
        assert answer.status_code == 413
