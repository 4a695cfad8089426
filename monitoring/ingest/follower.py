"""Following the log: read, fold, write checkpoints, for ever or until there is nothing left.

What the disk does not take is tried again, and said in `problems`; the place in the log is part of
the state, so nothing is counted twice or left out meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitoring.ingest.erasures import Erasures
from monitoring.ingest.fold import QUIET_US, Fold
from monitoring.report import LogState
from monitoring.state.database import StateUnwritable
from monitoring.state.state import MonitorState
from service.events.cursor import Cursor
from service.events.ports import CLOCK, Clock
from service.events.reader import Backlog, LogReader
from service.events.schema import UnknownSchema

log = logging.getLogger(__name__)

READER = "sidecar"

Tell = Callable[[int, int], object]  # bytes that were read, and bytes in all

_COMMIT_S = 3600.0  # retention takes a reader that says nothing for days for gone
_LOOK_S = 0.2  # how often the place in the log is shown to others
_FEW_FRAMES = 16  # of a pass that has caught up
_CHANGED_MAX = 4  # times the bytes at which a checkpoint is due, in memory while the disk is full


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the follower does what."""

    poll_s: float = 0.5
    checkpoint_s: float = 5.0
    checkpoint_frames: int = 1 << 30
    silent_s: float = 30.0


