"""The GPU benchmark's dry run: every contestant answers, on a processor, at tiny shapes."""

from pathlib import Path

import orjson
import pytest

from benchmarks.gpu.__main__ import (
    MIXED_OVER_MERGED,
    MIXED_OVER_PEFT,
    MIXED_OVER_TORCH,
    PROMISED_AT,
    main,
)


def test_a_dry_run_measures_every_contestant_and_judges_nobody(tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--tiny", "--only", "MiniLM-L6", "ViT-B", "--adapters", "1"]
    arguments += [str(PROMISED_AT), "--bundles", str(tmp_path / "bundles")]
    report = main([*arguments, "--results", str(tmp_path / "results")])
    [table] = report.tables
    assert [row[:2] for row in table.rows] == [
        ("MiniLM-L6", "1"),
        ("MiniLM-L6", "32"),
        ("ViT-B", "1"),
        ("ViT-B", "32"),
    ]
    assert {bar.limit for bar in report.bars} == {
        MIXED_OVER_MERGED,
        MIXED_OVER_TORCH,
        MIXED_OVER_PEFT,
    }
    assert {bar.verdict for bar in report.bars} == {"reported only"}
    kept = orjson.loads((tmp_path / "results" / "gpu-dry-run.json").read_bytes())
    measured = kept["measured"]["ViT-B, 32 adapters"]
    assert set(measured) == {"mixed", "merged, this engine", "merged, torch SDPA", "peft"}
    assert all(rate > 0 for rates in measured.values() for rate in rates)


def test_without_a_gpu_the_run_itself_ends_and_names_the_dry_run() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="--device cpu --tiny is a dry run"):
        main([])
