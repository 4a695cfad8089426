"""The event log: what goes in comes out, and no bytes on the disk harm a reader."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.events.erasure import erase
from service.events.folder import segments, writers
from service.events.predictions import PredictionBlock
from service.events.reader import LogReader
from service.events.records import Label
from service.events.text_figures import TextFigures, figures_of
from tests.fakes.events import (
    QUIET,
    SetClock,
    block_of,
    label_of,
    open_log,
    read_all,
    rows_of,
)

WAIT_S = 20.0
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.sampled_from(["acme", "globex", "initech"])


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@st.composite
def blocks(draw: st.DrawFn) -> PredictionBlock:
    count = draw(st.integers(1, 4))
    classes = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    some = st.lists(st.integers(0, 1 << 20), min_size=count, max_size=count)
    flags = st.lists(st.booleans(), min_size=count, max_size=count)
    width = draw(st.sampled_from([None, 3, 8]))
    base = draw(st.none() | st.sets(st.integers(0, count - 1)).map(sorted))
    return block_of(
        draw(NAMES),
        count,
        version=draw(st.integers(1, 1 << 30)),
        role=draw(st.sampled_from(["live", "canary", "shadow", "pinned"])),
        time_s=draw(st.integers(0, 1 << 32)) + draw(st.sampled_from([0.0, 0.5, 0.25])),
        ids=draw(st.lists(TEXT, min_size=count, max_size=count)),
        request_id=draw(TEXT),
        trace_id=draw(st.none() | TEXT),
        class_index=rng.integers(0, classes, count),
        probabilities=rng.dirichlet(np.ones(classes), count).astype(np.float32),
        labels=tuple(f"class {number}" for number in range(classes)),
        embeddings=None if width is None else rng.normal(size=(count, width)).astype(np.float32),
        base_embeddings=None if base is None else np.ones((len(base), 4), np.float32),
        base_rows=base,
        tokens=draw(some),
        unknown=draw(some),
        truncated=draw(flags),
        group=draw(st.none() | TEXT),
        audit=draw(flags),
        texts=draw(st.none() | st.lists(TEXT, min_size=count, max_size=count)),
        figures=draw(st.none() | st.lists(TEXT, min_size=count, max_size=count).map(figures)),
    )


def figures(texts: list[str]) -> TextFigures:
    return figures_of(texts, "acme", bytes(32))


@st.composite
def labels(draw: st.DrawFn) -> Label:
    return label_of(
        tenant=draw(NAMES),
        prediction_id=draw(TEXT),
        predicted_s=draw(st.integers(0, 1 << 32)),
        class_index=draw(st.integers(0, 65535)),
        label_index=draw(st.integers(0, 65535)),
        label=draw(TEXT),
        group=draw(st.none() | TEXT),
        live=draw(st.booleans()),
        audit=draw(st.booleans()),
    )


EVENTS = st.lists(blocks() | st.lists(labels(), min_size=1, max_size=4), max_size=12)


def expected(event: PredictionBlock | Label, row: int) -> dict[str, Any]:
    """Return what a reader must see of one row, written out plainly."""
    if isinstance(event, Label):
        names = ("tenant", "prediction_id", "class_index", "label_index", "label", "group")
        return {name: getattr(event, name) for name in names}
    base = event.base_embeddings is not None and row in (event.base_rows or [])
    return {
        "tenant": event.tenant,
        "version": event.version,
        "role": event.role,
        "prediction_id": event.ids[row],
        "request_id": event.request_id,
        "trace_id": event.trace_id,
        "class_index": int(event.class_index[row]),
        "class_name": f"class {event.class_index[row]}",
        "tokens": event.tokens[row],
        "unknown_tokens": event.unknown[row],
        "truncated": event.truncated[row],
        "group": event.group,
        "audit": event.audit[row],
        "text": None if event.texts is None else event.texts[row],
        "base_embedding": [0.5] * 4 if base else None,
        "characters": None if event.figures is None else event.figures.characters[row],
        "text_bytes": None if event.figures is None else event.figures.bytes[row],
        "replaced": None if event.figures is None else event.figures.replaced[row],
        "fingerprint": None if event.figures is None else event.figures.fingerprints[row],
    }


def check_numbers(block: PredictionBlock, row: int, seen: dict[str, Any]) -> None:
    probabilities = block.probabilities[row]
    np.testing.assert_allclose(seen["probabilities"], probabilities, atol=1e-3)
    assert seen["confidence"] == np.float32(probabilities[block.class_index[row]])
    assert seen["time"].timestamp() == block.time_s
    if block.embeddings is None:
        assert seen["embedding"] is None
    else:
        unit = block.embeddings[row] / np.linalg.norm(block.embeddings[row])
        np.testing.assert_allclose(seen["embedding"], unit, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.sampled_from([1, 1 << 14, 1 << 30]), st.data())
def test_what_goes_in_comes_out_in_order(
    events: list[PredictionBlock | list[Label]], segment_bytes: int, data: st.DataObject
) -> None:
    with folder() as path:
        rows: list[tuple[PredictionBlock | Label, int]] = []
        with open_log(path, replace(QUIET, segment_bytes=segment_bytes)) as log:
            for event in events:
                if isinstance(event, list):
                    log.append(event).result(WAIT_S)
                    rows += [(label, 0) for label in event]
                else:
                    log.predictions(event)
                    assert log.flush(WAIT_S)
                    rows += [(event, row) for row in range(len(event))]
        seen = rows_of(read_all(path))
        assert [row["sequence"] for row in seen] == list(range(len(rows)))
        for (written, row), found in zip(rows, seen, strict=True):
            assert found.items() >= expected(written, row).items()
            if isinstance(written, PredictionBlock):
                check_numbers(written, row, found)
        tenant = data.draw(NAMES)
        assert erase(path, tenant).events == sum(row["tenant"] == tenant for row in seen)
        left = rows_of(read_all(path))
        assert left == [row for row in seen if row["tenant"] != tenant]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([-5.0, 0.0, 0.001, 60.0])), max_size=25),
    st.lists(st.integers(0, 4), max_size=25),
)
def test_one_reader_that_stops_anywhere_and_one_that_comes_late_see_the_same_order(
    writes: list[tuple[int, float]], reads: list[int]
) -> None:
    """Three writers, a clock that jumps, a reader that begins anew at each batch."""
    time = SetClock()
    with folder() as path:
        logs = [open_log(path, clock=time.clock()) for _ in range(3)]
        opened = [log.__enter__() for log in logs]
        seen: list[tuple[str, int]] = []

        def read(most: int) -> None:
            with LogReader(path, "sidecar", clock=time.clock()) as reader:
                for _, batch in zip(range(most), reader.batches(), strict=False):
                    seen.append((batch.writer, batch.first))
                    reader.commit()

        for number, (writer, passed_s) in enumerate(writes):
            opened[writer].append([label_of(number)]).result(WAIT_S)
            time.pass_s(passed_s)
            if number < len(reads):
                read(reads[number])
        for log in logs:
            log.__exit__(None, None, None)
        read(1000)
        assert seen == [(batch.writer, batch.first) for batch in read_all(path)]
        assert len(seen) == len(writes)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_reader_survives_any_bytes_and_never_invents_events(data: st.DataObject) -> None:
    with folder() as path:
        with open_log(path) as log:
            for number in range(6):
                log.append([label_of(number)]).result(WAIT_S)
        [file] = segments(path, writers(path)[0])
        whole = rows_of(read_all(path))
        content = bytearray(file.path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            what = data.draw(st.sampled_from(["flip", "cut", "insert", "zero", "repeat"]))
            if what == "flip":
                content[place] ^= data.draw(st.integers(1, 255))
            elif what == "cut":
                del content[place : place + data.draw(st.integers(1, 3000))]
            elif what == "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=50))
            elif what == "zero":
                content[place : place + 200] = bytes(len(content[place : place + 200]))
            else:
                content += content[place:]
            if not content:
                break
        file.path.write_bytes(content)
        if data.draw(st.booleans()):
            file.path.rename(file.path.with_suffix(".open"))
        with LogReader(path, "sidecar") as reader:
            seen = rows_of(list(reader.batches()))
            assert list(reader.batches()) == []
            assert reader.backlog().bytes >= 0
        assert all(row in whole for row in seen)
        numbers = [row["sequence"] for row in seen]
        assert numbers == sorted(set(numbers)), "none twice, none out of turn"
        erase(path, "nobody")  # which rewrites what is damaged
        assert rows_of(read_all(path)) == seen
