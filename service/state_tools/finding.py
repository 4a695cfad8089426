"""What the event log has of one request, one trace or one prediction: figures, never the input."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from service.events.cursor import Cursor
from service.events.reader import LogReader
from service.events.schema import COLUMNS

Id = Literal["request_id", "trace_id", "prediction_id"]

_READER = "find"  # is never committed, so retention does not know of it
# Personal data, or far too long for a line.
_UNTOLD = {"text", "fingerprint", "embedding", "base_embedding", "probabilities", "before", "after"}
_TOLD = tuple(name for name, *_ in COLUMNS if name not in _UNTOLD)

Event = dict[str, object]


def find(events: Path, by: Id, value: str) -> Iterator[Event]:
    """Yield each event that has an id, oldest first, with what it knows and nothing that is null.

    `events` is the log's folder. The whole log is read. Raises `UnknownSchema`.
    """
    import pyarrow.compute as pc

    with LogReader(events, _READER, cursor=Cursor()) as reader:
        for batch in reader.batches():
            where = pc.fill_null(pc.equal(batch.column(by), value), fill_value=False)
            if not pc.any(where, min_count=0).as_py():
                continue
            columns = {name: batch.column(name).filter(where).to_pylist() for name in _TOLD}
            for row in zip(*columns.values(), strict=True):
                pairs = zip(columns, row, strict=True)
                yield {name: _plain(one) for name, one in pairs if one is not None}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
