"""The confidence curve: what share of answers of a confidence is right, as the reference tells.

A weighted mean of logistic curves in the log-odds of the top label's confidence: the confidence as
it is, shifted, scaled (a temperature), and both (Platt, 1999). A curve weighs e^-(L + 2 k), with L
its negative log-likelihood and k its parameters. So a model whose confidence already means what it
says is left alone unless a curve beats it by about half of the 95 % point of a likelihood ratio,
and one that is far off is taken at the curve's word. Parameters are Firth's (Biometrika 80, 1993),
which stay finite where all rows of a reference are right.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray, IntArray, TruthArray

_Floats = npt.NDArray[np.float64]

# A reference keeps probabilities as float16, in which all above it are 1.
CONFIDENCE_MAX = 1 - 2.0**-12
_CONFIDENCE_MIN = 2.0**-12
_PENALTY = 2.0  # of a parameter, in units of log-likelihood
_FREE = ((), (0,), (1,), (0, 1))  # of intercept and slope, which ones each curve fits
_STEPS = 60
_STEP_MAX = 1.0
_CONVERGED = 1e-9


@dataclass(frozen=True, slots=True)
class ConfidenceCurve:
    """A mean of four logistic curves, with what is not known of their parameters."""

    weights: FloatArray  # [4], sum 1
    lines: FloatArray  # [4, 2], intercept and slope over the log-odds of confidence
    covariances: FloatArray  # [4, 2, 2], of the two

    def at(self, confidence: FloatArray) -> _Floats:
        """Return the share that is right at each confidence [n]."""
        found: _Floats = self.weights @ _logistic(self.lines @ _design(confidence).T)
        return found

    def mean(self, confidence: FloatArray, counts: IntArray) -> tuple[float, float]:
        """Return the mean over confidences [n] with counts [n], and the variance of the fit.

        The variance adds what each curve does not know of its parameters and how far the curves
        are apart: (sum w sqrt(v + (m - mean)^2))^2 (Buckland, Burnham and Augustin, Biometrics
        53, 1997).
        """
        design = _design(confidence)
        shares = counts / counts.sum()
        curves = _logistic(self.lines @ design.T)  # [4, n]
        means = curves @ shares
        mean = float(self.weights @ means)
        slopes = (curves * (1 - curves) * shares) @ design  # [4, 2]
        variances = np.einsum("ki,kij,kj->k", slopes, self.covariances, slopes)
        spread = float(self.weights @ np.sqrt(variances + np.square(means - mean)))
        return mean, max(spread**2, float(variances[-1]))


def fit(confidence: FloatArray, right: TruthArray) -> ConfidenceCurve:
    """Return the curve of rows [n] whose answers are known to be right or wrong."""
    design = _design(confidence)
    truth = right.astype(np.float64)
    lines, covariances = np.empty((len(_FREE), 2)), np.zeros((len(_FREE), 2, 2))
    penalties = np.empty(len(_FREE))
    for curve, free in enumerate(_FREE):
        lines[curve], covariances[curve] = _fitted(design, truth, list(free))
        odds = design @ lines[curve]
        loss = float(np.logaddexp(0.0, np.where(right, -odds, odds)).sum())
        penalties[curve] = loss + _PENALTY * len(free)
    weights = np.exp(penalties.min() - penalties)
    return ConfidenceCurve(weights / weights.sum(), lines, covariances)


def _fitted(design: _Floats, truth: _Floats, free: list[int]) -> tuple[_Floats, _Floats]:
    """Return Firth's intercept and slope [2] where only some are free, and their covariance."""
    line, covariance = np.array([0.0, 1.0]), np.zeros((2, 2))
    if not free:
        return line, covariance
    columns = design[:, free]
    inverse = np.eye(len(free))
    for _ in range(_STEPS):
        share = _logistic(design @ line)
        weight = share * (1 - share)
        inverse = np.linalg.pinv((columns * weight[:, None]).T @ columns)
        leverage = weight * np.einsum("ni,ij,nj->n", columns, inverse, columns)
        step = inverse @ (columns.T @ (truth - share + leverage * (0.5 - share)))
        largest = float(np.abs(step).max())
        line[free] += step * min(1.0, _STEP_MAX / max(largest, _CONVERGED))
        if largest < _CONVERGED:
            break
    covariance[np.ix_(free, free)] = inverse
    return line, covariance


def _design(confidence: FloatArray) -> _Floats:
    """Return a column of ones and the log-odds, [n, 2]."""
    sure = np.clip(confidence.astype(np.float64), _CONFIDENCE_MIN, CONFIDENCE_MAX)
    return np.stack([np.ones_like(sure), np.log(sure / (1 - sure))], axis=1)


def _logistic(odds: _Floats) -> _Floats:
    found: _Floats = 1 / (1 + np.exp(-odds))
    return found
