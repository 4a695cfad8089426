"""Distances at an equal class mix: another mix is told from other content."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.detectors.effect import Uncertainty, interval, noise_quantile
from monitoring.detectors.spread import Spread, spread_of
from monitoring.rows import FloatArray, IntArray
from monitoring.sketches.directions import Fixed
from service.measures import UNDEFINED, Z95, Estimate

_SHARED_MIN = 0.5  # of the rows whose mix is taken, in classes that both sides have
_PRIOR_ROWS = 4.0  # of the common trace, in the trace of a class


@dataclass(frozen=True, slots=True)
class Contents:
    """What each predicted class of a reference holds, in 32 projected dimensions."""

    counts: IntArray  # [classes], rows of the reference
    means: FloatArray  # [classes, 32] float32, of projected features of expected norm 1
    traces: FloatArray  # [classes] float32, of the covariance within the class
    spread: Spread  # of all rows about the mean of their class


@dataclass(frozen=True, slots=True)
class EqualMix:
    """Squared distances of means at one class mix on both sides; undefined with the reason."""

    reweighted: Estimate  # the window re-weighted to the reference's mix
    reweighted_unknown: str | None
    content: Estimate  # the reference re-weighted to the window's mix
    content_unknown: str | None

    @staticmethod
    def unknown(reason: str) -> "EqualMix":
        """Return that there is neither, and why."""
        return EqualMix(UNDEFINED, reason, UNDEFINED, reason)


def contents_of(projected: Fixed, scale: float, predicted: IntArray, classes: int) -> Contents:
    """Return the contents of a reference's classes from projected features [m, 32].

    A class of few rows borrows the common trace.
    """
    counts = np.bincount(predicted, minlength=classes)
    sums = np.zeros((classes, projected.shape[1]), dtype=np.int64)
    np.add.at(sums, predicted, projected)
    means = sums / (np.maximum(counts, 1)[:, None] * scale)
    apart = projected / scale - means[predicted]
    freedom = max(1, len(predicted) - int((counts > 0).sum()))
    spread = spread_of(apart.T @ apart / freedom)
    squares = np.bincount(predicted, np.square(apart).sum(axis=1), minlength=classes)
    traces = (squares + _PRIOR_ROWS * spread.trace) / (np.maximum(counts - 1, 0) + _PRIOR_ROWS)
    return Contents(counts, means.astype(np.float32), traces.astype(np.float32), spread)


def equal_mix(
    contents: Contents,
    counts: IntArray,
    sums: IntArray | None,
    scale: float,
    trace: float,
    foreign: float,
) -> EqualMix:
    """Return the squared distances of means at the reference's class mix and at the window's.

    `counts` [classes] and `sums` [classes, 32] are the window's, `trace` is that of all its rows'
    covariance. With x_c and y_c a class's means in the window and in the reference, a distance
    is |sum of w_c (x_c - y_c)|^2 less its expected noise, over the classes that both have; w_c is
    the share of the reference, or that of the window. The second sees foreign rows that were all
    given one class, which the first takes for another mix. In 32 dimensions a squared distance is
    off by a quarter (standard deviation), the same for all windows that moved the same way.
    """
    shared = (counts > 0) & (contents.counts > 0)
    if sums is None or not counts.any():
        return EqualMix.unknown("no embeddings by class")
    if not shared.any():
        return EqualMix.unknown("the window and the reference have no class in common")
    own, theirs = counts[shared], contents.counts[shared]
    means = sums[shared] / (own[:, None] * scale)
    traces = contents.traces[shared]
    wider = _wider(means, own, traces, trace)
    classes = _Classes(
        own, theirs, means - contents.means[shared], traces, wider, contents.spread, foreign
    )
    reweighted, content = UNDEFINED, UNDEFINED
    reweighted_unknown, content_unknown = None, None
    if theirs.sum() < _SHARED_MIN * contents.counts.sum():
        reweighted_unknown = "most of the reference's rows are of classes that the window lacks"
    else:
        reweighted = classes.distance(theirs)
    if own.sum() < _SHARED_MIN * counts.sum():
        content_unknown = "most of the window's rows are of classes that the reference lacks"
    else:
        content = classes.distance(own)
    return EqualMix(reweighted, reweighted_unknown, content, content_unknown)


@dataclass(frozen=True, slots=True)
class _Classes:
    """The classes that window and reference share."""

    own: IntArray  # [shared], rows of the window
    theirs: IntArray  # [shared], rows of the reference
    apart: npt.NDArray[np.float64]  # [shared, 32], differences of means
    traces: FloatArray  # [shared], within the classes of the reference
    wider: float  # times as much in the window
    spread: Spread
    foreign: float

    def distance(self, mix: IntArray) -> Estimate:
        """Return the squared distance of means at a mix of classes [shared]."""
        weights = mix / mix.sum()
        difference: npt.NDArray[np.float64] = weights @ self.apart
        squares = np.square(weights)
        in_window, in_reference = squares / self.own, squares / self.theirs
        noise = float(((self.wider * in_window + in_reference) * self.traces).sum())
        statistic = float(difference @ difference) - noise
        scatter = float((max(1.0, self.wider) * in_window + in_reference).sum())
        error = Uncertainty(
            below=noise_quantile(self.spread, -Z95) * scatter,
            above=noise_quantile(self.spread, Z95) * scatter,
            sampling=self.spread.along(difference) * scatter,
            rows=1 / float(in_window.sum()),
            foreign=self.foreign,
        )
        return Estimate(statistic, *interval(statistic, error))


def _wider(
    means: npt.NDArray[np.float64], rows: IntArray, traces: FloatArray, trace: float
) -> float:
    """Return how many times as wide a window's classes are as the reference's; 1 if unknown.

    The squares of all its rows about their mean are those within classes and those between them.
    The first are known from the features' mean, the last from the classes' means.
    """
    count = int(rows.sum())
    expected = float(((rows - 1) * traces).sum())
    if expected <= 0:
        return 1.0
    centre = rows @ means / count
    between = float(rows @ np.square(means - centre).sum(axis=1))
    return max(0.0, (count - 1) * trace - between) / expected
