from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.events.columns import (
    InvalidBlock,
    check_block,
    check_reference,
    prediction_batch,
    record_batch,
    reference_batch,
    unit_rows,
)
from service.events.image_figures import ImageFigures
from service.events.predictions import PredictionBlock
from service.events.records import Failure, Undecodable
from service.events.schema import SCHEMA
from service.events.text_figures import TextFigures, figures_of
from tests.fakes.events import (
    CLASSES,
    HIDDEN,
    block_of,
    label_of,
    quarantine_of,
    reference_of,
    rollout_of,
)


def rows(*blocks: PredictionBlock) -> list[dict[str, object]]:
    for block in blocks:
        check_block(block)
    batch = prediction_batch(blocks, 40, list)
    batch.validate(full=True)
    assert batch.schema.equals(SCHEMA)
    found: list[dict[str, object]] = batch.to_pylist()
    return found


def test_each_text_is_a_row_with_its_requests_fields() -> None:
    first, second = block_of("acme", 2, first=0), block_of("globex", 3, first=2, version=9)
    found = rows(first, second)
    assert [row["tenant"] for row in found] == ["acme"] * 2 + ["globex"] * 3
    assert [row["version"] for row in found] == [3, 3, 9, 9, 9]
    assert [row["sequence"] for row in found] == [40, 41, 42, 43, 44]
    assert [row["prediction_id"] for row in found] == [*first.ids, *second.ids]
    assert [row["tokens"] for row in found] == [5, 6, 5, 6, 7]
    assert {row["kind"] for row in found} == {"prediction"}
    assert {str(row["time"]) for row in found} == {"2025-03-31 09:30:00.250000+00:00"}


def test_a_block_a_text_gives_the_same_rows_as_one_block_of_all() -> None:
    whole = block_of(count=4)
    parts = [
        block_of(
            ids=whole.ids[row : row + 1],
            class_index=whole.class_index[row : row + 1],
            probabilities=whole.probabilities[row : row + 1],
            embeddings=None if whole.embeddings is None else whole.embeddings[row : row + 1],
            tokens=whole.tokens[row : row + 1],
        )
        for row in range(4)
    ]
    assert rows(whole) == rows(*parts)


def test_confidence_and_name_are_those_of_the_predicted_class() -> None:
    block = block_of(count=5)
    for number, row in enumerate(rows(block)):
        top = int(block.class_index[number])
        assert row["confidence"] == pytest.approx(float(block.probabilities[number, top]))
        assert row["class_name"] == CLASSES[top]
        assert row["probabilities"] == pytest.approx(block.probabilities[number], abs=1e-3)


def test_blocks_of_different_numbers_of_classes_stand_side_by_side() -> None:
    wide = np.full((1, 300), 1 / 300, np.float32)
    other = block_of(probabilities=wide, class_index=np.array([299]), labels=())
    found = rows(block_of(count=2), other)
    assert [len(row["probabilities"]) for row in found] == [3, 3, 300]  # type: ignore[arg-type]
    assert found[2]["class_name"] is None
    assert found[2]["confidence"] == pytest.approx(1 / 300)


