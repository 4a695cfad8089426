import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.ingest.frames import Frame, frame_of
from monitoring.ingest.predictions import orders_of
from monitoring.watched import Watched
from service.events.reader import LogBatch
from service.events.schema import SCHEMA
from tests.fakes.events import read_all
from tests.fakes.logs import DAY_S, Version, embeddings_of, probabilities_of, written_log

NOW_US = round(DAY_S * 1e6)


def row_of(**others: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": "prediction",
        "sequence": 0,
        "time": NOW_US,
        "tenant": "acme",
        "adapter": "support",
        "version": 1,
        "digest": "d1",
        "backbone": "b1",
        "role": "live",
        "prediction_id": "p1",
        "class_index": 1,
        "class_name": "delivery",
        "confidence": 0.5,
        "probabilities": [0.25, 0.5, 0.25],
        "embedding": [1.0, 0.0],
        "base_embedding": None,
        "tokens": 5,
        "unknown_tokens": 1,
        "truncated": False,
        "sample": 1.0,
    }
    return {**row, **others}


def batch_of(*rows: dict[str, Any], drop: tuple[str, ...] = ()) -> LogBatch:
    fields = [field for field in SCHEMA if field.name not in drop]
    columns = []
    for field in fields:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_list(field.type):
            halves = [None if value is None else np.array(value, np.float16) for value in values]
            columns.append(pa.array(halves, field.type))
        else:
            columns.append(pa.array(values, field.type))
    records = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
    return LogBatch("0123-writer", 1, 1, 0, len(rows), DAY_S + 1.5, records)


def predictions(*rows: dict[str, Any]) -> Frame:
    return frame_of(batch_of(*rows))