class Follower:
    """Folds a log into a state; one thread at a time calls `run` or `catch_up`."""

    def __init__(
        self,
        events: Path,
        state: MonitorState,
        fold: Fold,
        pace: Pace = Pace(),
        *,
        clock: Clock = CLOCK,
    ) -> None:
        """`events` is the log's folder."""
        self._events = events
        self._state = state
        self._fold = fold
        self._pace = pace
        self._clock = clock
        self._problems: dict[str, str] = {}
        self._checkpoint_at = 0.0  # monotonic
        self._commit_at = 0.0
        self._frames = 0  # since the last checkpoint
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._erasures = Erasures(events)
        self._unwritten = False  # whether an erasure was followed in memory alone
        self._wiping = True  # a process before this one may have died before that was done
        self._sound = True  # whether the state is that after a whole frame
        self._looked_s = clock.wall_s()
        self._open()

    # --- callers' side -------------------------------------------------------------------

    def start(self) -> None:
        """Follow the log on a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="tenantry-monitor", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop reading, write a last checkpoint, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        self._reader.close()

    @property
    def is_alive(self) -> bool:
        """Return whether the thread that `start` began still follows the log."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def looked_s(self) -> float:
        """Return when the log was last read, if only to find nothing new, in seconds since 1970.

        The start of this process before that. A look that failed does not count.
        """
        return self._looked_s

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what does not work now, and what to do about it."""
        return tuple(self._problems.values())

    def log_state(self) -> LogState:
        """Return how far the log was read; from any thread."""
        backlog = self.backlog()
        with self._state.turns:
            totals, newest_us = self._state.log, self._state.watermark.us
            return LogState(
                lag_s=backlog.lag_s,
                backlog_bytes=backlog.bytes,
                backlog_segments=backlog.segments,
                events=totals.events,
                damaged=totals.damaged,
                missing=totals.missing,
                late=totals.late,
                freshest_s=newest_us / 1e6 if newest_us else None,
            )

    def backlog(self) -> Backlog:
        """Return how much is unread; from any thread."""
        with LogReader(self._events, READER, cursor=self._shown, clock=self._clock) as gauge:
            return gauge.backlog()

    # --- the thread's side ---------------------------------------------------------------

    def run(self) -> None:
        """Follow the log until `stop`.

        Raises what the fold raises, but for what the disk is to blame for; then the state is that
        of the last checkpoint.
        """
        try:
            while not self._stop.is_set():
                self._pass()
                self._stop.wait(self._pace.poll_s)
        except Exception as error:
            self._fails("fold", f"{type(error).__name__}: {error}; figures are no longer updated")
            raise
        finally:
            self._checkpoint(self._reader.cursor())

    def catch_up(self, tell: Tell | None = None) -> None:
        """Fold what is in the log by now, and write a checkpoint.

        `tell` hears how far it is. Raises what `run` raises.
        """
        meter = _Meter(self.backlog, tell)
        while self._pass(meter) > _FEW_FRAMES and not self._stop.is_set():
            pass
        self._tick()
        self._checkpoint(self._reader.cursor())
        meter.done()

    def _pass(self, meter: "_Meter | None" = None) -> int:
        """Read what can be read now; return how many frames that were."""
        frames = 0
        try:
            if not self._sound:
                self._rewind()
            self._follow_erasures()
            if self._is_full:
                self._checkpoint_if_due()
                return 0
            for batch in self._reader.batches():
                self._sound = False
                self._fold.take(batch)
                self._sound = True
                frames += 1
                self._frames += 1
                self._looked_s = self._clock.wall_s()
                self._checkpoint_if_due()
                self._show(meter)
                if self._stop.is_set() or self._is_full:
                    break
            if not frames:
                self._tick()
            self._looked_s = self._clock.wall_s()
            self._works("log")
        except UnknownSchema as error:
            self._fails("log", f"the event log cannot be read: {error}; use a newer version")
        except (OSError, StateUnwritable) as error:
            self._fails("log", f"the log is not followed: {error}; it is tried again")
            self._sound = False
            return frames
        except BaseException:
            self._sound = False
            raise
        self._checkpoint_if_due()
        self._shown = self._reader.cursor()
        return frames

    def _tick(self) -> None:
        """Close what is over by the clock, where the log has nothing more to say of it."""
        if self._sound and self.backlog().bytes == 0:
            now_us = round(self._clock.wall_s() * 1e6) - QUIET_US
            self._sound = False
            self._frames += self._fold.tick(now_us)
            self._sound = True

    @property
    def _is_full(self) -> bool:
        """Return whether more should not be folded before a checkpoint was written."""
        most = _CHANGED_MAX * self._state.limits.changed_bytes
        return "checkpoint" in self._problems and self._state.objects.changed_bytes > most

    def _open(self) -> None:
        """Begin to read where the state's last checkpoint was."""
        self._reader = LogReader(
            self._events,
            READER,
            cursor=self._state.cursor,
            silent_s=self._pace.silent_s,
            clock=self._clock,
        )
        self._shown = self._state.cursor
        self._shown_at = 0.0
        totals = self._state.log
        self._before = (totals.damaged, totals.missing, totals.late)
        self._frames = 0

    def _rewind(self) -> None:
        """Go back to the last checkpoint, after a frame was folded in part."""
        self._state.rewind()
        self._reader.close()
        self._open()

    def _follow_erasures(self) -> None:
        """Delete what the log was erased of, before anything else is read."""
        state = self._state
        try:
            found = self._erasures.read()
        except ValueError as error:
            self._fails("erasures", str(error))
            return
        self._works("erasures")
        new = {name: token for name, token in found.items() if state.erasure_of(name) != token}
        if new:
            with state.turns:
                for tenant, token in new.items():
                    state.erase(tenant, token)
                self._fold.forget(tenant)
            self._wiping = self._unwritten = True  # until nothing of it is on the disk
        if self._unwritten:
            self._unwritten = not self._checkpoint(self._reader.cursor())
        if self._wiping and not self._unwritten:
            self._wiping = not state.database.wipe()

    # --- checkpoints ---------------------------------------------------------------------

    def _checkpoint_if_due(self) -> None:
        now = time.monotonic()
        due = (
            now >= self._checkpoint_at
            or self._frames >= self._pace.checkpoint_frames
            or self._state.is_checkpoint_due
            or self._state.has_deferred
        )
        retry = "checkpoint" in self._problems and now < self._checkpoint_at
        if due and not retry and (self._frames or self._state.has_deferred):
            self._checkpoint(self._reader.cursor())
        elif now >= self._commit_at:
            self._commit(self._state.cursor)

    def _checkpoint(self, cursor: Cursor) -> bool:
        """Write a checkpoint; return whether the disk took it."""
        if not self._sound:
            return False
        damaged, missing, late = self._before
        totals = self._state.log
        totals.damaged = damaged + self._reader.damaged
        totals.missing = missing + self._reader.missing
        totals.late = late + self._reader.late
        self._checkpoint_at = time.monotonic() + self._pace.checkpoint_s
        try:
            self._state.checkpoint(cursor)
        except StateUnwritable as error:
            self._fails("checkpoint", f"{error}; figures go on in memory: make room on the disk")
            return False
        self._works("checkpoint")
        self._frames = 0
        self._commit(cursor)
        return True

    def _commit(self, cursor: Cursor) -> None:
        """Tell retention how far the log was read."""
        self._commit_at = time.monotonic() + _COMMIT_S
        if not self._events.is_dir():  # nothing was written yet
            return
        try:
            self._reader.commit(cursor)
        except OSError as error:
            self._fails("commit", f"retention cannot be told what was read: {error}")
        else:
            self._works("commit")

    def _show(self, meter: "_Meter | None") -> None:
        now = time.monotonic()
        if now >= self._shown_at:
            self._shown, self._shown_at = self._reader.cursor(), now + _LOOK_S
            if meter is not None:
                meter.tell()

    def _fails(self, what: str, text: str) -> None:
        if self._problems.get(what) != text:
            log.error("monitor: %s", text)
        self._problems = {**self._problems, what: text}

    def _works(self, what: str) -> None:
        if what in self._problems:
            log.warning("monitor: works again: %s", self._problems[what])
            self._problems = {key: text for key, text in self._problems.items() if key != what}


class _Meter:
    """Tells somebody how much of a backlog is done."""

    def __init__(self, backlog: Callable[[], Backlog], tell: Tell | None) -> None:
        self._backlog = backlog
        self._tell = tell
        self._total = backlog().bytes if tell is not None else 0
        self.tell()

    def tell(self) -> None:
        """Tell how far it is; what is written meanwhile counts."""
        if self._tell is not None:
            left = self._backlog().bytes
            self._total = max(self._total, left)
            self._tell(self._total - left, self._total)

    def done(self) -> None:
        """Tell that it is done."""
        if self._tell is not None:
            self._tell(self._total, self._total)
