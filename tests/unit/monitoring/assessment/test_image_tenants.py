"""A tenant whose backbone reads images: drift, inputs and failures, from its log alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring.assessment.bad_inputs import bad_inputs
from monitoring.report import Quality
from monitoring.watched import Watched
from service.events.image_figures import ImageFigures
from service.events.records import Undecodable
from tests.fakes.judged import BUCKET_S, Judged, judged
from tests.fakes.logs import ACME as VERSION
from tests.fakes.logs import BACKBONE, DAY_S, embeddings_of, probabilities_of

ACME = Watched("acme", "support", 1, "live")
ROWS = 80


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        yield found


def at(bucket: int) -> float:
    return DAY_S + bucket * BUCKET_S + 5.0


def of_images(count: int, seed: int, light: float = 0.5) -> dict[str, Any]:
    """Return what a block or a reference of images has: no tokens, and figures."""
    random = np.random.default_rng(seed)
    figures = ImageFigures(
        widths=[640] * count,
        heights=[480] * count,
        bytes=random.integers(50_000, 90_000, count).tolist(),
        brightness=np.clip(random.normal(light, 0.1, count), 0, 1).tolist(),
        sharpness=[None, *(0.01 + 0.02 * random.random(count - 1)).tolist()],
        fingerprints=random.integers(1, 2**62, count).tolist(),
    )
    nothing = [None] * count
    return {"tokens": nothing, "unknown": nothing, "truncated": nothing, "images": figures}


def publish(desk: Judged, rows: int = 300) -> None:
    embeddings, shares = embeddings_of(rows, seed=1), probabilities_of(rows, seed=1)
    desk.log.reference(embeddings, shares, time_s=DAY_S, **of_images(rows, 1))


def send(desk: Judged, bucket: int, *, mean: float = 0.0, light: float = 0.5) -> list[str]:
    seed = 10 + bucket
    found = desk.log.predictions(
        embeddings_of(ROWS, seed=seed, mean=mean),
        probabilities_of(ROWS, seed=seed),
        time_s=at(bucket),
        every_s=1.0,
        **of_images(ROWS, seed, light),
    )
    desk.log.flush()
    return found


def fail(desk: Judged, bucket: int, count: int, **others: Any) -> None:
    event = Undecodable(
        "acme", "support", 1, VERSION.named, BACKBONE, "live", count, at(bucket) + ROWS
    )
    desk.log.append([replace(event, **others)])


def inputs_of(desk: Judged, name: str | None = None) -> dict[str, Quality]:
    """Return what is told of a window's inputs, the primary one's where none is named."""
    told = desk.told(ACME)
    window = next(one for one in told.windows if one.window.name == (name or told.primary))
    return {one.name: one for one in window.inputs}


def test_healthy_images_raise_nothing_and_are_told_beside_the_hold_out_s(desk: Judged) -> None:
    publish(desk)
    for bucket in range(4):
        send(desk, bucket)
    desk.settle()
    told = desk.told(ACME)
    assert told.state == "ok", told.why
    assert told.reference.source == "holdout"
    found = inputs_of(desk)
    assert found["side_p50"].now == found["side_p50"].reference
    assert found["brightness_p50"].reference == pytest.approx(0.5, abs=0.03)
    assert found["undecodable"].now == 0.0
    assert "truncated" not in found
    assert not desk.state.log.malformed


def test_images_that_drift_are_an_alarm_and_dark_ones_are_seen_to_be_dark(desk: Judged) -> None:
    publish(desk)
    send(desk, 0)
    for bucket in range(1, 6):
        send(desk, bucket, mean=0.9, light=0.2)
    desk.settle()
    told = desk.told(ACME)
    assert told.state == "alarm", told.why
    assert "drift" in {one.kind for one in told.alarms}
    dark = inputs_of(desk)["brightness_p50"]
    assert dark.now is not None
    assert dark.now < 0.3
    assert dark.pvalue is not None
    assert dark.pvalue < 1e-6


def test_labels_of_images_count_as_those_of_texts_do(desk: Judged) -> None:
    publish(desk)
    for bucket in range(2):
        for name in send(desk, bucket):
            known = desk.log.by_id[name]
            desk.log.label(name, known.class_index, time_s=at(bucket) + ROWS + 1)
    desk.settle()
    accuracy = desk.memo(ACME).accuracy
    assert accuracy.value == 1.0
    assert accuracy.count == 2 * ROWS


def test_failures_are_counted_in_their_bucket_and_in_all(desk: Judged) -> None:
    publish(desk)
    send(desk, 0)
    fail(desk, 0, 3)
    fail(desk, 0, 1)
    send(desk, 1)
    fail(desk, 1, 16)
    fail(desk, 3, 5)  # a bucket without an answer
    send(desk, 4)
    desk.settle()
    assert desk.memo(ACME).bad_inputs["undecodable"] == 25
    share = inputs_of(desk, "1h")["undecodable"]
    assert share.now == pytest.approx(25 / (25 + 3 * ROWS))
    assert not desk.state.log.malformed
    whole = desk.desk.sketch_between(ACME, 0, 2**62)
    assert whole is not None
    assert bad_inputs(whole.sketch)["undecodable"] == 25
    assert whole.sketch.embedded == 3 * ROWS, "a bucket that failures began has features too"


def test_failures_of_a_version_that_never_answered_are_left_out_and_counted(
    desk: Judged,
) -> None:
    publish(desk)
    send(desk, 0)
    fail(desk, 0, 4, version=2, digest="sha256:other")
    fail(desk, 0, 4, digest="sha256:another")
    fail(desk, 0, 0)
    desk.settle()
    assert desk.memo(ACME).bad_inputs.get("undecodable", 0) == 0
    assert desk.state.log.malformed == {"undecodable before an answer": 2, "undecodable": 1}