def test_embeddings_are_scaled_to_norm_one() -> None:
    block = block_of(count=3)
    assert block.embeddings is not None
    for row, raw in zip(rows(block), block.embeddings, strict=True):
        unit = raw / np.linalg.norm(raw)
        assert row["embedding"] == pytest.approx(unit, abs=1e-3)
        assert row["base_embedding"] is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.0, 0.0], [0.0, 0.0]),
        ([3e-30, 4e-30], [0.0, 0.0]),  # its square is 0 in float32
        ([3.0, -4.0], [0.6, -0.8]),
        ([1e30, 1.0], [np.nan, np.nan]),
        ([np.inf, 1.0], [np.nan, np.nan]),
    ],
)
def test_what_has_no_norm_is_not_a_number(row: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(
        unit_rows(np.array([row], np.float32))[0], np.array(expected, np.float32), atol=1e-7
    )


def test_a_block_without_embeddings_leaves_them_out_beside_others() -> None:
    bare = block_of(embeddings=None)
    found = rows(block_of(), bare, block_of(embeddings=np.ones((1, 4), np.float32)))
    assert [None if row["embedding"] is None else len(row["embedding"]) for row in found] == [  # type: ignore[arg-type]
        HIDDEN,
        None,
        4,
    ]


def test_base_embeddings_belong_to_the_rows_that_were_sampled() -> None:
    base = np.eye(2, 4, dtype=np.float32)
    found = rows(
        block_of(count=3, base_embeddings=base, base_rows=[0, 2]),
        block_of(count=2, base_embeddings=base),
        block_of(),
    )
    assert [row["base_embedding"] for row in found] == [
        [1.0, 0.0, 0.0, 0.0],
        None,
        [0.0, 1.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        None,
    ]


def test_figures_of_texts_are_written_without_the_texts() -> None:
    texts = ["grüß dich", "a\ufffdb"]
    figures = figures_of(texts, "acme", bytes(32))
    found = rows(block_of(count=2, figures=figures), block_of())
    names = ("characters", "text_bytes", "replaced", "fingerprint", "text")
    assert [[row[name] for name in names] for row in found] == [
        [9, 11, 0, figures.fingerprints[0], None],
        [3, 5, 1, figures.fingerprints[1], None],
        [None] * 5,
    ]
    assert SCHEMA.field("fingerprint").type == pa.int64()


def test_only_texts_that_are_given_are_written() -> None:
    found = rows(block_of(count=2, texts=["a", "b"]), block_of())
    assert [row["text"] for row in found] == ["a", "b", None]


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert rows(block_of(group="vip\ud800"))[0]["group"] == "vip?"


@pytest.mark.parametrize(
    "others",
    [
        {"tokens": [1]},
        {"audit": []},
        {"probabilities": np.ones((1, 3), np.float32)},
        {"texts": ["one"]},
        {"figures": figures_of(["one"], "acme", bytes(32))},
        {"figures": TextFigures([1, 2], [1, 2], [0], [3, 4])},
        {"embeddings": np.ones((3, 4), np.float32)},
        {"base_embeddings": np.ones((1, 4), np.float32)},
        {"base_embeddings": np.ones((2, 4), np.float32), "base_rows": [1, 0]},
        {"base_embeddings": np.ones((1, 4), np.float32), "base_rows": [2]},
        {"base_embeddings": np.ones((1, 4), np.float32), "base_rows": [-1]},
    ],
)
def test_a_block_whose_parts_do_not_fit_is_refused(others: dict[str, Any]) -> None:
    with pytest.raises(InvalidBlock):
        check_block(block_of(count=2, **others))


@pytest.mark.parametrize("top", [-1, 3])
def test_a_class_that_does_not_exist_is_refused(top: int) -> None:
    with pytest.raises(InvalidBlock):
        prediction_batch([block_of(class_index=np.array([top]))], 0, list)


def test_a_label_says_what_its_id_says_and_the_truth() -> None:
    [row] = record_batch([label_of(group="vip")], 7).to_pylist()
    assert row["kind"] == "label"
    assert row["sequence"] == 7
    assert (row["class_index"], row["label_index"], row["label"]) == (1, 0, "refund")
    assert row["predicted_at"].timestamp() == 1_743_000_000
    assert row["time"].timestamp() == 1_743_413_400.5
    assert row["group"] == "vip"
    assert row["actor"] == "0123456789abcdef"


@pytest.mark.parametrize(
    ("live", "canary", "role"),
    [(True, False, "live"), (False, True, "canary"), (False, False, "pinned")],
)
def test_a_labels_role_follows_from_its_ids_flags(live: bool, canary: bool, role: str) -> None:
    [row] = record_batch([label_of(live=live, canary=canary)], 0).to_pylist()
    assert row["role"] == role


def test_rollouts_and_quarantines_share_a_batch_with_labels() -> None:
    found = record_batch([rollout_of(4), label_of(), quarantine_of()], 0).to_pylist()
    assert [row["kind"] for row in found] == ["rollout", "label", "quarantine"]
    assert found[0]["after"] == '{"live":3}'
    assert found[0]["before"] is None
    assert found[0]["version"] is None
    assert found[0]["revision"] == 4
    assert found[2]["reason"] == "non-finite output"


def test_a_references_rows_are_numbered_and_say_how_many_there_are() -> None:
    reference = reference_of(5)
    found = reference_batch(reference, 2, 5, 10).to_pylist()
    assert [row["row"] for row in found] == [2, 3, 4]
    assert {row["rows"] for row in found} == {5}
    assert {row["role"] for row in found} == {"reference"}
    tops = [CLASSES[top] for top in reference.class_index[2:].tolist()]
    assert [row["label"] for row in found] == tops
    assert reference.embeddings is not None
    assert found[0]["embedding"] == pytest.approx(unit_rows(reference.embeddings)[2], abs=1e-3)


def test_a_reference_whose_parts_do_not_fit_is_refused() -> None:
    whole, short = reference_of(3), reference_of(2)
    for name in ("label_index", "probabilities", "embeddings", "tokens"):
        fields = {field: getattr(whole, field) for field in whole.__slots__}
        with pytest.raises(InvalidBlock):
            check_reference(type(whole)(**{**fields, name: getattr(short, name)}))


def test_the_schema_names_its_version() -> None:
    assert pa.ipc.read_schema(SCHEMA.serialize()).metadata == {b"tenantry.events": b"1"}


def images_of(count: int) -> ImageFigures:
    return ImageFigures(
        [640 + row for row in range(count)],
        [480] * count,
        [9000] * count,
        [0.25] * count,
        [None, *[0.5] * (count - 1)],
        list(range(1, count + 1)),
    )


def test_figures_of_images_stand_beside_rows_of_texts() -> None:
    nothing: list[None] = [None, None]
    of_images = block_of(
        count=2, images=images_of(2), tokens=nothing, unknown=nothing, truncated=nothing
    )
    found = rows(
        of_images, block_of(count=1, first=2, figures=figures_of(["a"], "acme", bytes(32)))
    )
    assert [row["width"] for row in found] == [640, 641, None]
    assert [row["sharpness"] for row in found] == [None, 0.5, None]
    assert [row["tokens"] for row in found] == [None, None, 5]
    assert [row["characters"] for row in found] == [None, None, 1]
    assert [row["fingerprint"] for row in found][:2] == [1, 2]


def test_figures_of_another_number_of_images_are_refused() -> None:
    with pytest.raises(InvalidBlock, match="images"):
        check_block(block_of(count=2, images=images_of(3)))
    with pytest.raises(InvalidBlock, match="images"):
        check_reference(replace(reference_of(2), images=images_of(3)))


def test_a_reference_of_images_has_their_figures() -> None:
    reference = replace(reference_of(4), images=images_of(4))
    found = reference_batch(reference, 1, 3, 0).to_pylist()
    assert [row["width"] for row in found] == [641, 642]
    assert [row["brightness"] for row in found] == [0.25, 0.25]


def test_undecodable_images_are_one_row_with_a_count() -> None:
    event = Undecodable("acme", "support", 3, "sha256:d", "sha256:b", "canary", 12, 1_743_413_400.0)
    (row,) = record_batch([event], 5).to_pylist()
    assert (row["kind"], row["count"], row["role"], row["version"]) == (
        "undecodable",
        12,
        "canary",
        3,
    )
    assert row["sequence"] == 5


def test_failed_requests_are_one_row_with_a_code_and_a_count() -> None:
    event = Failure(
        "acme", "support", 3, "sha256:d", "sha256:b", "canary", "overloaded", 12, 1_743_413_400.0
    )
    (row,) = record_batch([event], 5).to_pylist()
    assert (row["kind"], row["code"], row["count"]) == ("failure", "overloaded", 12)
    assert (row["role"], row["version"], row["sequence"]) == ("canary", 3, 5)
