"""The tracing thread: what waits is bounded, every span is counted once, and the end is bounded."""

import logging
import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from service.tracing.notes import RequestNote, Trace
from service.tracing.otlp import Exported
from service.tracing.sender import Sender, SpanOutcome
from service.tracing.spans import Spans, resource_of

PATIENCE_S = 20.0


class CountedSpans:
    """Counts, from several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def spans(self, outcome: SpanOutcome, count: int) -> None:
        with self._changed:
            self.counts[outcome] += count
            self._changed.notify_all()

    def wait(self, outcome: SpanOutcome, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.counts[outcome] >= count, PATIENCE_S)


class FakeExporter:
    """Takes spans, or does what it is told."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.why: str | None = None
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> Exported:
        self.entered.set()
        assert self.free.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        self.sent.append(len(spans))
        return Exported(len(spans) if self.why is None else 0, self.why)

    def hurry(self, until_s: float) -> None:
        del until_s

    def close(self) -> None:
        self.closed = True


class Sending:
    """A sender and what is around it."""

    def __init__(self, *, waiting_max: int = 1000, every_s: float = 0.01) -> None:
        self.exporter, self.metrics = FakeExporter(), CountedSpans()
        spans = Spans(resource_of("1", "sha256:b", "one"), "1")
        self.sender = Sender(
            spans, self.exporter, self.metrics, waiting_max=waiting_max, every_s=every_s
        )
        self.sender.start()

    def offer(self, count: int = 1) -> None:
        for number in range(count):
            trace = Trace(f"{number + 1:032x}", f"{number + 1:016x}", None, b"", 10.0, {})
            self.sender.offer(RequestNote(trace, "POST /x", 11.0, None))


def test_what_is_offered_is_sent_before_long() -> None:
    sending = Sending()
    sending.offer(3)
    sending.metrics.wait("exported", 3)
    sending.sender.close(PATIENCE_S)
    assert sending.metrics.counts == {"exported": 3}
    assert sending.exporter.closed


def test_what_waits_is_sent_at_the_end() -> None:
    sending = Sending(every_s=3600.0)
    sending.offer(700)
    sending.sender.close(PATIENCE_S)
    assert sending.metrics.counts == {"exported": 700}
    assert max(sending.exporter.sent) <= 512


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    sending = Sending(waiting_max=10)
    sending.exporter.free.clear()
    sending.offer(1)
    assert sending.exporter.entered.wait(PATIENCE_S)
    sending.offer(25)
    assert sending.metrics.counts == {"dropped": 15}
    sending.exporter.free.set()
    sending.metrics.wait("exported", 11)
    sending.sender.close(PATIENCE_S)
    assert sending.metrics.counts == {"exported": 11, "dropped": 15}


def test_a_collector_that_fails_costs_the_spans_and_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    sending = Sending()
    sending.exporter.why = "it answered 503"
    for count in (1, 2, 3):
        sending.offer(1)
        sending.metrics.wait("dropped", count)
    sending.exporter.why = None
    sending.offer(1)
    sending.metrics.wait("exported", 1)
    sending.sender.close(PATIENCE_S)
    assert [record.getMessage() for record in caplog.records] == [
        "traces: the collector does not take them, they are dropped: it answered 503",
        "traces: the collector takes them again",
    ]


def test_a_mistake_of_ours_does_not_end_the_thread() -> None:
    sending = Sending()
    sending.exporter.error = RuntimeError("a bug")
    sending.offer(2)
    sending.metrics.wait("dropped", 2)
    sending.exporter.error = None
    sending.offer(1)
    sending.metrics.wait("exported", 1)
    sending.sender.close(PATIENCE_S)
    assert sending.metrics.counts == {"exported": 1, "dropped": 2}


def test_the_end_does_not_wait_for_a_collector_that_hangs() -> None:
    sending = Sending()
    sending.exporter.free.clear()
    sending.offer(2)
    assert sending.exporter.entered.wait(PATIENCE_S)
    sending.offer(3)
    sending.sender.close(0.05)
    assert sending.metrics.counts["dropped"] == 5
    sending.exporter.free.set()
    sending.offer(1)
    assert sending.metrics.counts == {"dropped": 6}
