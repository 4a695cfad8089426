import json
from collections.abc import Mapping
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.report import TriggerReport
from monitoring.triggers.attempts import claim
from monitoring.triggers.delivery import Delivery
from monitoring.triggers.outbox import forget, reports
from monitoring.triggers.retries import Outcome, Retries
from monitoring.triggers.signature import signed_headers
from tests.fakes.triggers import NOW_US, FakeClock, FakeDatabase, FakeReceiver, raised

KEYS = (b"0123456789abcdef0123456789abcdef",)
RETRIES = Retries()
DAY_S = 86_400.0


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def only(database: FakeDatabase) -> TriggerReport:
    with database.read() as connection:
        [report] = reports(connection)
    return report


def test_what_is_stored_is_sent_signed_and_once(database: FakeDatabase, clock: FakeClock) -> None:
    receiver = FakeReceiver(202)
    delivery = Delivery(database, receiver, clock, KEYS)
    assert delivery.send_due() == 0
    database.store(raised())
    assert delivery.send_due() == 1
    assert delivery.send_due() == 0
    [(body, headers)] = receiver.sent
    event = json.loads(body)
    signed = signed_headers(event["id"], NOW_US // 1_000_000, body, KEYS)
    assert headers == {"content-type": "application/cloudevents+json", **signed}
    report = only(database)
    assert (report.delivered, report.attempts) == ("delivered", 1)
    assert report.detail.endswith("; answered 202")


def test_a_failed_attempt_is_made_again_later_with_the_same_body_and_a_new_signature(
    database: FakeDatabase, clock: FakeClock
) -> None:
    receiver = FakeReceiver(500, Outcome(None, "no answer within 10 s"), 200)
    delivery = Delivery(database, receiver, clock, KEYS)
    database.store(raised())
    assert delivery.send_due() == 1
    assert only(database).delivered == "waiting"
    assert delivery.send_due() == 0, "not at once"
    clock.time_s += RETRIES.first_s * 0.79
    assert delivery.send_due() == 0
    clock.time_s += RETRIES.first_s * 0.42
    assert delivery.send_due() == 1
    assert only(database).detail.endswith("; no answer within 10 s")
    clock.time_s += RETRIES.first_s * RETRIES.factor * 1.21
    assert delivery.send_due() == 1
    assert only(database).delivered == "delivered"
    bodies = {body for body, _ in receiver.sent}
    assert len(bodies) == 1
    assert len({headers["webhook-id"] for _, headers in receiver.sent}) == 1
    assert len({headers["webhook-signature"] for _, headers in receiver.sent}) == 3


def test_attempts_end_after_about_three_days(database: FakeDatabase, clock: FakeClock) -> None:
    receiver = FakeReceiver(503)
    delivery = Delivery(database, receiver, clock, KEYS)
    database.store(raised())
    began_s = clock.time_s
    while only(database).delivered == "waiting":
        delivery.send_due()
        clock.time_s += 60.0
        assert clock.time_s < began_s + 5 * DAY_S
    assert 2.3 * DAY_S < clock.time_s - began_s < 3.5 * DAY_S
    report = only(database)
    assert (report.delivered, report.attempts) == ("failed", RETRIES.attempts)
    assert report.detail.endswith("answered 503; given up after 19 attempts")
    clock.time_s += 30 * DAY_S
    assert delivery.send_due() == 0
    assert len(receiver.sent) == RETRIES.attempts


def test_a_receiver_that_is_gone_is_left_alone(database: FakeDatabase, clock: FakeClock) -> None:
    receiver = FakeReceiver(410)
    delivery = Delivery(database, receiver, clock, KEYS)
    database.store(raised())
    delivery.send_due()
    clock.time_s += DAY_S
    assert delivery.send_due() == 0
    assert only(database).delivered == "failed"


def test_a_receiver_that_asks_for_time_gets_it(database: FakeDatabase, clock: FakeClock) -> None:
    delivery = Delivery(
        database, FakeReceiver(Outcome(429, None, retry_after_s=3600.0), 200), clock, KEYS
    )
    database.store(raised())
    delivery.send_due()
    clock.time_s += 3599.0
    assert delivery.send_due() == 0
    clock.time_s += 1.0
    assert delivery.send_due() == 1


@pytest.mark.parametrize("fate", ["dry-run", "no-receiver"])
def test_what_is_not_to_be_sent_is_not(database: FakeDatabase, clock: FakeClock, fate: str) -> None:
    receiver = FakeReceiver(200)
    database.store(raised(), fate)  # type: ignore[arg-type]
    assert Delivery(database, receiver, clock, KEYS).send_due() == 0
    assert receiver.sent == []
    assert only(database).delivered == fate


def test_an_attempt_is_claimed_by_one_and_again_only_when_the_next_is_due(
    database: FakeDatabase,
) -> None:
    database.store(raised())
    now_s = NOW_US / 1e6
    with database.write() as connection:
        first = claim(connection, now_s, RETRIES, 0.0)
        assert first is not None
        assert first.number == 1
        assert claim(connection, now_s, RETRIES, 0.0) is None
        # As after a kill in the midst of the attempt: longer than an attempt can take.
        assert claim(connection, now_s + 11.9, RETRIES, 0.0) is None
        second = claim(connection, now_s + 12.1, RETRIES, 0.0)
    assert second is not None
    assert (second.key, second.number) == (first.key, 2)


def test_a_trigger_whose_last_attempt_was_never_settled_has_failed(database: FakeDatabase) -> None:
    database.store(raised())
    once = Retries(attempts=1)
    with database.write() as connection:
        assert claim(connection, NOW_US / 1e6, once, 0.5) is not None
        assert claim(connection, NOW_US / 1e6 + 60.0, once, 0.5) is None
    assert only(database).delivered == "failed"
    assert only(database).detail.endswith("; given up after 1 attempts")


def test_what_the_log_tells_of_long_ago_is_shown_but_not_sent(
    database: FakeDatabase, clock: FakeClock
) -> None:
    receiver = FakeReceiver(200)
    database.store(raised())
    clock.time_s += RETRIES.oldest_s + 1.0
    assert Delivery(database, receiver, clock, KEYS).send_due() == 0
    assert receiver.sent == []
    assert only(database).delivered == "failed"
    assert only(database).detail.endswith("; too old when it could be sent first")


def test_a_clock_that_was_wrong_once_delays_nothing_for_long(
    database: FakeDatabase, clock: FakeClock
) -> None:
    receiver = FakeReceiver(500, 200)
    clock.time_s += 2 * DAY_S
    delivery = Delivery(database, receiver, clock, KEYS)
    database.store(raised())
    delivery.send_due()
    clock.time_s -= 2 * DAY_S
    assert delivery.send_due() == 1
    assert only(database).delivered == "delivered"


def test_a_tenant_that_was_erased_meanwhile_stays_so(
    database: FakeDatabase, clock: FakeClock
) -> None:
    class Erasing(FakeReceiver):
        def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
            with database.write() as connection:
                forget(connection, "acme")
            return super().post(body, headers)

    database.store(raised())
    assert Delivery(database, Erasing(200), clock, KEYS).send_due() == 1
    with database.read() as connection:
        assert reports(connection) == ()


@given(st.lists(st.sampled_from([200, 301, 404, 410, 500, None]), min_size=1, max_size=25))
def test_whatever_comes_a_trigger_is_sent_until_delivered_gone_or_given_up(
    answers: list[int | None],
) -> None:
    database, clock = FakeDatabase(), FakeClock()
    receiver = FakeReceiver(*(Outcome(status, "no answer") for status in answers), 500)
    delivery = Delivery(database, receiver, clock, KEYS)
    database.store(raised())
    for _ in range(80):
        delivery.send_due()
        clock.time_s += RETRIES.longest_s * 1.21
    final = [answer for answer in answers[: RETRIES.attempts] if answer in {200, 410}]
    report = only(database)
    assert report.delivered == ("delivered" if final[:1] == [200] else "failed")
    expected = answers.index(final[0]) + 1 if final else RETRIES.attempts
    assert (report.attempts, len(receiver.sent)) == (expected, expected)


def test_what_one_attempt_meets_does_not_end_all_sending(
    database: FakeDatabase, clock: FakeClock
) -> None:
    class Broken:
        """A way to the receiver that fails as nobody foresaw."""

        def __init__(self) -> None:
            self.asked = Event()

        def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
            del body, headers
            self.asked.set()
            raise UnicodeError("a name that no resolver takes")

    poster = Broken()
    delivery = Delivery(database, poster, clock, KEYS, poll_s=0.01)
    database.store(raised())
    delivery.start()
    for _ in range(2):
        assert poster.asked.wait(20.0)
        poster.asked.clear()
        clock.time_s += DAY_S
        delivery.wake()
    delivery.close()
    assert only(database).delivered == "waiting"
