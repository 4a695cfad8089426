"""Bias-corrected temperature scaling: probabilities that match the reference's labels.

softmax(log(p) / T + b): one temperature T and a bias b for each class (Alexandari, Kundaje and
Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift
Adaptation", arXiv 1901.06852). Fitted once, on a reference's probabilities and labels.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray, HalfArray, IntArray

_Floats = npt.NDArray[np.float64]
_Float = TypeVar("_Float", bound=np.floating[Any])

DRAWS = 10  # of the fit, as other references of the same kind would have given it
_SMALLEST = 2.0**-25  # float16 rounds probabilities below it to 0
_RIDGE = (
    0.5  # half a row's worth of doubt that a bias is needed: keeps those of rare classes finite
)
_STEPS = 50
_CONVERGED = 1e-7  # of the gradient, per row
_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Parameters of the classes that the reference has rows of; other classes are left out."""

    classes: IntArray  # [k], ascending
    scale: float  # 1 / T
    biases: FloatArray  # [k] float64
    source: FloatArray  # [k] float64, mean recalibrated probability over the reference
    scales_drawn: FloatArray  # [10] float32, of resampled references
    biases_drawn: FloatArray  # [10, k] float32
    sources_drawn: FloatArray  # [10, k] float32

    def likelihoods(self, probabilities: HalfArray) -> _Floats:
        """Return recalibrated probabilities over the reference's class shares, [n, k]."""
        logarithms = logarithms_of(probabilities, self.classes)
        found: _Floats = _softmax(self.scale * logarithms + self.biases) / self.source
        return found

    def likelihoods_drawn(self, probabilities: HalfArray) -> npt.NDArray[np.float32]:
        """Return the same for each drawn fit, [10, n, k]."""
        logarithms = logarithms_of(probabilities, self.classes).astype(np.float32)
        scores = self.scales_drawn[:, None, None] * logarithms + self.biases_drawn[:, None, :]
        shares = _softmax(scores)
        found: npt.NDArray[np.float32] = np.divide(shares, self.sources_drawn[:, None, :])
        return found


def logarithms_of(probabilities: HalfArray, classes: IntArray) -> _Floats:
    """Return logarithms of the probabilities of some classes, [n, k]."""
    found: _Floats = np.log(np.maximum(probabilities[:, classes].astype(np.float64), _SMALLEST))
    return found


def fit(probabilities: HalfArray, labels: IntArray, *, seed: int) -> Recalibration:
    """Return what fits probabilities [m, classes] to labels [m] best.

    Newton's method on the negative log-likelihood, which is convex, and a ridge of `_RIDGE` / 2
    times the squares of the biases and of 1 / T - 1. Fits of resampled references are one Newton
    step from it, each: enough to know how far they vary. Raises `ValueError` for no rows.
    """
    if len(labels) == 0:
        raise ValueError("no rows to fit to")
    classes, targets = np.unique(labels, return_inverse=True)
    logarithms = logarithms_of(probabilities, classes)
    start = np.zeros(len(classes) + 1)
    start[0] = 1.0
    centre = start.copy()
    found = start
    loss = _loss(logarithms, targets, found, centre)
    for _ in range(_STEPS):
        gradients, hessian = _derivatives(logarithms, targets, found)
        gradient = gradients.sum(axis=0) + _RIDGE * (found - centre)
        if np.abs(gradient).max() < _CONVERGED * len(labels):
            break
        step = np.linalg.solve(hessian, gradient)
        for _ in range(_HALVINGS):
            if _loss(logarithms, targets, found - step, centre) <= loss:
                break
            step = step / 2
        found = found - step
        loss = _loss(logarithms, targets, found, centre)
    return _with_draws(logarithms, targets, classes, found, centre, seed)


def _with_draws(
    logarithms: _Floats,
    targets: IntArray,
    classes: IntArray,
    found: _Floats,
    centre: _Floats,
    seed: int,
) -> Recalibration:
    rows = len(targets)
    gradients, hessian = _derivatives(logarithms, targets, found)
    random = np.random.default_rng(seed)
    times = random.multinomial(rows, np.full(rows, 1 / rows), size=DRAWS).astype(np.float64)
    sums = times @ gradients + _RIDGE * (found - centre)
    drawn = found - np.linalg.solve(hessian, sums.T).T
    sources = [
        count @ _softmax(fit[0] * logarithms + fit[1:]) / rows
        for count, fit in zip(times, drawn, strict=True)
    ]
    least = 1 / (100 * rows)  # a class that a draw hardly has would weigh without bound
    return Recalibration(
        classes=classes.astype(np.int64),
        scale=float(found[0]),
        biases=found[1:],
        source=_softmax(found[0] * logarithms + found[1:]).mean(axis=0),
        scales_drawn=drawn[:, 0].astype(np.float32),
        biases_drawn=drawn[:, 1:].astype(np.float32),
        sources_drawn=np.maximum(np.stack(sources), least).astype(np.float32),
    )


def _loss(logarithms: _Floats, targets: IntArray, at: _Floats, centre: _Floats) -> float:
    scores = at[0] * logarithms + at[1:]
    highest = scores.max(axis=1)
    totals = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    given = scores[np.arange(len(targets)), targets]
    return float((totals - given).sum() + _RIDGE / 2 * np.square(at - centre).sum())


def _derivatives(logarithms: _Floats, targets: IntArray, at: _Floats) -> tuple[_Floats, _Floats]:
    """Return each row's gradient [m, k + 1] without the ridge, and the Hessian with it."""
    shares = _softmax(at[0] * logarithms + at[1:])
    mean = (shares * logarithms).sum(axis=1)
    rows = np.arange(len(targets))
    gradients = np.empty((len(targets), len(at)))
    gradients[:, 0] = mean - logarithms[rows, targets]
    gradients[:, 1:] = shares
    gradients[rows, 1 + targets] -= 1
    apart = logarithms - mean[:, None]
    hessian = np.empty((len(at), len(at)))
    hessian[0, 0] = (shares * np.square(apart)).sum()
    hessian[0, 1:] = hessian[1:, 0] = (shares * apart).sum(axis=0)
    hessian[1:, 1:] = np.diag(shares.sum(axis=0)) - shares.T @ shares
    return gradients, hessian + _RIDGE * np.eye(len(at))


def _softmax(scores: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    raised: npt.NDArray[_Float] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found: npt.NDArray[_Float] = raised / raised.sum(axis=-1, keepdims=True)
    return found
