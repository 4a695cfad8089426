"""alibi-detect itself, as a back-end: small sizes, fixed seeds."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monitoring.backends.backends import MADE_MAX, Backends
from monitoring.backends.result import BackendResult
from monitoring.backends.rows import BackendRows, Singles
from monitoring.backends.selection import DETECTORS, read_selections

HIDDEN, CLASSES = 16, 4
SMALL: dict[str, dict[str, Any]] = {
    "MMDDrift": {"n_permutations": 99},
    "LSDDDrift": {"n_permutations": 99},
    "KSDrift": {},
    "ClassifierDrift": {"n_folds": 3},
    "MMDDriftOnline": {"ert": 150, "window_size": 10},
}


def rows(count: int, seed: int, shift: float = 0.0) -> BackendRows:
    """Return embeddings of norm 1 and probabilities; a shift moves both."""
    draw = np.random.default_rng(seed)
    embeddings = draw.normal(size=(count, HIDDEN)) + 1.0
    embeddings[:, 0] += shift
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    weights = draw.gamma(1.0, size=(count, CLASSES))
    weights[:, 0] += shift
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return BackendRows(embeddings.astype(np.float32), probabilities.astype(np.float32))


REFERENCE = rows(300, 0)
CALM, MOVED = rows(100, 17), rows(100, 2, shift=2.0)


def backends(folder: Path, *detectors: str, window: int = 100, **parameters: Any) -> Backends:
    items = [
        {
            "tenant": "*",
            "adapter": "*",
            "detector": detector,
            "window": window,
            "parameters": SMALL[detector] | parameters,
        }
        for detector in detectors
    ]
    file = folder / "backends.json"
    file.write_text(json.dumps(items))
    return Backends(read_selections(file), seed=7)


def assessed(
    found: Backends,
    window: BackendRows,
    reference: Callable[[], BackendRows | None] = lambda: REFERENCE,
) -> list[BackendResult]:
    return list(found.assess("acme", "router", "reference-1", reference, window))


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_window_like_the_reference_is_no_drift_and_another_one_is(
    tmp_path: Path, detector: str
) -> None:
    found = backends(tmp_path, detector)
    [calm] = assessed(found, CALM)
    assert (calm.name, calm.unknown, calm.rows) == (f"alibi-detect {detector}", None, 100)
    assert calm.is_drift is False
    [moved] = assessed(found, MOVED)
    assert moved.is_drift is True
    assert moved.statistic is not None
    assert calm.statistic is not None
    assert moved.statistic > calm.statistic
    assert moved.seconds > 0
    if detector == "MMDDriftOnline":
        assert calm.pvalue is None
        assert moved.threshold is not None
        assert calm.threshold is not None
        assert moved.statistic > moved.threshold
        assert calm.statistic < calm.threshold
    else:
        assert calm.pvalue is not None
        assert moved.pvalue is not None
        assert moved.pvalue < 0.05 < calm.pvalue


@pytest.mark.parametrize("detector", ["MMDDrift", "LSDDDrift"])
def test_a_permutation_p_value_is_never_0(tmp_path: Path, detector: str) -> None:
    [far] = assessed(backends(tmp_path, detector), rows(100, 2, shift=9.0))
    assert far.pvalue == pytest.approx(1 / 100)


def figures(results: list[BackendResult]) -> list[tuple[object, ...]]:
    return [(one.name, one.statistic, one.pvalue, one.threshold, one.is_drift) for one in results]


def test_the_same_rows_and_seed_give_the_same_figures_and_no_state_is_left(
    tmp_path: Path,
) -> None:
    window, other = rows(100, 3, shift=0.3), rows(100, 4, shift=1.0)
    first = backends(tmp_path, *DETECTORS)
    expected = figures(assessed(first, window))
    assert len(expected) == len(DETECTORS)
    assessed(first, other)
    assert figures(assessed(first, window)) == expected, "whatever was tested in between"
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    before = np.random.random()  # noqa: NPY002
    again = assessed(backends(tmp_path, *DETECTORS), window)
    assert figures(again) == expected, "whatever the process drew before"
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert np.random.random() == before  # noqa: NPY002
    expected_draws = np.random.random(), float(torch.rand(()))  # noqa: NPY002
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    np.random.random()  # noqa: NPY002
    assessed(first, window)
    assert (np.random.random(), float(torch.rand(()))) == expected_draws  # noqa: NPY002


def test_the_online_detector_keeps_nothing_from_one_window_to_the_next(tmp_path: Path) -> None:
    from monitoring.backends import alibi

    made: list[Any] = []
    [selection] = backends(tmp_path, "MMDDriftOnline")._selections
    import alibi_detect.cd

    original = alibi_detect.cd.MMDDriftOnline

    class Kept(original):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self._detector)

    alibi_detect.cd.MMDDriftOnline = Kept
    try:
        test = alibi.make(selection.detector, selection.parameters, REFERENCE, 7)
    finally:
        alibi_detect.cd.MMDDriftOnline = original
    for seed in range(3):
        test(rows(100, seed))
        assert (len(made[0].test_stats), made[0].t) == (0, 0)


@pytest.mark.parametrize(
    ("detector", "window", "reference", "told"),
    [
        ("MMDDrift", rows(19, 1), REFERENCE, "too few rows: 19 of 20"),
        ("MMDDrift", rows(50, 1), None, "no reference"),
        ("KSDrift", rows(50, 1), rows(9, 1), "reference too small: 9 of 20 rows"),
        (
            "LSDDDrift",
            BackendRows(None, rows(50, 1).probabilities),
            REFERENCE,
            "the tenant keeps embeddings out of the log",
        ),
        (
            "KSDrift",
            BackendRows(None, rows(50, 1).probabilities[:, :3]),
            REFERENCE,
            "the window has another number of classes than the reference",
        ),
        (
            "MMDDriftOnline",
            rows(50, 1),
            rows(39, 1),
            "39 rows of reference are too few for windows of 10",
        ),
    ],
)
def test_what_cannot_be_tested_is_unknown_and_says_why(
    tmp_path: Path,
    detector: str,
    window: BackendRows,
    reference: BackendRows | None,
    told: str,
) -> None:
    [found] = assessed(backends(tmp_path, detector), window, lambda: reference)
    assert found.unknown == told
    assert (found.statistic, found.pvalue, found.threshold, found.is_drift) == (None,) * 4


def test_rows_that_are_all_the_same_do_not_stop_the_sidecar(tmp_path: Path) -> None:
    same = BackendRows(np.ones((60, HIDDEN), np.float32), np.full((60, 2), 0.5, np.float32))
    for result in assessed(backends(tmp_path, "MMDDrift", "KSDrift"), same, lambda: same):
        assert result.unknown is not None or result.is_drift is False


def test_many_rows_are_tested_without_a_warning(tmp_path: Path) -> None:
    many = rows(1500, 8)
    [found] = assessed(backends(tmp_path, "ClassifierDrift", window=1500), many, lambda: many)
    assert found.unknown is None


def test_only_the_latest_rows_are_tested(tmp_path: Path) -> None:
    old, new = rows(400, 5, shift=3.0), rows(100, 6)

    def joined(first: Singles | None, second: Singles | None) -> Singles:
        assert first is not None
        assert second is not None
        return np.concatenate([first, second])

    both = BackendRows(
        joined(old.embeddings, new.embeddings), joined(old.probabilities, new.probabilities)
    )
    [found] = assessed(backends(tmp_path, "MMDDrift"), both)
    assert (found.rows, found.is_drift) == (100, False)


def test_a_reference_is_asked_for_once_and_detectors_are_bounded(tmp_path: Path) -> None:
    found = backends(tmp_path, "KSDrift")
    asked: list[str] = []

    def reference(name: str) -> Callable[[], BackendRows]:
        def give() -> BackendRows:
            asked.append(name)
            return REFERENCE

        return give

    for name in ("a", "a", *map(str, range(MADE_MAX)), "a"):
        found.assess("acme", "router", name, reference(name), rows(50, 1))
    assert asked == ["a", *map(str, range(MADE_MAX)), "a"]
    assert len(found._made) == MADE_MAX


def test_no_chatter_reaches_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assessed(backends(tmp_path, *DETECTORS), rows(50, 1))
    assert [record.getMessage() for record in caplog.records] == []


def test_neither_torch_nor_alibi_detect_is_loaded_before_a_detector_is_made() -> None:
    program = (
        "import sys; import monitoring.backends.backends, monitoring.backends.alibi;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'alibi_detect', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