ROWS = st.lists(
    st.builds(
        row_of,
        sequence=st.integers(0, 1 << 40),
        time=st.integers(NOW_US, NOW_US + 10**9),
        tenant=st.sampled_from(["acme", "globex"]),
        version=st.integers(1, 2),
        role=st.sampled_from(["live", "shadow"]),
        prediction_id=st.text(min_size=1, max_size=5),
        embedding=st.sampled_from([None, [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]),
        base_embedding=st.sampled_from([None, None, [0.0, 1.0, 0.0]]),
        tokens=st.integers(0, 99),
        truncated=st.booleans(),
        characters=st.none() | st.integers(0, 99),
        fingerprint=st.none() | st.integers(1, 1 << 62),
        group=st.sampled_from([None, "north"]),
        text=st.none() | st.text(max_size=3),
        audit=st.booleans(),
    ),
    max_size=20,
)


@given(ROWS)
def test_a_frame_is_sorted_by_version_and_role_as_if_row_by_row(rows: list[dict[str, Any]]) -> None:
    frame = predictions(*rows)
    assert not frame.malformed
    expected: dict[Watched, list[dict[str, Any]]] = {}
    for row in rows:
        watched = Watched(row["tenant"], row["adapter"], row["version"], row["role"])
        expected.setdefault(watched, []).append(row)
    assert [group.watched for group in frame.predictions.groups] == list(expected)
    for group in frame.predictions.groups:
        some, own = group.rows, expected[group.watched]
        assert list(some.prediction_ids) == [row["prediction_id"] for row in own]
        assert some.time_us.tolist() == [row["time"] for row in own]
        assert some.tokens.tolist() == [row["tokens"] for row in own]
        assert some.truncated.tolist() == [row["truncated"] for row in own]
        assert some.audit.tolist() == [row["audit"] for row in own]
        assert list(some.groups) == [row["group"] for row in own]
        assert list(some.texts) == [row["text"] for row in own]
        assert some.characters.tolist() == [
            -1 if row["characters"] is None else row["characters"] for row in own
        ]
        assert some.fingerprint.tolist() == [row["fingerprint"] or 0 for row in own]
        assert some.probabilities.shape == (len(own), 3)
        sequence = np.array([row["sequence"] for row in own], np.int64)
        assert some.order.tolist() == orders_of("0123-writer", sequence).tolist()
        for name, at, vectors, first, matrices in (
            (
                "embedding",
                some.embedded,
                some.embeddings,
                group.first,
                frame.predictions.embeddings,
            ),
            (
                "base_embedding",
                some.based,
                some.base_embeddings,
                group.base_first,
                frame.predictions.base_embeddings,
            ),
        ):
            there = [number for number, row in enumerate(own) if row[name] is not None]
            assert at.tolist() == there
            for number, vector in zip(there, vectors, strict=True):
                np.testing.assert_array_equal(vector, np.array(own[number][name], np.float16))
            if there:
                matrix = matrices[vectors.shape[1]][first : first + len(there)]
                np.testing.assert_array_equal(matrix, vectors)


def test_the_live_versions_answers_to_a_canarys_rows_are_left_out() -> None:
    rows = [
        row_of(role="canary", version=2, prediction_id="p1"),
        row_of(role="paired", prediction_id="p1", time=NOW_US + 10**9),
        row_of(role=None, prediction_id="p2"),
        row_of(role="paired", prediction_id="p2", confidence=None, embedding=[7.0, 7.0]),
    ]
    frame = predictions(*rows)
    assert [group.watched for group in frame.predictions.groups] == [
        Watched("acme", "support", 2, "canary")
    ]
    assert frame.malformed == {"role": 1}, "of the row without one"
    assert frame.newest_us == NOW_US
    assert frame.events == 4


def test_a_frame_of_pairs_and_failures_alone_says_nothing() -> None:
    failure = {**row_of(kind="failure"), "code": "queue-full", "count": 3, "prediction_id": None}
    frame = predictions(row_of(role="paired"), failure)
    assert not frame.predictions.groups
    assert not frame.malformed
    assert (frame.newest_us, frame.events) == (0, 2)


NAN = float("nan")
BROKEN: dict[str, list[dict[str, Any]]] = {
    "missing value": [{"version": None}, {"class_index": None}, {"prediction_id": None}],
    "role": [{"role": "captain"}, {"role": None}, {"role": "reference"}],
    "time": [{"time": -5}, {"time": 300_000_000_000_000_000}],
    "probabilities": [
        {"probabilities": None},
        {"probabilities": []},
        {"probabilities": [0.1, NAN, 0.2]},
        {"probabilities": [0.1, 1.5, 0.2]},
        {"probabilities": [0.1, -0.5, 0.2]},
    ],
    "class": [{"class_index": 3}, {"class_index": -1}],
    "confidence": [{"confidence": NAN}, {"confidence": None}, {"confidence": 1.5}],
    "tokens": [{"tokens": -1}, {"unknown_tokens": -2}],
    "embedding": [
        {"embedding": [NAN, 0.0]},
        {"embedding": [float("inf"), 0.0]},
        {"embedding": [30.0, 40.0]},
        {"embedding": []},
        {"base_embedding": [NAN]},
    ],
}


@pytest.mark.parametrize(
    ("fault", "wrong"), [(name, wrong) for name, some in BROKEN.items() for wrong in some]
)
def test_what_is_malformed_is_counted_and_the_rest_stays(fault: str, wrong: dict[str, Any]) -> None:
    frame = predictions(row_of(), row_of(**{"prediction_id": "p2", **wrong}), row_of())
    assert frame.malformed == {fault: 1}
    [group] = frame.predictions.groups
    assert list(group.rows.prediction_ids) == ["p1", "p1"]
    assert len(group.rows.embeddings) == 2
    assert frame.events == 3


def test_an_embedding_of_another_size_is_malformed() -> None:
    frame = predictions(
        row_of(), row_of(embedding=[1.0, 0.0, 0.0]), row_of(embedding=None), row_of()
    )
    assert frame.malformed == {"hidden size": 1}
    [group] = frame.predictions.groups
    assert group.rows.embedded.tolist() == [0, 2]


def test_versions_of_other_sizes_share_a_frame() -> None:
    wide = {"embedding": [0.0, 0.0, 1.0], "probabilities": [0.5, 0.5], "tenant": "globex"}
    frame = predictions(row_of(), row_of(**wide), row_of(), row_of(**wide))
    first, second = frame.predictions.groups
    assert (first.rows.embeddings.shape, second.rows.embeddings.shape) == ((2, 2), (2, 3))
    assert (first.rows.probabilities.shape, second.rows.probabilities.shape) == ((2, 3), (2, 2))
    assert {k: v.shape for k, v in frame.predictions.embeddings.items()} == {2: (2, 2), 3: (2, 3)}
    assert not frame.malformed


def test_classes_of_another_number_are_a_group_of_their_own() -> None:
    frame = predictions(row_of(), row_of(probabilities=[0.5, 0.5]))
    assert [group.rows.probabilities.shape[1] for group in frame.predictions.groups] == [3, 2]


def test_columns_that_are_not_there_yet_are_unknown() -> None:
    missing = ("characters", "text_bytes", "replaced", "fingerprint", "text", "base_embedding")
    frame = frame_of(batch_of(row_of(), row_of(), drop=missing))
    rows = frame.predictions.groups[0].rows
    for name in ("characters", "text_bytes", "replaced"):
        assert getattr(rows, name).tolist() == [-1, -1]
    assert rows.fingerprint.tolist() == [0, 0]
    assert list(rows.texts) == [None, None]
    assert len(rows.based) == 0


def test_a_frame_of_nothing_is_nothing() -> None:
    frame = predictions()
    assert (frame.events, frame.newest_us, frame.predictions.groups) == (0, 0, ())


def label_of(**others: Any) -> dict[str, Any]:
    label = {
        "kind": "label",
        "predicted_at": NOW_US - 10**6,
        "label_index": 2,
        "label": "other",
        "audit": True,
        "audit_probability": 0.5,
    }
    return {**row_of(probabilities=None, embedding=None, tokens=None), **label, **others}


def test_labels_come_with_what_their_ids_say() -> None:
    [label] = predictions(label_of(group="north")).labels
    assert label.watched == Watched("acme", "support", 1, "live")
    assert (label.came_us, label.predicted_us) == (NOW_US, NOW_US - 10**6)
    assert (label.class_index, label.label_index, label.label) == (1, 2, "other")
    assert (label.audit, label.audit_probability, label.group) == (True, 0.5, "north")


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": None},
        {"role": "captain"},
        {"prediction_id": ""},
        {"class_index": None},
        {"label_index": -1},
        {"confidence": NAN},
        {"audit_probability": 1.5},
        {"predicted_at": None},
    ],
)
def test_a_malformed_label_is_counted(wrong: dict[str, Any]) -> None:
    frame = predictions(label_of(**wrong), label_of())
    assert len(frame.labels) == 1
    assert frame.malformed == {"label": 1}


