from dataclasses import replace

import numpy as np

from monitoring import codec
from monitoring.detectors import inputs
from monitoring.report import Quality
from monitoring.rows import Images
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.detectors.made_windows import draw, reference_of, rows_of


def images_of(count: int, seed: int, *, light: float = 0.5, blur: float = 1.0) -> Images:
    """Return photographs of one camera."""
    random = np.random.default_rng(seed)
    return Images(
        width=np.full(count, 640),
        height=np.full(count, 480),
        bytes=random.integers(60_000, 120_000, count),
        brightness=np.clip(random.normal(light, 0.1, count), 0, 1).astype(np.float32),
        sharpness=(0.02 * blur * np.exp(0.4 * random.normal(size=count))).astype(np.float32),
    )


def reference() -> inputs.Baseline:
    rows = replace(reference_of(draw(400, 0)), images=images_of(400, 0))
    found = inputs.baseline(rows)
    assert found is not None
    return codec.decode(codec.encode(found), inputs.Baseline)


def assess(
    baseline: inputs.Baseline | None, undecodable: int = 0, **changes: float
) -> dict[str, Quality]:
    sketch = Sketch.empty(4)
    rows = replace(rows_of(draw(200, 1), embedded=False), images=images_of(200, 1, **changes))
    sketch.add(rows, None, None, None)
    if undecodable:
        sketch.add_undecodable(undecodable)
    return {found.name: found for found in inputs.assess(baseline, sketch)}


def known(value: float | None) -> float:
    assert value is not None
    return value


def test_healthy_images_are_told_beside_the_reference_s() -> None:
    found = assess(reference())
    assert found["undecodable"].now == 0.0
    assert found["undecodable"].reference is None
    side = found["side_p50"]
    assert side.unit == "pixels"
    assert abs(known(side.now) - 554) < 20
    assert side.now == side.reference
    for name in ("brightness_p50", "sharpness_p50", "side_p95"):
        assert found[name].count == 200
        assert found[name].pvalue is None or known(found[name].pvalue) > 0.01
    assert 0.2 < known(found["bytes_per_pixel"].now) < 0.4


def test_what_texts_have_is_not_told_of_images() -> None:
    assert not {"truncated", "tokens_p50", "unknown_tokens", "empty"} & assess(reference()).keys()


def test_dark_images_and_blurred_ones_are_told_apart() -> None:
    dark, blurred = assess(reference(), light=0.3), assess(reference(), blur=0.2)
    assert known(dark["brightness_p50"].pvalue) < 1e-6 < known(dark["sharpness_p50"].pvalue)
    assert known(dark["brightness_p50"].now) < known(dark["brightness_p50"].reference) - 0.15
    assert known(blurred["sharpness_p50"].pvalue) < 1e-6
    assert known(blurred["brightness_p50"].pvalue) > 1e-6
    assert known(blurred["sharpness_p50"].now) < 0.4 * known(blurred["sharpness_p50"].reference)


def test_images_that_could_not_be_decoded_are_a_share_of_all_that_were_asked() -> None:
    found = assess(reference(), undecodable=50)["undecodable"]
    assert found.now == 50 / 250
    assert found.count == 250


def test_without_a_reference_the_window_alone_is_told() -> None:
    found = assess(None)
    assert found["brightness_p50"].reference is None
    assert found["brightness_p50"].pvalue is None
    assert known(found["brightness_p50"].now) > 0.4
