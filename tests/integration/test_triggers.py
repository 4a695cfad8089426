"""Retrain triggers on their way: real sockets, real files, processes that are killed."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from examples.retrain_receiver.verification import key_of as receiver_key
from examples.retrain_receiver.verification import verify
from monitoring.report import TriggerReport
from monitoring.triggers.delivery import Delivery
from monitoring.triggers.outbox import reports
from monitoring.triggers.posting import HttpPoster
from monitoring.triggers.retries import Outcome, Retries
from monitoring.triggers.signature import keys_of
from tests.fakes.hooks import (
    Answer,
    endless_body,
    hang_up,
    hook,
    say_nothing,
    status,
    trickle,
)
from tests.fakes.patience import until
from tests.fakes.triggers import FakeDatabase, raised

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-thirty-two-characters"
TIMEOUT_S = 0.5
# As the real ones, only sooner: an attempt still ends before the next may begin.
SOON = Retries(attempts=8, first_s=0.8, factor=1.0, jitter=0.1, oldest_s=1e12)


class WallClock:
    def now_s(self) -> float:
        return time.time()


@contextmanager
def delivering(database: FakeDatabase, address: str) -> Iterator[Delivery]:
    poster = HttpPoster(address, TIMEOUT_S)
    delivery = Delivery(database, poster, WallClock(), keys_of(SECRET), SOON, poll_s=0.05)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close()


def report_of(database: FakeDatabase) -> TriggerReport:
    with database.read() as connection:
        [report] = reports(connection)
    return report


def post(answer: Answer) -> Outcome:
    with hook(answer) as receiver:
        outcome = HttpPoster(receiver.address, TIMEOUT_S).post(b"{}", {})
        assert len(receiver.requests) == 1
        return outcome


def test_a_receiver_that_fails_says_nothing_and_hangs_up_gets_it_in_the_end(
    tmp_path: Path,
) -> None:
    database = FakeDatabase(tmp_path / "state.sqlite3")
    with hook(status(503), say_nothing, hang_up, status(202)) as receiver:
        with delivering(database, receiver.address) as delivery:
            database.store(raised())
            delivery.wake()
            until(lambda: report_of(database).delivered == "delivered")
        bodies = [body for body, _ in receiver.requests]
        assert len(bodies) == 4
        assert len(set(bodies)) == 1
        for body, headers in receiver.requests:
            event_id = verify(headers, body, receiver_key(SECRET), time.time())
            assert event_id == report_of(database).id
            assert headers["content-type"] == "application/cloudevents+json"
    assert report_of(database).attempts == 4


@pytest.mark.parametrize("answer", [say_nothing, trickle])
def test_an_attempt_ends_after_the_stated_time_and_not_when_the_receiver_does(
    answer: Answer,
) -> None:
    assert post(answer) == Outcome(None, "no answer within 0.5 s")


def test_an_answer_counts_by_its_status_and_its_body_is_not_waited_for() -> None:
    assert post(endless_body).status == 200


def test_a_redirect_is_not_followed() -> None:
    with hook(status(200)) as other:
        assert post(status(307, f"location: {other.address}")).status == 307
        assert other.requests == []


def test_what_a_receiver_asks_for_is_heard() -> None:
    with hook(status(429, "retry-after: 120")) as receiver:
        assert HttpPoster(receiver.address).post(b"{}", {}).retry_after_s == 120.0
    with hook(status(503, "retry-after: Wed, 21 Oct 2015 07:28:00 GMT")) as receiver:
        assert HttpPoster(receiver.address).post(b"{}", {}).retry_after_s is None


def test_a_receiver_that_is_not_there_is_no_error() -> None:
    with hook(status(200)) as receiver:
        address = receiver.address
    outcome = HttpPoster(address, TIMEOUT_S).post(b"{}", {})
    assert (outcome.status, outcome.fault) == (None, "not reached: ConnectError")


def test_no_log_holds_what_an_address_may_hide(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    database = FakeDatabase(tmp_path / "state.sqlite3")
    with hook(status(401), status(200)) as receiver:
        address = receiver.address.replace("//", "//user:hidden@") + "/hidden?token=hidden"
        with delivering(database, address):
            database.store(raised())
            until(lambda: report_of(database).delivered == "delivered")
        assert receiver.requests[0][1]["authorization"].startswith("Basic ")
    assert "delivered" in caplog.text
    assert "hidden" not in caplog.text
    assert "hidden" not in report_of(database).detail


def test_two_deliveries_never_send_one_trigger_at_the_same_time(tmp_path: Path) -> None:
    database = FakeDatabase(tmp_path / "state.sqlite3")

    def slowly(connection: object) -> None:
        time.sleep(0.2)
        status(503)(connection)  # type: ignore[arg-type]

    with hook(slowly, slowly, slowly, status(200)) as receiver:
        with delivering(database, receiver.address), delivering(database, receiver.address):
            database.store(raised())
            until(lambda: report_of(database).delivered == "delivered")
        assert receiver.at_once_max == 1
        assert len(receiver.requests) == 4


# Stores a trigger as the checkpoint does, and dies before anything can be sent; or sends and dies
# before it can write down that it did.
_DIES = """
import os, signal, sys, time
from pathlib import Path
from monitoring.triggers.delivery import Delivery
from monitoring.triggers.posting import HttpPoster
from monitoring.triggers.retries import Retries
from tests.fakes.triggers import FakeDatabase, raised