def rollout_of(**others: Any) -> dict[str, Any]:
    blank = dict.fromkeys(row_of())
    rollout = {
        "kind": "rollout",
        "sequence": 1,
        "time": NOW_US,
        "tenant": "acme",
        "adapter": "support",
        "revision": 4,
        "after": '{"live": 3}',
        "actor": "admin",
    }
    return {**blank, **rollout, **others}


def test_rollouts_are_documents() -> None:
    frame = predictions(rollout_of(), rollout_of(before='{"live": 1}', reason="urgent"))
    first, second = frame.rollouts
    assert (first.before, first.after, first.reason) == (None, {"live": 3}, None)
    assert (second.before, second.reason, second.actor) == ({"live": 1}, "urgent", "admin")
    assert frame.newest_us == 0, "a rollout may be written late: it does not move the time on"


@pytest.mark.parametrize(
    "wrong",
    [{"after": None}, {"after": "{"}, {"after": "[1]"}, {"revision": None}, {"before": "no"}],
)
def test_a_malformed_rollout_is_counted(wrong: dict[str, Any]) -> None:
    assert predictions(rollout_of(**wrong)).malformed == {"rollout": 1}


def test_kinds_share_a_frame() -> None:
    quarantine = {"kind": "quarantine", "version": 1, "digest": "d1", "reason": "not finite"}
    frame = predictions(
        label_of(), rollout_of(), {**rollout_of(), **quarantine}, {**rollout_of(), "kind": "party"}
    )
    assert [len(x) for x in (frame.labels, frame.rollouts, frame.quarantines)] == [1, 1, 1]
    assert frame.quarantines[0].reason == "not finite"
    assert frame.malformed == {"kind": 1}
    without = {**rollout_of(), **quarantine, "digest": None}
    assert predictions(without).malformed == {"quarantine": 1}


def reference_rows(folder: Path, n: int) -> list[Frame]:
    with written_log(folder) as log:
        base = embeddings_of(n, seed=2)
        log.reference(embeddings_of(n), probabilities_of(n), time_s=DAY_S, base=base)
    return [frame_of(batch) for batch in read_all(folder)]


def test_references_come_in_parts(tmp_path: Path) -> None:
    parts = [part for frame in reference_rows(tmp_path, 700) for part in frame.references]
    assert [(part.row, len(part), part.rows) for part in parts] == [(0, 512, 700), (512, 188, 700)]
    assert parts[0].key == ("acme", "support", 1, "sha256:acme.support.1")
    assert parts[0].names == {0: "refund", 1: "delivery", 2: "other"}
    for part in parts:
        assert part.embeddings is not None
        assert part.base_embeddings is not None
        there = slice(part.row, part.row + len(part))
        np.testing.assert_allclose(part.embeddings, embeddings_of(700)[there], atol=1e-3)
        np.testing.assert_allclose(
            part.base_embeddings, embeddings_of(700, seed=2)[there], atol=1e-3
        )
        np.testing.assert_array_equal(part.class_index, part.label_index)


