"""The tracing thread: makes spans of notes and sends them, so that nobody who serves does.

What waits is bounded: beyond it, and where the collector does not take them, spans are dropped and
counted. Every span that was noted is counted once, as exported or as dropped.
"""

import logging
import threading
import time
from collections import deque
from typing import Literal, Protocol

from service.tracing.notes import Note
from service.tracing.otlp import Exported, Exporter
from service.tracing.spans import Spans

SpanOutcome = Literal["exported", "dropped"]

_SENT_AT = 512  # so many waiting spans are sent at once

logger = logging.getLogger(__name__)


class SpanMetrics(Protocol):
    """Counts spans; `service/metrics.py` has the real one."""

    def spans(self, outcome: SpanOutcome, count: int) -> None:
        """Count spans that a collector took, or that are lost."""
        ...


class Sender:
    """Takes notes from any thread, and sends them from its own. `start()`, `offer()`, `close()`."""

    def __init__(
        self,
        spans: Spans,
        exporter: Exporter,
        metrics: SpanMetrics,
        *,
        waiting_max: int = 8192,
        every_s: float = 1.0,
    ) -> None:
        """`waiting_max` bounds the spans that wait."""
        self._spans = spans
        self._exporter = exporter
        self._metrics = metrics
        self._waiting_max = waiting_max
        self._every_s = every_s
        self._wake = threading.Condition()
        self._notes: deque[Note] = deque()
        self._waiting = 0  # spans of the notes
        self._sending = 0  # spans that are being sent
        self._closing = self._given_up = False
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="tenantry-traces", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def offer(self, note: Note) -> None:
        """Take a note, or drop and count it; neither blocks nor raises."""
        count = note.spans
        with self._wake:
            fits = not self._closing and self._waiting + count <= self._waiting_max
            if fits:
                self._notes.append(note)
                self._waiting += count
                if self._waiting - count < _SENT_AT <= self._waiting:
                    self._wake.notify()
        if not fits:
            self._metrics.spans("dropped", count)

    def close(self, timeout_s: float) -> None:
        """Send what waits, and return within about `timeout_s`; what is left then is dropped."""
        self._exporter.hurry(time.monotonic() + timeout_s)
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        with self._wake:
            left = self._waiting + self._sending
            self._given_up = True
            self._notes.clear()
            self._waiting = self._sending = 0
        if left:
            self._metrics.spans("dropped", left)
            logger.warning("traces: %d spans could not be sent before the end", left)
        if not self._thread.is_alive():
            self._exporter.close()

    def _work(self) -> None:
        while True:
            with self._wake:
                if not self._closing and self._waiting < _SENT_AT:
                    self._wake.wait(self._every_s)
                closing = self._closing
                notes = self._take()
            if notes:
                self._send(notes)
            elif closing:
                return

    def _take(self) -> list[Note]:
        """Take the notes that are sent together; under the lock."""
        taken: list[Note] = []
        while self._notes and self._sending < _SENT_AT:
            note = self._notes.popleft()
            self._waiting -= note.spans
            self._sending += note.spans
            taken.append(note)
        return taken

    def _send(self, notes: list[Note]) -> None:
        noted = self._sending
        try:
            spans = self._spans.make(notes)
            exported = self._exporter.export(spans) if spans else Exported(0)
        except Exception:  # a mistake of ours; those who serve shall not feel it
            logger.exception("traces: spans could not be made or sent")
            exported = Exported(0, "a mistake of ours")
            spans = []
        with self._wake:
            self._sending = 0
            if self._given_up:  # and counted already
                return
        made = len(spans) or noted
        if exported.taken:
            self._metrics.spans("exported", exported.taken)
        if made > exported.taken:
            self._metrics.spans("dropped", made - exported.taken)
        self._tell(exported.why)

    def _tell(self, why: str | None) -> None:
        """Say when the collector stops taking spans, and when it takes them again."""
        if (why is not None) == self._failing:
            return
        self._failing = why is not None
        if self._failing:
            logger.warning("traces: the collector does not take them, they are dropped: %s", why)
        else:
            logger.warning("traces: the collector takes them again")