class WallClock:
    def now_s(self):
        return time.time()

class Dying:
    def __init__(self, poster):
        self.poster = poster
    def post(self, body, headers):
        self.poster.post(body, headers)
        os.kill(os.getpid(), signal.SIGKILL)

file, address, when = sys.argv[1:]
database = FakeDatabase(Path(file))
assert database.store(raised())
if when == "sending":
    retries = Retries(first_s=0.8, factor=1.0, oldest_s=1e12)
    keys = [b"a-secret-of-thirty-two-characters"]
    Delivery(database, Dying(HttpPoster(address)), WallClock(), keys, retries).send_due()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("when", "times"), [("stored", 1), ("sending", 2)])
def test_what_a_killed_process_stored_the_next_one_sends(
    tmp_path: Path, when: str, times: int
) -> None:
    file = tmp_path / "state.sqlite3"
    with hook(status(200)) as receiver:
        killed = subprocess.run(
            [sys.executable, "-c", _DIES, str(file), receiver.address, when],
            cwd=ROOT,
            check=False,
            timeout=60,
        )
        assert killed.returncode == -signal.SIGKILL
        assert len(receiver.requests) == times - 1
        database = FakeDatabase(file)
        assert not database.store(raised()), "a replay raises it again, and stores nothing"
        with delivering(database, receiver.address):
            until(lambda: report_of(database).delivered == "delivered")
        bodies = {body for body, _ in receiver.requests}
        assert (len(receiver.requests), len(bodies)) == (times, 1)


def test_a_delivery_that_the_database_refuses_says_so_and_goes_on(tmp_path: Path) -> None:
    database = FakeDatabase(tmp_path / "state.sqlite3")
    with hook(status(200)) as receiver:
        database.store(raised())
        with database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE retrain_triggers RENAME TO gone")
        with delivering(database, receiver.address) as delivery:
            until(lambda: delivery.problem is not None)
            with database.write() as connection:
                connection.exec_driver_sql("ALTER TABLE gone RENAME TO retrain_triggers")
            until(lambda: report_of(database).delivered == "delivered")
            until(lambda: delivery.problem is None)


def test_closing_waits_for_the_attempt_that_is_under_way(tmp_path: Path) -> None:
    database = FakeDatabase(tmp_path / "state.sqlite3")
    reached, go_on = threading.Event(), threading.Event()

    def when_told(connection: object) -> None:
        reached.set()
        go_on.wait(20)
        status(200)(connection)  # type: ignore[arg-type]

    with hook(when_told) as receiver:
        with delivering(database, receiver.address):
            database.store(raised())
            assert reached.wait(20)
            threading.Timer(0.1, go_on.set).start()
        assert report_of(database).delivered == "delivered"


def test_the_example_receiver_takes_what_the_sidecar_sends_and_trains(tmp_path: Path) -> None:
    database = FakeDatabase(tmp_path / "state.sqlite3")
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    with hook(status(200)) as other:  # a port that was free a moment ago
        port = int(other.address.split(":")[2].split("/")[0])
    trainer = "import sys; print('trained', *sys.argv[1:])"
    command = [sys.executable, "-m", "examples.retrain_receiver", "--secret-file", str(secret)]
    command += ["--port", str(port), "--folder", str(tmp_path / "jobs")]
    command += ["--", sys.executable, "-c", trainer, "{tenant}.{adapter}", "{reason}"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            with delivering(database, f"{url}/retrain"), httpx.Client(trust_env=False) as client:
                database.store(raised())
                until(lambda: report_of(database).delivered == "delivered")
                until(lambda: client.get(f"{url}/jobs").json()[0]["state"] == "done")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) is not None
    [log] = (tmp_path / "jobs").glob("retrain_*.log")
    assert log.read_text() == "trained acme.router drift\n"


def test_the_example_receiver_says_what_it_lacks() -> None:
    def told(*words: str) -> str:
        command = [sys.executable, "-m", "examples.retrain_receiver", *words]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        return done.stderr

    assert "no secret: give --secret-file" in told("--", "true")
    assert "has 5 bytes" in told("--secret", "short", "--", "true")
    assert "{owner} is not one of" in told("--secret", SECRET, "--", "train", "{owner}")
