import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

import pytest
from prometheus_client import CollectorRegistry

from service.api import recording
from service.api.recording import LoggedChanges
from service.events.records import DurableEvent, Quarantine, RolloutEvent
from service.metrics import Metrics
from service.registry.records import Named, Rollout
from tests.fakes.event_log import FakeEventLog
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

AT = "2025-03-31T09:30:00.000000+00:00"
NAMED = Named("acme", "support", 3, "sha256:" + "d" * 64, ("refund",), deleted=False)


def roll(changes: LoggedChanges, revision: int) -> None:
    before, after = (
        Rollout("acme", "support", number, number, None, "ann", AT)
        for number in (revision - 1, revision)
    )
    changes.rolled(before, after, "ann", AT)


def revisions(log: FakeEventLog) -> list[list[int]]:
    return [[event.revision for event in write if isinstance(event, RolloutEvent)]
            for write in log.writes]  # fmt: skip


class Changes:
    def __init__(self, owed_max: int = 100) -> None:
        self.log = FakeEventLog()
        self.metrics = Metrics(CollectorRegistry(), 10)
        self.changes = LoggedChanges(self.log, self.metrics, owed_max=owed_max)

    @property
    def dropped(self) -> float:
        found = self.metrics.registry.get_sample_value(
            "tenantry_events_dropped_total", {"reason": "disk"}
        )
        assert found is not None
        return found


async def test_a_change_is_in_the_log_when_it_was_told() -> None:
    made = Changes()
    roll(made.changes, 7)
    made.changes.quarantined([NAMED], "inf in an answer")
    [rollout], [quarantine] = made.log.writes
    assert isinstance(rollout, RolloutEvent)
    assert isinstance(quarantine, Quarantine)
    assert (rollout.revision, rollout.after["live"]) == (7, 7)
    assert made.changes.owed == 0


async def test_what_the_log_cannot_take_comes_with_the_next_change_in_order() -> None:
    made = Changes()
    made.log.full = True
    roll(made.changes, 1)
    roll(made.changes, 2)
    assert made.changes.owed == 2
    made.log.full = False
    roll(made.changes, 3)
    assert revisions(made.log) == [[1, 2, 3]]
    assert (made.changes.owed, made.dropped) == (0, 0)


async def test_it_comes_by_itself_where_nothing_more_is_changed() -> None:
    made = Changes()
    made.log.full = True
    roll(made.changes, 1)
    settling = asyncio.create_task(made.changes.keep_settling(0.001))
    await asyncio.sleep(0.01)
    assert made.changes.owed == 1
    made.log.full = False
    await until(lambda: made.changes.owed == 0)
    settling.cancel()
    assert revisions(made.log) == [[1]]


async def test_what_is_owed_is_bounded_and_the_oldest_goes_first() -> None:
    made = Changes(owed_max=2)
    made.log.full = True
    for revision in range(1, 6):
        roll(made.changes, revision)
    assert (made.changes.owed, made.dropped) == (2, 3)
    made.log.full = False
    made.changes.close()
    assert revisions(made.log) == [[4, 5]]


class Slow(FakeEventLog):
    """Whose futures stay open; those of the first call are being written."""

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        self.stuck = len(self.open) < 2
        future = super().append(events)
        if len(self.open) == 1:
            future.set_running_or_notify_cancel()
        return future


async def test_what_is_being_written_is_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_PATIENCE_S", 0.01)
    made = Changes()
    made.log = Slow()
    made.changes = LoggedChanges(made.log, made.metrics)
    roll(made.changes, 1)
    assert made.changes.owed == 0, "it is on its way"
    roll(made.changes, 2)
    assert made.changes.owed == 1, "nobody had begun with it, so it was taken back"
    assert made.log.open[1].cancelled()
    roll(made.changes, 3)
    assert revisions(made.log)[-1] == [2, 3]
    made.log.open[0].set_exception(OSError("the disk broke after all"))
    assert made.dropped == 1


class Refusing(FakeEventLog):
    """Which refuses the first events as such that are none."""

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        if not self.writes and len(events) == 1 and not self.full:
            self.full = True
            future: Future[None] = Future()
            future.set_exception(ValueError("events that cannot be written"))
            return future
        self.full = False
        return super().append(events)


async def test_an_event_that_is_none_keeps_no_other_out() -> None:
    made = Changes()
    made.changes = LoggedChanges(Refusing(), made.metrics)
    roll(made.changes, 1)
    invalid = made.metrics.registry.get_sample_value(
        "tenantry_events_dropped_total", {"reason": "invalid"}
    )
    assert (made.changes.owed, invalid) == (0, 1)
    roll(made.changes, 2)
    assert made.changes.owed == 0
