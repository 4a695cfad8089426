"""An event log in memory: everything that was given to it, and a disk that can be full."""

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock

from service.events.ports import LogUnwritable
from service.events.predictions import PredictionBlock
from service.events.records import DurableEvent, Label


class FakeEventLog:
    """Keeps what it is given, in order.

    While `full`, durable events are refused as a full disk refuses them; while `stuck`, their
    futures stay open, and are in `open`.
    """

    def __init__(self) -> None:
        self.blocks: list[PredictionBlock] = []
        self.writes: list[list[DurableEvent]] = []  # one a call of `append` that was kept
        self.full = False
        self.stuck = False
        self.open: list[Future[None]] = []
        self._lock = Lock()

    def predictions(self, block: PredictionBlock) -> None:
        """Take prediction events."""
        with self._lock:
            self.blocks.append(block)

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        """Take durable events; the future is done at once, unless told otherwise."""
        future: Future[None] = Future()
        with self._lock:
            if self.full:
                future.set_exception(LogUnwritable(28, "No space left on device"))
                return future
            self.writes.append(list(events))
            if self.stuck:
                self.open.append(future)
            else:
                future.set_result(None)
        return future

    @property
    def labels(self) -> list[Label]:
        """Return the labels that were kept."""
        return [event for write in self.writes for event in write if isinstance(event, Label)]
