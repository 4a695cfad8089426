"""Which precisions an export is asked for."""

from pathlib import Path

import pytest

from exporter.errors import UnsupportedModel, UnusableData
from exporter.precision.catalogue import PRECISIONS, precisions_named
from exporter.precision.choice import choose_precisions


def named(*names: str, calibrated: bool = False) -> list[str]:
    return [each.name for each in precisions_named(names, calibrated=calibrated)]


def test_auto_is_what_is_cheap_and_int8_where_there_are_real_inputs() -> None:
    assert named("auto") == ["bf16"]
    assert named("auto", calibrated=True) == ["bf16", "int8-static"]


def test_fp32_is_always_there_and_may_be_named() -> None:
    assert named("fp32") == []
    assert named("fp32", "fp16", "int8-dynamic", "fp16") == ["fp16", "int8-dynamic"]


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnsupportedModel, match="int4") as refused:
        precisions_named(("bf16", "int4"), calibrated=True)
    assert all(name in str(refused.value) for name in PRECISIONS)


def test_static_int8_without_a_calibration_set_is_refused_and_says_what_it_needs() -> None:
    with pytest.raises(UnsupportedModel, match="--calibration FILE"):
        precisions_named(("int8-static",), calibrated=False)


def test_a_calibration_set_that_is_not_there_is_refused_before_the_long_work(
    tmp_path: Path,
) -> None:
    with pytest.raises(UnusableData, match="no such file"):
        choose_precisions(("auto",), tmp_path / "absent.jsonl")


def test_a_calibration_set_that_is_too_small_is_refused_before_the_long_work(
    tmp_path: Path,
) -> None:
    file = tmp_path / "set.jsonl"
    file.write_bytes(b'{"text": "a"}\n\n' * 31)
    with pytest.raises(UnusableData, match="31 rows; a measurement needs 32"):
        choose_precisions(("auto",), file)
    file.write_bytes(b'{"text": "a"}\n' * 32)
    assert choose_precisions(("auto",), file).calibration == file


def test_only_auto_leaves_out_what_does_not_pass() -> None:
    assert choose_precisions(("auto",), None).is_auto
    assert not choose_precisions(("bf16",), None).is_auto


def test_no_tolerance_is_looser_for_a_finer_precision() -> None:
    half, brain, whole = (PRECISIONS[n].tolerance for n in ("fp16", "bf16", "int8-static"))
    for figure in ("max_probability_error", "mean_probability_error", "max_embedding_error"):
        assert getattr(half, figure) < getattr(brain, figure) < getattr(whole, figure)
    assert half.label_agreement > brain.label_agreement > whole.label_agreement
