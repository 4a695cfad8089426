"""How often each class truly occurs now, from recalibrated probabilities alone."""

import numpy as np
import numpy.typing as npt

from monitoring.detectors.recalibration import Recalibration
from monitoring.rows import FloatArray, HalfArray
from service.measures import Estimate, effective_count, wilson

_Floats = npt.NDArray[np.float64]

_STEPS_MAX = 2000
_CONVERGED = 1e-8
_DRAWS_EACH = 10  # resampled windows for each drawn fit of the recalibration
_WORK = 600_000  # rows times classes times steps of a resampled window
_STEPS_LEAST, _STEPS_MOST = 12, 60


def priors(
    fitted: Recalibration, probabilities: HalfArray, weights: FloatArray, *, seed: int
) -> list[Estimate]:
    """Return the share of each of the fit's classes [k] among rows [n], with intervals.

    Expectation maximisation (Saerens, Latinne and Decaestecker, Neural Comput. 14, 2002) on the
    likelihoods, from the reference's shares. `weights` [n] says how many rows each stands for.

    The variance is that of 100 bootstrap draws, of rows and of the reference that the
    recalibration was fitted on; the interval is Wilson's at as many rows as a share of that
    variance would have, and at no more than there are. Draws start from the estimate, with half
    a row of the reference's mix so that no class is out of reach, and take a bounded number of
    steps: some 15 for 500 rows and 77 classes, when they vary as much as with 200.
    """
    likelihoods = fitted.likelihoods(probabilities)
    weights = weights.astype(np.float64)
    shares = _maximised(likelihoods, weights / weights.sum(), fitted.source)
    spread = _spread(fitted, probabilities, weights, shares, seed)
    rows = effective_count(weights)
    doubt = shares * (1 - shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = np.where(spread > 0, doubt / spread, rows)
    # Of a class with less than half a row nothing is seen to vary.
    alike = np.where(shares * rows < 0.5, rows, np.clip(alike, 1.0, rows))
    return [
        wilson(float(share * count), float(count))
        for share, count in zip(shares, alike, strict=True)
    ]


def _maximised(likelihoods: _Floats, weights: _Floats, start: FloatArray) -> _Floats:
    shares = start.astype(np.float64)
    for _ in range(_STEPS_MAX):
        stepped = shares * ((weights / (likelihoods @ shares)) @ likelihoods)
        moved = float(np.abs(stepped - shares).max())
        shares = stepped
        if moved < _CONVERGED:
            break
    found: _Floats = shares / shares.sum()
    return found


def _spread(
    fitted: Recalibration,
    probabilities: HalfArray,
    weights: _Floats,
    shares: _Floats,
    seed: int,
) -> _Floats:
    """Return how far the shares of resampled windows and references are off, squared, [k]."""
    likelihoods = fitted.likelihoods_drawn(probabilities)  # [draws, n, k]
    draws, rows, classes = likelihoods.shape
    random = np.random.default_rng(seed)
    times = random.multinomial(rows, np.full(rows, 1 / rows), size=(draws, _DRAWS_EACH))
    weighed = times * weights
    weighed /= weighed.sum(axis=-1, keepdims=True)
    weighed = weighed.astype(np.float32)  # [draws, each, n]
    start = (shares * rows + fitted.source * 0.5) / (rows + 0.5)
    found = np.broadcast_to(start, (draws, _DRAWS_EACH, classes)).astype(np.float32)
    turned = likelihoods.transpose(0, 2, 1)
    steps = min(max(_WORK // (rows * classes), _STEPS_LEAST), _STEPS_MOST)
    for _ in range(steps):
        found *= (weighed / (found @ turned)) @ likelihoods
    spread: _Floats = np.square(found.astype(np.float64) - shares).mean(axis=(0, 1))
    return spread
