"""The event log's writer: takes events from any thread, writes them on a thread of its own.

Prediction events wait in memory, bounded, and are written and synced together; those that find no
room, in memory or on the disk, are dropped and counted. Labels, references, rollouts and
quarantines are durable: their future is done when they are on the disk. See
`docs/concepts/event-log.md`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.events.appending import Appender, SegmentLimits
from service.events.disk import Disk, LocalDisk
from service.events.drafts import DurableDrafts, Made, PredictionDrafts
from service.events.erasure import Erased, erase
from service.events.ports import CLOCK, Clock, LogMetrics, LogUnwritable, Redactor, TracedWrites
from service.events.predictions import PredictionBlock
from service.events.records import DurableEvent
from service.events.retention import Janitor, Kept
from service.events.segments import Draft

log = logging.getLogger(__name__)

_MIB = 1 << 20
_BEAT_S = 1.0  # how often readers hear how far the order has come
_WAKE_TEXTS = 4096  # so many waiting predictions are written at once
_JOIN_S = 30.0


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much the log may hold, and how long."""

    waiting_max: int = 65_536  # events that may wait in memory
    waiting_bytes_max: int = 512 * _MIB  # and the memory that they may hold
    flush_s: float = 1.0
    segment_bytes: int = 64 * _MIB
    segment_s: float = 3600.0
    kept_s: float = 30 * 86_400.0
    kept_bytes: int = 20 << 30
    reader_gone_s: float = 7 * 86_400.0  # a reader that said nothing for so long is gone
    janitor_s: float = 30.0  # how often retention looks


@dataclass(slots=True)
class _Durable:
    events: Sequence[DurableEvent]
    count: int
    done: "Future[None]"


