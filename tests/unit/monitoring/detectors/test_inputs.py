from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitoring import codec
from monitoring.detectors import inputs
from monitoring.references.rows import ReferenceRows
from monitoring.report import Quality
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.detectors.made_windows import draw, reference_of, rows_of


def reference(count: int = 600, **changes: Any) -> ReferenceRows:
    return replace(reference_of(draw(count, 0)), **changes)


def window(count: int = 300, **changes: Any) -> Sketch:
    """Return a sketch of rows alike in everything but what is changed."""
    sketch = Sketch.empty(4)
    sketch.add(replace(rows_of(draw(count, 1), embedded=False), **changes), None, None, None)
    return sketch


def assess(rows: ReferenceRows | None, sketch: Sketch) -> dict[str, Quality]:
    baseline = None if rows is None else inputs.baseline(rows)
    return {found.name: found for found in inputs.assess(baseline, sketch)}


def test_healthy_inputs_are_told_beside_the_reference_s() -> None:
    found = assess(reference(), window())
    assert found["truncated"].now == found["truncated"].reference == 0.1
    assert found["truncated"].count == 300
    assert found["tokens_p50"].now == found["tokens_p50"].reference == 13.0
    assert found["tokens_p95"].now == found["tokens_p95"].reference == 22.0
    assert found["tokens_p95"].unit == "tokens"
    assert found["unknown_tokens"].now == pytest.approx(42 / (300 * 13.5))
    assert found["empty"].now == 0.0
    assert found["replaced"].now == 0.0
    assert found["bytes_per_token"].unit == "bytes"
    assert found["duplicates"].now == pytest.approx(0.0, abs=0.02)
    for name in ("truncated", "unknown_tokens", "tokens_p50"):
        pvalue = found[name].pvalue
        assert pvalue is not None
        assert pvalue > 0.05


def test_what_the_reference_cannot_know_is_null() -> None:
    found = assess(reference(), window())
    for name in ("empty", "replaced", "bytes_per_token", "duplicates"):
        assert found[name].reference is None
        assert found[name].pvalue is None


def test_more_texts_cut_are_seen() -> None:
    found = assess(reference(), window(truncated=np.arange(300) % 4 == 0))["truncated"]
    assert found.now == 0.25
    assert found.pvalue is not None
    assert found.pvalue < 1e-6


def test_longer_texts_are_seen_in_the_quantiles() -> None:
    found = assess(reference(), window(tokens=np.arange(300) % 20 + 9))
    assert found["tokens_p50"].now == 18.0
    assert found["tokens_p50"].pvalue == found["tokens_p95"].pvalue
    assert found["tokens_p50"].pvalue is not None
    assert found["tokens_p50"].pvalue < 1e-6


def test_empty_texts_odd_characters_and_duplicates_are_shares_of_texts() -> None:
    count = np.arange(300)
    found = assess(
        reference(),
        window(
            characters=np.where(count % 3 == 0, 0, 40),
            replaced=(count % 5 == 0).astype(np.int64) * 7,
            fingerprint=count % 150 * 0x9E37_79B9 + 1,
        ),
    )
    assert found["empty"].now == pytest.approx(1 / 3)
    assert found["replaced"].now == 0.2
    assert found["duplicates"].now == pytest.approx(0.5, abs=0.02)


def test_what_neither_side_knows_is_left_out() -> None:
    unknown = np.full(300, -1)
    dark = window(
        tokens=unknown,
        unknown=unknown,
        characters=unknown,
        text_bytes=unknown,
        replaced=unknown,
        fingerprint=np.zeros(300, dtype=np.int64),
    )
    assert set(assess(None, dark)) == {"truncated"}
    told = assess(reference(), dark)
    assert set(told) == {"truncated", "unknown_tokens", "tokens_p50", "tokens_p95"}
    assert told["tokens_p50"].now is None
    assert told["tokens_p50"].pvalue is None
    assert told["unknown_tokens"].pvalue is None


def test_without_a_reference_there_is_no_p() -> None:
    found = assess(None, window())
    assert found["truncated"].now == 0.1
    assert all(each.reference is None and each.pvalue is None for each in found.values())
    assert inputs.baseline(reference(0)) is None


def test_an_empty_window_has_nothing_to_tell_but_the_reference() -> None:
    found = assess(reference(), Sketch.empty(4))
    assert all(each.now is None and each.pvalue is None for each in found.values())
    assert inputs.assess(None, Sketch.empty(4)) == ()


def test_unknown_tokens_that_come_in_texts_are_not_counted_one_by_one() -> None:
    """Half of the tokens of every tenth text are unknown, in the reference and in each window."""
    random = np.random.default_rng(0)
    flagged = []
    for _ in range(300):
        rows = random.random(600) < 0.1
        base = reference(unknown=np.where(rows, 8, 0), tokens=np.full(600, 16))
        baseline = inputs.baseline(base)
        assert baseline is not None
        assert baseline.crowding == pytest.approx(8, rel=0.1)
        odd = random.random(300) < 0.1
        sketch = window(unknown=np.where(odd, 8, 0), tokens=np.full(300, 16))
        found = {each.name: each for each in inputs.assess(baseline, sketch)}["unknown_tokens"]
        assert found.pvalue is not None
        flagged.append(found.pvalue < 0.05)
    assert 0.015 < np.mean(flagged) < 0.09


def test_unknown_tokens_where_there_were_none_are_seen_in_several_texts_but_not_in_one() -> None:
    base = reference(unknown=np.zeros(600, dtype=np.int64), tokens=np.full(600, 16))
    one = window(unknown=np.where(np.arange(300) == 0, 8, 0), tokens=np.full(300, 16))
    many = window(unknown=np.where(np.arange(300) < 30, 8, 0), tokens=np.full(300, 16))
    first, second = (assess(base, each)["unknown_tokens"].pvalue for each in (one, many))
    assert first is not None
    assert second is not None
    assert first > 0.05
    assert second < 1e-3
    none = window(unknown=np.zeros(300, dtype=np.int64), tokens=np.full(300, 16))
    assert assess(base, none)["unknown_tokens"].pvalue == 1.0


def test_a_baseline_survives_as_bytes() -> None:
    baseline = inputs.baseline(reference())
    data = codec.encode(baseline)
    assert codec.encode(codec.decode(data, inputs.Baseline)) == data
