"""From what callers give to the payloads of frames, in pieces of bounded size."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.events.columns import (
    Single,
    check_block,
    check_reference,
    prediction_batch,
    record_batch,
    reference_batch,
)
from service.events.frames import FRAME_BYTES_MAX, encode
from service.events.ports import EventKind, Redactor
from service.events.predictions import PredictionBlock
from service.events.records import (
    DurableEvent,
    Failure,
    Label,
    Quarantine,
    Reference,
    RolloutEvent,
    Undecodable,
)
from service.events.redaction import redact_all
from service.events.segments import Draft

log = logging.getLogger(__name__)

_FRAME_EVENTS = 512  # of a prediction frame: what follows from it per frame is 1 us an event then
_SINGLES = 2048  # of a frame of labels
_APPEND_BYTES = 8 << 20  # that one write and sync takes
_PAYLOAD_BYTES = 16 << 20  # beyond which a frame is halved
_KINDS: dict[type, EventKind] = {
    Label: "label",
    RolloutEvent: "rollout",
    Quarantine: "quarantine",
    Undecodable: "undecodable",
    Failure: "failure",
}


@dataclass(slots=True)
class Made:
    """Frames that are written together."""

    drafts: list[Draft] = field(default_factory=list)
    events: int = 0
    bytes: int = 0
    invalid: int = 0  # events of blocks that could not be converted

    def add(self, batch: Any, first: int) -> None:
        """Add a batch whose events are numbered from `first`."""
        drafts = _drafts(batch, first)
        self.drafts += drafts
        self.events += batch.num_rows
        self.bytes += sum(len(draft.payload) for draft in drafts)


class PredictionDrafts:
    """Makes frames of prediction blocks."""

    def __init__(self, redact: Redactor) -> None:
        self._redactor = redact

    def make(
        self,
        blocks: Sequence[PredictionBlock],
        sequence: Callable[[], int],
        wanted: Callable[[], bool] = lambda: False,
    ) -> Iterator[Made]:
        """Yield what one append takes, one after the other; `sequence` is asked before each.

        Where the writer is `wanted` for something else, less than it could take.
        """
        made, first = Made(), sequence()
        for some in _chunks(blocks):
            self._add(some, made, first)
            if made.bytes >= _APPEND_BYTES or wanted():
                yield made
                made, first = Made(), sequence()
        if made.drafts or made.invalid:
            yield made

    def _add(self, blocks: Sequence[PredictionBlock], made: Made, first: int) -> None:
        try:
            for block in blocks:
                check_block(block)
            start = first + made.events
            made.add(prediction_batch(blocks, start, self._redact), start)
        except Exception as error:  # noqa: BLE001 - one bad block must not cost the others' events
            if len(blocks) > 1:
                for block in blocks:
                    self._add([block], made, first)
                return
            [block] = blocks
            made.invalid += len(block.ids)
            # The error's text may hold what the block holds.
            what, name = type(error).__name__, f"{block.tenant}.{block.adapter}"
            log.warning("event log: a block of %s cannot be written: %s", name, what)

    def _redact(self, texts: Sequence[str]) -> list[str | None]:
        return redact_all(self._redactor, texts)


class DurableDrafts:
    """Frames of events that are written together, and how many of each kind they hold."""

    def __init__(self, events: Sequence[DurableEvent], first: int) -> None:
        """Number the events from `first`; whatever an event lacks raises."""
        self.drafts: list[Draft] = []
        self.kinds: Counter[EventKind] = Counter()
        self._next = first
        self._singles: list[Single] = []
        for event in events:
            if isinstance(event, Reference):
                self._end_singles()
                self._reference(event)
            else:
                self.kinds[_KINDS[type(event)]] += 1
                self._singles.append(event)
                if len(self._singles) == _SINGLES:
                    self._end_singles()
        self._end_singles()

    def _end_singles(self) -> None:
        if self._singles:
            self._add(record_batch(self._singles, self._next))
            self._singles = []

    def _reference(self, reference: Reference) -> None:
        check_reference(reference)
        self.kinds["reference"] += len(reference)
        for start in range(0, len(reference), _FRAME_EVENTS):
            stop = min(start + _FRAME_EVENTS, len(reference))
            self._add(reference_batch(reference, start, stop, self._next))

    def _add(self, batch: Any) -> None:
        self.drafts += _drafts(batch, self._next)
        self._next += batch.num_rows


def _chunks(blocks: Sequence[PredictionBlock]) -> Iterator[list[PredictionBlock]]:
    some: list[PredictionBlock] = []
    count = 0
    for block in blocks:
        some.append(block)
        count += len(block.ids)
        if count >= _FRAME_EVENTS:
            yield some
            some, count = [], 0
    if some:
        yield some


def _drafts(batch: Any, first: int) -> list[Draft]:
    payload = encode(batch)
    if payload.size <= _PAYLOAD_BYTES or batch.num_rows == 1:
        if payload.size > FRAME_BYTES_MAX:
            raise ValueError(f"an event of {payload.size} bytes; a frame holds {FRAME_BYTES_MAX}")
        return [Draft(batch.num_rows, first, payload)]
    half = batch.num_rows // 2
    return _drafts(batch.slice(0, half), first) + _drafts(batch.slice(half), first + half)