class EventLog:
    """One process's way into the log. Create with `open`; any thread may call it."""

    def __init__(
        self,
        folder: Path,
        limits: LogLimits,
        *,
        redact: Redactor,
        metrics: LogMetrics,
        clock: Clock = CLOCK,
        disk: Disk | None = None,
        on_traced: TracedWrites | None = None,
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._metrics = metrics
        self._on_traced = on_traced
        segments = SegmentLimits(limits.segment_bytes, limits.segment_s)
        self._appender = Appender(folder, segments, disk or LocalDisk(), clock)
        self._drafts = PredictionDrafts(redact)
        kept = Kept(limits.kept_s, limits.kept_bytes, limits.reader_gone_s)
        self._janitor = Janitor(folder, kept, metrics=metrics, clock=clock)
        self._wake = threading.Condition()
        self._blocks: deque[PredictionBlock] = deque()
        self._waiting = self._waiting_bytes = 0  # of predictions, those being written included
        self._durable: list[_Durable] = []
        self._durable_waiting = 0
        self._flushes: list[Future[bool]] = []
        self._closing = False
        self._failing = False
        self._bytes = 0
        self._closed = threading.Event()
        self._flush_at = self._beat_at = 0.0  # monotonic; of the writer's thread
        self._threads = [
            threading.Thread(target=self._work, name="tenantry-event-log", daemon=True),
            threading.Thread(target=self._keep, name="tenantry-event-janitor", daemon=True),
        ]

    @classmethod
    def open(
        cls,
        folder: Path,
        limits: LogLimits,
        *,
        redact: Redactor,
        metrics: LogMetrics,
        clock: Clock = CLOCK,
        disk: Disk | None = None,
        on_traced: TracedWrites | None = None,
    ) -> Self:
        """Begin to write into the log of a folder, beside other processes that do.

        Raises `LogUnwritable` where the folder cannot be made. A full disk is no reason to: a
        writer's files are made when there is something to write.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LogUnwritable(f"the event log's folder cannot be made: {error}") from error
        opened = cls(
            folder,
            limits,
            redact=redact,
            metrics=metrics,
            clock=clock,
            disk=disk,
            on_traced=on_traced,
        )
        for thread in opened._threads:
            thread.start()
        return opened

    # --- callers' side -------------------------------------------------------------------

    def predictions(self, block: PredictionBlock) -> None:
        """Take prediction events; never blocks nor raises, drops and counts beyond the bound."""
        count, size = len(block.ids), block.bytes
        with self._wake:
            fits = (
                not self._closing
                and self._waiting + count <= self._limits.waiting_max
                and self._waiting_bytes + size <= self._limits.waiting_bytes_max
            )
            if fits:
                self._blocks.append(block)
                self._waiting += count
                self._waiting_bytes += size
                if self._waiting - count < self._wake_texts <= self._waiting:
                    self._wake.notify()
        if not fits:
            self._metrics.events_dropped("memory", count)

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        """Write events that must not be lost; the future is done when they are on the disk.

        They are written together or not at all. The future raises `LogUnwritable` where the disk
        does not take them, or where more events wait for it than the bound, and `ValueError` for
        an event that is none.
        """
        done: Future[None] = Future()
        count = sum(event_count(event) for event in events)
        with self._wake:
            if self._closing:
                done.set_exception(LogUnwritable("the event log is closed"))
            elif self._durable_waiting + count > self._limits.waiting_max:
                done.set_exception(LogUnwritable("too many events wait for the event log"))
            elif not count:
                done.set_result(None)
            else:
                self._durable.append(_Durable(tuple(events), count, done))
                self._durable_waiting += count
                self._wake.notify()
        return done

    def flush(self, timeout_s: float | None = None) -> bool:
        """Write what waits now; return whether the disk took all of it, and in time."""
        done: Future[bool] = Future()
        with self._wake:
            if self._closing:
                return False
            self._flushes.append(done)
            self._wake.notify()
        try:
            return done.result(timeout_s)
        except TimeoutError:
            return False

    def erase(self, tenant: str) -> Erased:
        """Take a tenant's events out of the whole log, whoever wrote them. Raises `OSError`."""
        return erase(self._folder, tenant)

    def close(self) -> None:
        """Write what waits, seal the segment and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._closed.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    # --- the writer's thread -------------------------------------------------------------

    @property
    def _wake_texts(self) -> int:
        return min(_WAKE_TEXTS, max(1, self._limits.waiting_max // 2))

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._give_up()

    def _turn(self) -> bool:
        """Wait for something to do, do it, and return whether more may come."""
        now = self._wait()
        beat = now >= self._beat_at
        asked = beat and self._appender.asked_to_seal
        with self._wake:
            closing = self._closing
            flushes, self._flushes = self._flushes, []
            full = self._waiting >= self._wake_texts
            blocks: Sequence[PredictionBlock] = ()
            if closing or flushes or full or asked or now >= self._flush_at:
                blocks, self._blocks = self._blocks, deque()
                self._flush_at = now + self._limits.flush_s
        written = self._write_what_is_durable()
        if blocks:
            written = self._write_predictions(blocks) and written
        if asked:
            self._appender.obey()
        if beat or flushes:
            self._appender.tick()
            self._beat_at = now + min(_BEAT_S, self._limits.flush_s)
        for flush in flushes:
            flush.set_result(written)
        return not closing

    def _wait(self) -> float:
        with self._wake:
            now = time.monotonic()
            until = min(self._flush_at, self._beat_at)
            while now < until and not self._is_wanted():
                self._wake.wait(until - now)
                now = time.monotonic()
        return now

    def _give_up(self) -> None:
        """End; after a failure of ours, whoever waits learns of it."""
        with self._wake:
            self._closing = True
            durable, flushes, blocks = self._durable, self._flushes, self._blocks
            self._durable, self._flushes, self._blocks = [], [], deque()
        for item in durable:
            item.done.set_exception(LogUnwritable("the event log has ended"))
        for flush in flushes:
            flush.set_result(False)
        if blocks:
            self._metrics.events_dropped("memory", sum(len(block.ids) for block in blocks))
        self._appender.close()

    def _is_wanted(self) -> bool:
        return bool(
            self._durable or self._flushes or self._closing or self._waiting >= self._wake_texts
        )

    def _write_what_is_durable(self) -> bool:
        with self._wake:
            durable, self._durable = self._durable, []
        return self._write_durable(durable) if durable else True

    def _write_durable(self, waiting: Sequence[_Durable]) -> bool:
        """Write durable events with one sync for all, or one by one where that fails."""
        ready = [item for item in waiting if item.done.set_running_or_notify_cancel()]
        error = self._commit([event for item in ready for event in item.events])
        if error is None:
            errors: list[Exception | None] = [None] * len(ready)
        elif len(ready) == 1:
            errors = [error]
        else:
            errors = [self._commit(item.events) for item in ready]
        with self._wake:
            self._durable_waiting -= sum(item.count for item in waiting)
        for item, failed in zip(ready, errors, strict=True):
            if failed is None:
                item.done.set_result(None)
            else:
                item.done.set_exception(failed)
        return not any(errors)

    def _commit(self, events: Sequence[DurableEvent]) -> Exception | None:
        """Write events and sync them; return what went wrong."""
        if not events:
            return None
        try:
            made = DurableDrafts(events, self._appender.sequence)
        except Exception as error:  # noqa: BLE001 - a caller's event; its future tells
            return ValueError(f"events that cannot be written: {type(error).__name__}: {error}")
        try:
            self._append(made.drafts)
        except OSError as error:
            self._tell(failing=True, error=error)
            return LogUnwritable(f"the event log cannot be written: {error.strerror or error}")
        self._tell(failing=False)
        for kind, count in made.kinds.items():
            self._metrics.events_written(kind, count)
        return None

    def _write_predictions(self, blocks: Sequence[PredictionBlock]) -> bool:
        whole, begun_s = True, time.monotonic()
        # Many long texts take minutes to redact, and durable events are waited for.
        made_of = self._drafts.make(
            blocks, lambda: self._appender.sequence, lambda: bool(self._durable)
        )
        for made in made_of:
            whole = self._write_made(made) and whole
            whole = self._write_what_is_durable() and whole
        with self._wake:
            self._waiting -= sum(len(block.ids) for block in blocks)
            self._waiting_bytes -= sum(block.bytes for block in blocks)
        self._tell_traced(blocks, begun_s, whole)
        return whole

    def _tell_traced(self, blocks: Sequence[PredictionBlock], begun_s: float, whole: bool) -> None:
        if self._on_traced is None:
            return
        # A request may have several blocks, one for each version that answered it.
        traces = list(dict.fromkeys(block.trace for block in blocks if block.trace is not None))
        if traces:
            rows = sum(map(len, blocks))
            self._on_traced(traces, begun_s, time.monotonic(), rows, whole)

    def _write_made(self, made: Made) -> bool:
        if made.invalid:
            self._metrics.events_dropped("invalid", made.invalid)
        if not made.drafts:
            return True
        try:
            self._append(made.drafts)
        except OSError as error:
            self._tell(failing=True, error=error)
            self._metrics.events_dropped("disk", made.events)
            return False
        self._tell(failing=False)
        self._metrics.events_written("prediction", made.events)
        return True

    def _append(self, drafts: Sequence[Draft]) -> None:
        """Write frames and sync them, all or none; raise `OSError`."""
        begun = time.monotonic()
        try:
            self._appender.append(drafts)
        finally:
            self._metrics.log_wrote(time.monotonic() - begun)

    def _tell(self, *, failing: bool, error: OSError | None = None) -> None:
        if failing == self._failing:
            return
        self._failing = failing
        if failing:
            log.error("event log: cannot be written, prediction events are dropped: %s", error)
        else:
            log.warning("event log: is written again")
        self._metrics.log_state(failing=failing, size_bytes=self._bytes)

    # --- the janitor's thread ------------------------------------------------------------

    def _keep(self) -> None:
        while True:
            try:
                self._bytes = self._janitor.tick()
            except OSError as error:
                log.warning("event log: retention failed, it will be tried again: %s", error)
            self._metrics.log_state(failing=self._failing, size_bytes=self._bytes)
            if self._closed.wait(self._limits.janitor_s):
                return


def event_count(event: DurableEvent) -> int:
    """Return how many events of the log one of the caller's is."""
    return len(event) if hasattr(event, "__len__") else 1
