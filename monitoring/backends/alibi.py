"""alibi-detect's detectors, on the same reference and window as our own.

The one module of the sidecar that imports alibi-detect, and with it torch and scikit-learn; only
when a detector is made. Known traps, and what is done about them:

- Its permutation p-values leave out the observed statistic, so that they can be 0 (issue 960).
  Here p = (1 + #{permuted >= observed}) / (permutations + 1).
- Its detectors draw from the process's global random state. Here that is set from the seed before
  and put back afterwards, so that the same rows give the same figures, and nothing else changes.
- Its online detector keeps every statistic it ever computed, and copies them at each event. Here it
  is put back to its start for each window and goes through the window's rows only, so memory is
  bounded by the window. It tells of drift within the window, and has no memory beyond it: `ert` is
  the expected run from the window's first row.
- It chooses a GPU where there is one. Here it stays on the CPU.
"""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from monitoring.backends.parameters import Parameters
from monitoring.backends.rows import BackendRows, Singles
from monitoring.backends.selection import Detector

_BOOTSTRAPS_PER_ERT = 10  # "at least an order of magnitude larger than the ert", its documentation
_BOOTSTRAPS_MIN = 1000


class Unfit(ValueError):
    """Rows that a detector cannot work with; the message says why."""


class Test(Protocol):
    """A detector that was made for a reference."""

    def __call__(self, window: BackendRows) -> "Finding":
        """Test a window; raise `Unfit` for one that cannot be tested."""
        ...


# statistic, p-value, threshold, whether it is drift
Finding = tuple[float, float | None, float, bool]


def make(detector: Detector, parameters: Parameters, reference: BackendRows, seed: int) -> Test:
    """Return a detector for a reference; raise `Unfit` for one that it cannot work with.

    The reference has at most `reference_rows` rows, drawn where there are more.
    """
    rows = reference.drawn(int(parameters["reference_rows"]), seed)
    with _drawing_from(seed):
        if detector == "KSDrift":
            return _kolmogorov_smirnov(parameters, rows)
        if detector == "ClassifierDrift":
            return _classifier(parameters, rows, seed)
        if detector == "MMDDriftOnline":
            return _online(parameters, rows, seed)
        return _permutation(detector, parameters, rows, seed)


def _permutation(
    detector: Detector, parameters: Parameters, reference: BackendRows, seed: int
) -> Test:
    from alibi_detect.cd import LSDDDrift, MMDDrift

    options: dict[str, Any] = {
        "backend": "pytorch",
        "device": "cpu",
        "p_val": parameters["p_val"],
        "n_permutations": parameters["n_permutations"],
    }
    embeddings = _embeddings(reference)
    if detector == "LSDDDrift":
        options["lambda_rd_max"] = parameters["lambda_rd_max"]
        found = LSDDDrift(embeddings, **options)
    else:
        found = MMDDrift(embeddings, **options)
    permutations, level = int(parameters["n_permutations"]), float(parameters["p_val"])

    def test(window: BackendRows) -> Finding:
        rows = _embeddings(window)
        with _drawing_from(seed):
            data = found.predict(rows)["data"]
        beyond = round(data["p_val"] * permutations)
        pvalue = (1 + beyond) / (1 + permutations)
        threshold = float(data["distance_threshold"])
        return float(data["distance"]), pvalue, threshold, pvalue <= level

    return test


def _kolmogorov_smirnov(parameters: Parameters, reference: BackendRows) -> Test:
    from alibi_detect.cd import KSDrift

    found = KSDrift(
        reference.probabilities,
        p_val=parameters["p_val"],
        correction=parameters["correction"],
    )
    classes = reference.probabilities.shape[1]

    def test(window: BackendRows) -> Finding:
        if window.probabilities.shape[1] != classes:
            raise Unfit("the window has another number of classes than the reference")
        data = found.predict(window.probabilities)["data"]
        # Bonferroni over the classes, whatever the correction that decides.
        pvalue = min(1.0, classes * float(np.min(data["p_val"])))
        statistic = float(np.max(data["distance"]))
        return statistic, pvalue, float(parameters["p_val"]), bool(data["is_drift"])

    return test


def _classifier(parameters: Parameters, reference: BackendRows, seed: int) -> Test:
    from alibi_detect.cd import ClassifierDrift
    from sklearn.linear_model import LogisticRegression

    with _silent("alibi_detect.cd.sklearn.classifier"):  # it warns of its own defaults
        found = ClassifierDrift(
            _embeddings(reference),
            LogisticRegression(C=float(parameters["regularisation"]), max_iter=1000),
            backend="sklearn",
            p_val=parameters["p_val"],
            train_size=None,
            n_folds=int(parameters["n_folds"]),
            preds_type="probs",
            seed=seed,
        )

    def test(window: BackendRows) -> Finding:
        rows = _embeddings(window)
        if len(rows) < int(parameters["n_folds"]):
            raise Unfit("the window has fewer rows than folds")
        with _drawing_from(seed), warnings.catch_warnings():
            # scipy's exact p-value overflows for many rows, and it takes the asymptotic one.
            warnings.filterwarnings("ignore", "ks_2samp: Exact calculation", RuntimeWarning)
            data = found.predict(rows, return_probs=False, return_model=False)["data"]
        pvalue, level = float(data["p_val"]), float(parameters["p_val"])
        return float(data["distance"]), pvalue, level, pvalue <= level

    return test


def _online(parameters: Parameters, reference: BackendRows, seed: int) -> Test:
    from alibi_detect.cd import MMDDriftOnline

    ert, size = int(parameters["ert"]), int(parameters["window_size"])
    rows = _embeddings(reference)
    if len(rows) < 4 * size:
        raise Unfit(f"{len(rows)} rows of reference are too few for windows of {size}")
    found = MMDDriftOnline(
        rows,
        ert=ert,
        window_size=size,
        n_bootstraps=max(_BOOTSTRAPS_MIN, _BOOTSTRAPS_PER_ERT * ert),
        backend="pytorch",
        device="cpu",
        verbose=False,
    )

    def test(window: BackendRows) -> Finding:
        nearest = (-math.inf, math.nan, math.nan)
        found.reset_state()
        with _drawing_from(seed):
            for row in _embeddings(window):
                data = found.predict(row)["data"]
                statistic, threshold = float(data["test_stat"]), float(data["threshold"])
                nearest = max(nearest, (statistic - threshold, statistic, threshold))
                if data["is_drift"]:
                    break
        found.reset_state()  # leaves nothing of the window behind
        return nearest[1], None, nearest[2], nearest[0] > 0

    return test


def _embeddings(rows: BackendRows) -> Singles:
    if rows.embeddings is None:
        raise Unfit("the tenant keeps embeddings out of the log")
    return np.ascontiguousarray(rows.embeddings, dtype=np.float32)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Let a logger say nothing below an error meanwhile."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Let global random states begin at the seed, and put them back afterwards."""
    import torch

    before = np.random.get_state()  # noqa: NPY002 it is what alibi-detect draws from
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
