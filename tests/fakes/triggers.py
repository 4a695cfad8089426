"""Conditions to judge, and a world in which triggers are sent: database, clock, receiver."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from monitoring.triggers.outbox import Fate, store
from monitoring.triggers.retries import Outcome
from monitoring.triggers.rules import (
    Condition,
    DriftCondition,
    LabelCondition,
    Policy,
    judge,
)
from monitoring.triggers.tables import METADATA
from monitoring.triggers.trigger import LabelCount, Span, Trigger, time_of
from monitoring.watched import Watched
from service.measures import Estimate

HOUR_US = 3_600_000_000
NOW_US = 1_743_415_200_000_000  # 2025-03-31, 10:00 UTC
POLICY = Policy(0.1, 0.05, HOUR_US, 24 * HOUR_US)
IDS = tuple(f"prediction-{number}" for number in range(30))


def drift(**changes: Any) -> DriftCondition:
    """Return drift that has been beyond its tolerance for two hours."""
    window = Span(name="last-500", start=time_of(NOW_US - HOUR_US), end=time_of(NOW_US), rows=512)
    found = DriftCondition(window, Estimate(1.6, 1.2, 2.0), NOW_US - 2 * HOUR_US, None, None, IDS)
    return replace(found, **changes)


def labels(**changes: Any) -> LabelCondition:
    """Return labels that show no harm."""
    found = LabelCondition(
        Span(name="labels", start=time_of(NOW_US - 9 * HOUR_US), end=time_of(NOW_US), rows=400),
        LabelCount(count=400, audited=50, coverage=0.1),
        calibration_error=Estimate(0.04, 0.0, 0.08),
        accuracy=Estimate(0.9, 0.87, 0.93),
        reference_accuracy=Estimate(0.91, 0.88, 0.94),
        prediction_ids=IDS,
    )
    return replace(found, **changes)


def condition(**changes: Any) -> Condition:
    """Return a live version with neither drift nor harm."""
    calm = drift(effect=Estimate(0.4, 0.1, 0.7), since_us=None)
    watched = Watched("acme", "router", 3, "live")
    found = Condition(watched, "sha256:abc", "live", NOW_US, "holdout", 1000, calm, labels())
    return replace(found, **changes)


def raised(tenant: str = "acme", time_us: int = NOW_US) -> Trigger:
    """Return a trigger for drift."""
    moved = condition(
        watched=Watched(tenant, "router", 3, "live"),
        time_us=time_us,
        drift=drift(
            window=Span(name="1h", start=time_of(time_us), end=time_of(time_us), rows=9),
            since_us=time_us - 2 * HOUR_US,
        ),
    )
    [trigger] = judge(moved, POLICY, {})
    return trigger


class FakeDatabase:
    """SQLite with the triggers' tables; in memory, where no file is named."""

    def __init__(self, file: Path | None = None) -> None:
        self.engine = _memory() if file is None else create_engine(f"sqlite:///{file}")
        METADATA.create_all(self.engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def store(self, trigger: Trigger, fate: Fate = "waiting") -> bool:
        with self.write() as connection:
            return store(connection, trigger, POLICY.cooldown_us, fate)


class FakeClock:
    """A clock that goes when it is told to."""

    def __init__(self, now_s: float = NOW_US / 1e6) -> None:
        self.time_s = now_s

    def now_s(self) -> float:
        return self.time_s


class FakeReceiver:
    """Answers as it was told, the last answer for ever, and keeps what it was sent."""

    def __init__(self, *answers: Outcome | int) -> None:
        self._answers = [Outcome(a) if isinstance(a, int) else a for a in answers]
        self.sent: list[tuple[bytes, Mapping[str, str]]] = []

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        self.sent.append((body, headers))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def _memory() -> Engine:
    return create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
