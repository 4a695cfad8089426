"""Jobs: what callers ask, and what the queue holds of it until it is answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service.batching.answers import Answer
from service.engine.adapter import Adapter, FloatArray
from service.engine.pixels import Prepared, Whole
from service.engine.tokens import Windowed

if TYPE_CHECKING:
    from service.batching.fairness import Flow

_NOTHING: FloatArray = np.empty(0, dtype=np.float32)

BACKBONE = "backbone"  # the digest that stands for the bare backbone, which no adapter can have


@dataclass(frozen=True, slots=True)
class Shadow:
    """Another adapter that answers a job's texts, for whoever observes and for nobody else.

    It may be the bare backbone, and it may answer some of the texts only. Of a job that was taken
    each shadow ends once, on the caller's event loop: after the caller's answer by `observe`, or
    whenever there will be no answer by `missed`. Where that loop was closed neither is called.
    """

    digest: str
    observe: Callable[[Answer], object]
    missed: Callable[[], object] | None = None
    rows: Sequence[int] | None = None  # the texts that it answers, ascending; None: all
    texts: Sequence[Whole] | None = None  # the same texts in its own windows; None: the job's


@dataclass(frozen=True, slots=True)
class Job:
    """What a caller asks: texts for one adapter, by its digest."""

    digest: str
    texts: Sequence[Whole]
    deadline_s: float | None = None  # on the monotonic clock
    alone: bool = False  # shares its passes with no other job
    brings: Adapter | None = None  # the adapter itself, where it is not in the store yet
    tenant: str = ""  # whose share of the passes it takes
    weight: float = 1.0  # of that share
    shadows: tuple[Shadow, ...] = ()
    trace: object | None = None  # which passes and loads are told of; None: the job is not traced


@dataclass(slots=True, eq=False)
class Ticket:
    """A job in the queue, and the answers that it has so far."""

    job: Job
    queued_at: float  # monotonic
    shadow_of: "Ticket | None" = None
    rows: Sequence[int] | None = None  # of a shadow: the texts that it copies; None: all
    started_at: float | None = None
    compute_s: float = 0.0
    dropped: bool = False
    labels: tuple[str, ...] = ()
    digests: set[str] = field(default_factory=set)  # read from the slots that computed the rows
    probabilities: list[FloatArray | None] = field(default_factory=list)
    embeddings: list[FloatArray] = field(default_factory=list)
    waiting: int = 0  # texts and windows that no pass has taken yet
    missing: int = 0  # texts and windows without an answer
    gathered: "dict[int, Gathered] | None" = None  # of long texts, by position

    def __post_init__(self) -> None:
        texts = self.job.texts
        count = len(texts)
        self.probabilities = [None] * count
        self.embeddings = [_NOTHING] * count
        self.missing = count
        if Windowed in map(type, texts):
            self.gathered = {}
            for position, text in enumerate(texts):
                if isinstance(text, Windowed):
                    self.gathered[position] = Gathered(text)
                    self.missing += len(text.windows) - 1

    def answer(self) -> Answer:
        """Return the answer of a job that has all of its rows."""
        assert len(self.digests) == 1, "one job is answered by one adapter"
        assert self.started_at is not None
        rows = [row for row in self.probabilities if row is not None]
        single = len(rows) == 1
        return Answer(
            digest=next(iter(self.digests)),
            labels=self.labels,
            probabilities=rows[0][np.newaxis] if single else np.stack(rows),
            embeddings=self.embeddings[0][np.newaxis] if single else np.stack(self.embeddings),
            queue_s=self.started_at - self.queued_at,
            compute_s=self.compute_s,
        )


class Gathered:
    """What passes gave for the windows of one text, until all of them are there."""

    __slots__ = ("embeddings", "lengths", "missing", "pooled")

    def __init__(self, text: Windowed) -> None:
        self.lengths = list(map(len, text.windows))  # in tokens
        self.missing = len(self.lengths)
        self.pooled: list[FloatArray] = [_NOTHING] * self.missing
        self.embeddings: list[FloatArray] = [_NOTHING] * self.missing

    def take(self, window: int, pooled: FloatArray, embedding: FloatArray) -> None:
        """Keep what a pass gave for one window, without the rest of the pass's arrays."""
        self.pooled[window] = pooled.copy()
        self.embeddings[window] = embedding.copy()
        self.missing -= 1


def pieces_of(text: Whole) -> Sequence[Prepared]:
    """Return what passes take of a text: itself, or its windows."""
    return text.windows if isinstance(text, Windowed) else (text,)


@dataclass(slots=True, eq=False)
class Entry:
    """One text of a ticket, or one window of it."""

    ticket: Ticket
    position: int
    order: int  # of arrival
    tokens: Prepared  # a window where it is one of a longer text
    digest: str  # of the adapter that must answer it
    flow: "Flow"
    cost: int  # tokens
    charge: int  # the cost over the tenant's weight, in virtual time
    unit: int  # the order of the text that it stands right behind, or its own
    alone: bool = False
    window: int = 0  # its number in the text
    start: int | None = None  # its place in virtual time, once it has been looked at
    epoch: int = -1  # of its tenant's places, when it got this one
