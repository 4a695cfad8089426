"""Who judges what was folded."""

from typing import Protocol

from monitoring.rows import FloatArray, IntArray
from monitoring.state.ports import Maker
from monitoring.state.view import Desk
from monitoring.watched import Watched


class Judge(Maker, Protocol):
    """Makes references, and draws conclusions as the log goes on.

    What it does must follow from the state, its settings and what it is given alone: neither from
    a clock nor from chance. It runs while a frame is folded, so what it writes is in the same
    transaction as the figures.
    """

    def run_lengths(
        self, desk: Desk, time_us: IntArray, latest_us: int | None
    ) -> tuple[FloatArray, int | None]:
        """Return in how many rows a watch may raise one false alarm, at each row [n].

        With it the latest time, for the next call: `latest_us` is what the last one returned for
        the version, None at the first.
        """
        ...

    def forget(self, desk: Desk, tenant: str) -> None:
        """Delete what is kept of a tenant outside its versions' own memos."""
        ...

    def alarmed(self, desk: Desk, watched: Watched, time_us: int, prediction_id: str) -> None:
        """Take note that a version's watch raised an alarm at a row, in the log's order."""
        ...

    def closed(self, desk: Desk, watched: Watched, end_us: int) -> None:
        """Take note that one of the finest buckets of a version is over, once for each.

        Only buckets in which predictions or labels of the version came are told of; over all
        versions in the order of their ends, where one frame closes several.
        """
        ...
