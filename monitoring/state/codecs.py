"""How each kind of object becomes bytes."""

from functools import partial
from typing import Any

from monitoring import codec
from monitoring.references.rows import ReferenceRows
from monitoring.report import Alarm, HistoryPoint
from monitoring.sketches.sample import RowSample
from monitoring.sketches.sketch import Sketch
from monitoring.state.adapters import AdapterNotes
from monitoring.state.head import Head
from monitoring.state.kinds import Codec, Codecs, Kind
from monitoring.state.ports import Maker
from monitoring.state.recent import RecentRows
from monitoring.state.reference_rows import Partial, Pool
from monitoring.state.references import Made


def codecs_of(maker: Maker) -> Codecs:
    """Return them all; watches are the maker's."""
    sketch = Codec(Sketch.to_bytes, Sketch.from_bytes, _sketch_bytes)
    return {
        Kind.HEAD: _plain(Head),
        Kind.FINE: sketch,
        Kind.HOUR: sketch,
        Kind.DAY: sketch,
        Kind.SAMPLE: Codec(RowSample.to_bytes, RowSample.from_bytes),
        Kind.WATCH: Codec(maker.watch_to_bytes, maker.watch_from_bytes),
        Kind.HISTORY: _plain(list[HistoryPoint]),
        Kind.ALARMS: _plain(list[Alarm]),
        Kind.RECENT: _plain(RecentRows),
        Kind.MEMO: Codec(bytes, bytes),
        Kind.ADAPTER: _plain(AdapterNotes),
        Kind.REFERENCE: _plain(Made),
        Kind.REFERENCE_ROWS: _plain(ReferenceRows),
        Kind.PARTIAL: _plain(Partial),
        Kind.POOL: _plain(Pool),
    }


def _sketch_bytes(sketch: Sketch, _: int) -> int:
    """Return how much memory a sketch takes: bytes at rest are packed."""
    sums = (sketch.main_sum, sketch.base_sum, sketch.class_sums, sketch.images)
    return 1024 + sum(
        array.nbytes for array in (sketch.tally, sketch.bitmap, *sums) if array is not None
    )


def _plain(kind: Any) -> Codec:
    return Codec(codec.encode, partial(codec.decode, kind=kind))
