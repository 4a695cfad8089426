"""How far the time of the log has come: the newest event, whatever the sidecar's own clock says.

A service whose clock is wrong for a while writes events of another year. When the frames after it
say an earlier time again, the watermark is turned back; and what is old is deleted only when the
watermark has moved on in an hour, so that a clock that jumps for a moment deletes nothing.
"""

from dataclasses import dataclass

from monitoring.state.calendar import DAY_US, HOUR_US, SECOND_US, start_of

TURN_FRAMES = 16  # in a row, written by a clock that is a day behind, turn the watermark back
SETTLED_US = 600 * SECOND_US  # by which it must have moved on before what is old is deleted


@dataclass(slots=True)
class Watermark:
    """The newest time; what it decides depends on the frames and their order alone."""

    us: int = 0
    written_us: int = 0  # when the newest frame was written, by its writer's clock
    behind: int = 0  # frames in a row that were written a day before it
    crossed_us: int = 0  # where it entered an hour that was not swept, or leapt; 0: nowhere
    swept_us: int = 0  # start of the hour in which what is old was last deleted

    def see(self, newest_us: int, written_us: int) -> bool:
        """Take note of a frame; return whether the watermark was turned back.

        `newest_us` is the time of the frame's newest prediction or label.
        """
        if written_us < self.written_us - DAY_US:
            self.behind += 1
            if self.behind < TURN_FRAMES:
                return False
            self.us, self.written_us = newest_us, written_us
            self.behind = self.crossed_us = 0
            self.swept_us = min(self.swept_us, start_of(newest_us, HOUR_US))
            return True
        self.behind = 0
        self.written_us = max(self.written_us, written_us)
        self.us = max(self.us, newest_us)
        entered = start_of(self.us, HOUR_US) > self.swept_us
        if entered and (not self.crossed_us or self.us > self.crossed_us + DAY_US):
            self.crossed_us = self.us
        return False

    @property
    def is_sweep_due(self) -> bool:
        """Return whether what is old should be deleted now."""
        return bool(self.crossed_us) and self.us >= self.crossed_us + SETTLED_US

    def swept(self) -> None:
        """Take note that it was deleted."""
        self.swept_us = start_of(self.us, HOUR_US)
        self.crossed_us = 0