def part_row(number: int, **others: Any) -> dict[str, Any]:
    row = row_of(kind="reference", role="reference", label_index=1, label="delivery")
    return {**row, "row": number, "rows": 3, **others}


@pytest.mark.parametrize(
    "wrong",
    [
        {"probabilities": [0.5, 0.5]},
        {"probabilities": [0.5, NAN, 0.5]},
        {"embedding": None},
        {"embedding": [3.0, 4.0]},
        {"label_index": 7},
        {"rows": 9},
        {"tokens": None},
        {"class_index": None},
    ],
)
def test_one_malformed_row_costs_a_reference_its_part(wrong: dict[str, Any]) -> None:
    frame = predictions(part_row(0), part_row(1, **wrong), part_row(2))
    assert frame.references == ()
    assert frame.malformed == {"reference": 3}


IMAGE = {
    "width": 640, "height": 480, "image_bytes": 9_000, "brightness": 0.5, "sharpness": 0.25,
    "tokens": None, "unknown_tokens": None, "truncated": None,
}  # fmt: skip


def test_a_reference_of_images_needs_no_tokens() -> None:
    small = {**IMAGE, "sharpness": None}
    frame = predictions(part_row(0, **IMAGE), part_row(1, **small), part_row(2, **IMAGE))
    [part] = frame.references
    assert part.images is not None
    np.testing.assert_array_equal(part.images.width, [640, 640, 640])
    assert np.isnan(part.images.sharpness).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"brightness": None},
        {"brightness": 1.5},
        {"height": None},
        {"height": 0},
        {"image_bytes": None},
        {"sharpness": -1.0},
        {"width": 0},
        {"width": None},
        {"width": None, "tokens": 5, "unknown_tokens": 1},
    ],
)
def test_one_image_that_is_none_costs_a_reference_its_part(wrong: dict[str, Any]) -> None:
    bad = part_row(1, **{**IMAGE, **wrong})
    frame = predictions(part_row(0, **IMAGE), bad, part_row(2, **IMAGE))
    assert frame.references == ()
    assert frame.malformed == {"reference": 3}


def test_a_reference_of_texts_shares_a_frame_with_one_of_images() -> None:
    frame = predictions(part_row(0), part_row(0, version=2, **IMAGE))
    assert [part.images is not None for part in frame.references] == [False, True]


def test_references_of_two_versions_share_a_frame() -> None:
    frame = predictions(part_row(0), part_row(1), part_row(0, version=2), part_row(2, version=2))
    assert [(part.version, part.row, len(part)) for part in frame.references] == [
        (1, 0, 2),
        (2, 0, 1),
        (2, 2, 1),
    ]


def test_what_the_service_writes_is_understood(tmp_path: Path) -> None:
    version = Version(labels=("a", "b", "c", "d"))
    with written_log(tmp_path) as log:
        ids = log.predictions(
            embeddings_of(6),
            probabilities_of(6, 4),
            time_s=DAY_S + 5,
            version=version,
            base=embeddings_of(2),
            base_rows=[1, 4],
            group="north",
            texts=["x"] * 6,
        )
        log.label(ids[2], 3, time_s=DAY_S + 9)
        log.rollout({"live": 1}, time_s=DAY_S + 10)
    first, second, third = [frame_of(batch) for batch in read_all(tmp_path)]
    [group] = first.predictions.groups
    assert (group.digest, group.sample) == (version.named, 1.0)
    assert set(group.names) <= {"a", "b", "c", "d"}
    assert group.rows.based.tolist() == [1, 4]
    assert list(group.rows.texts) == ["x"] * 6
    assert second.labels[0].prediction_id == ids[2]
    assert second.newest_us == round((DAY_S + 9) * 1e6)
    assert json.loads(json.dumps(dict(third.rollouts[0].after))) == {"live": 1}


def test_samples_are_decided_by_writer_and_number_alone() -> None:
    numbers = np.arange(2000)
    orders = orders_of("a", numbers)
    assert (orders >= 0).all()
    assert len(set(orders.tolist())) == 2000
    assert orders_of("a", numbers[7:9]).tolist() == orders[7:9].tolist()
    assert orders_of("b", numbers).tolist() != orders.tolist()
    below = (orders < 2**62).mean()
    assert abs(below - 0.5) < 0.05


def test_a_batch_keeps_its_place() -> None:
    frame = frame_of(replace(batch_of(row_of()), first=7))
    assert (frame.writer, frame.first, frame.written_us) == ("0123-writer", 7, NOW_US + 1_500_000)
