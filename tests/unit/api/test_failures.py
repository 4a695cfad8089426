import asyncio

import pytest
from prometheus_client import CollectorRegistry

from service.api.call import Call, ClientLeft
from service.api.failures import FailedRequests, Watched
from service.errors import AdapterUnreadable, DeadlinePassed, QueueFull, TenantLimited
from service.events.records import Failure
from service.metrics import Metrics, Objectives
from service.registry.records import Logged, Role, Route, TenantSettings
from tests.fakes.event_log import FakeEventLog


def route_of(role: Role = "canary", sample: float = 1.0) -> Route:
    settings = TenantSettings(log=Logged(sample=sample))
    return Route("acme", "support", 3, "sha256:d", ("a", "b"), False, settings, role)


class Made:
    def __init__(self, *, enabled: bool = True, drawn: float = 0.5) -> None:
        self.log = FakeEventLog()
        self.metrics = Metrics(CollectorRegistry(), 10)
        self.failures = FailedRequests(
            self.log, self.metrics, "sha256:b", enabled=enabled, random=lambda: drawn
        )

    def failed(self, route: Route, code: str, inputs: int) -> None:
        self.failures.note(route, code, inputs)

    def told(self) -> list[tuple[str, str, int]]:
        self.failures.tell()
        events = [event for write in self.log.writes for event in write]
        self.log.writes.clear()
        return [
            (event.role, event.code, event.count) for event in events if isinstance(event, Failure)
        ]


def run(
    made: Made, error: BaseException | None, role: Role = "canary", given_ms: str | None = None
) -> None:
    headers = {} if given_ms is None else {b"x-timeout-ms": given_ms.encode()}
    call = Call(headers, 0.0, "request", [])
    with Watched(made, route_of(role), 1, call, Objectives(default_s=0.5)):
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AdapterUnreadable("x"), "adapter-unreadable"),
        (QueueFull("x"), "queue-full"),
        (DeadlinePassed("x"), "deadline-passed"),
        (RuntimeError("x"), "internal"),
    ],
)
def test_what_is_our_fault_is_noted_and_goes_on(error: Exception, code: str) -> None:
    made = Made()
    with pytest.raises(type(error)):
        run(made, error)
    assert made.told() == [("canary", code, 1)]


@pytest.mark.parametrize("error", [TenantLimited("x", 1.0), ClientLeft(), asyncio.CancelledError()])
def test_what_is_not_our_fault_is_not_noted(error: BaseException) -> None:
    made = Made()
    with pytest.raises(type(error)):
        run(made, error)
    run(made, None)
    assert made.told() == []


@pytest.mark.parametrize(("given_ms", "noted"), [("1", 0), ("499", 0), ("500", 1), (None, 1)])
def test_a_caller_who_gave_less_time_than_the_objective_is_no_failure_of_ours(
    given_ms: str | None, noted: int
) -> None:
    made = Made()
    with pytest.raises(DeadlinePassed):
        run(made, DeadlinePassed("x"), given_ms=given_ms)
    assert len(made.told()) == noted
    with pytest.raises(QueueFull):
        run(made, QueueFull("x"), given_ms=given_ms)
    assert made.told() == [("canary", "queue-full", 1)]


def test_they_are_counted_by_role_and_code_and_told_once() -> None:
    made = Made()
    for _ in range(3):
        made.failures.note(route_of("canary"), "queue-full", 1)
    made.failures.note(route_of("live"), "queue-full", 1)
    made.failures.note(route_of("canary"), "internal", 1)
    told = made.told()
    assert sorted(told) == [
        ("canary", "internal", 1),
        ("canary", "queue-full", 3),
        ("live", "queue-full", 1),
    ]
    assert made.told() == []


def test_of_a_sampled_tenant_as_many_count_as_leave_something_in_the_log() -> None:
    made = Made(drawn=0.5)
    made.failures.note(route_of(sample=0.4), "internal", 1)  # 0.4 of such requests are logged
    made.failures.note(route_of(sample=0.4), "internal", 2)  # 0.64 of these
    made.failures.note(route_of(sample=0.0), "internal", 1_000)
    assert made.told() == [("canary", "internal", 1)]


def test_without_an_event_log_nothing_is_told() -> None:
    made = Made(enabled=False)
    made.failures.note(route_of(), "internal", 1)
    assert made.told() == []
