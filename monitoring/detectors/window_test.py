"""Method (a), the window test: is the last window different, and by how much?

Random-feature MMD (Gretton et al., JMLR 13, 2012; Rahimi and Recht, NIPS 2007): windows are sums
of features, so that any buckets add up to one, and the null is drawn once, from the reference.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.detectors.distance import mean_of, own_noise, squared_distance
from monitoring.detectors.effect import Uncertainty, interval
from monitoring.detectors.foreign import foreign_distance
from monitoring.detectors.null import LARGEST_SHARE, ROWS_MIN, Null, drawn
from monitoring.detectors.reading import reading_of
from monitoring.detectors.reweighting import Contents, EqualMix, contents_of, equal_mix
from monitoring.detectors.spread import Spread, spread_of
from monitoring.errors import Incompatible
from monitoring.references.rows import ReferenceRows
from monitoring.rows import FloatArray
from monitoring.sketches.directions import Fixed
from monitoring.sketches.features import FeatureMap
from monitoring.sketches.sketch import Sketch
from service.measures import UNDEFINED, Estimate

_NAN = float("nan")
_SPREAD_ROWS_MAX = 2048  # that a covariance is computed from
_FOREIGN_MIN = 1e-4  # squared distance below which a reference's rows are all alike


@dataclass(frozen=True, slots=True)
class Baseline:
    """What windows are compared with: 45 to 70 KB for at most 5,000 rows, and 140 B a class."""

    map_id: str
    scale: float  # of fixed-point features
    projection_scale: float
    rows: int  # m
    mean: FloatArray  # [1024] float64
    foreign: float  # squared distance of wholly foreign rows
    null: Null
    spread: Spread
    contents: Contents | None  # None for the bare backbone, whose sums are not kept by class


@dataclass(frozen=True, slots=True)
class Assessment:
    """How far a window is. Squared distances of means in feature space; NaN where not defined."""

    statistic: float  # unbiased, may be below 0
    tolerance: float  # in the same unit
    effect: Estimate  # statistic over tolerance
    effect_unknown: str | None
    reweighted: Estimate  # the same, the window re-weighted to the reference's class mix
    reweighted_unknown: str | None
    content: Estimate  # the same, the reference re-weighted to the window's class mix
    content_unknown: str | None
    pvalue: float | None
    pvalue_unknown: str | None
    rows: int  # embedded ones, on which all of it rests
    reading: str  # one plain sentence


def baseline(
    rows: ReferenceRows, feature_map: FeatureMap, *, seed: int, base: bool = False
) -> Baseline | None:
    """Return the baseline of a reference; None without embeddings or for fewer than 50 rows.

    With `base` it is of the bare backbone's embeddings, and `feature_map` their map.
    """
    embeddings = rows.base_embeddings if base else rows.embeddings
    if embeddings is None or len(embeddings) < ROWS_MIN:
        return None
    features = feature_map.fixed(embeddings)
    contents = None
    if not base:
        projected = feature_map.directions.projected_of(features)
        contents = contents_of(
            projected, feature_map.projection_scale, rows.class_index, len(rows.labels)
        )
    return Baseline(
        map_id=feature_map.id,
        scale=feature_map.scale,
        projection_scale=feature_map.projection_scale,
        rows=len(features),
        mean=mean_of(features.sum(axis=0, dtype=np.int64), len(features), feature_map.scale),
        foreign=foreign_distance(embeddings, features, feature_map.scale),
        null=drawn(features, feature_map.scale, seed),
        spread=spread_of(_covariance(features, feature_map.scale)),
        contents=contents,
    )


def assess(
    baseline: Baseline | None, window: Sketch, *, tolerance: float, base: bool = False
) -> Assessment:
    """Return how far a window is from the reference, in units of the tolerance, and p.

    `tolerance` is the share of wholly foreign rows that is borne, above 0. Raises `Incompatible`
    for a window of features of another map, and `ValueError` for another number of classes.
    """
    count = window.based if base else window.embedded
    total = window.base_sum if base else window.main_sum
    reason = _unknown(baseline, count)
    if baseline is None or total is None or reason is not None:
        return _nothing(count, reason or "no embeddings in the window")
    map_id = window.base_map_id if base else window.map_id
    if map_id != baseline.map_id:
        raise Incompatible(f"a window of map {map_id}, a reference of map {baseline.map_id}")
    borne = tolerance * tolerance * baseline.foreign
    mean = mean_of(total, count, baseline.scale)
    distance = _distance(baseline, mean, count)
    effect = _over(distance, borne)
    mixes = _equal_mix(baseline, window, float(own_noise(mean, count)) * count)
    reweighted, content = _over(mixes.reweighted, borne), _over(mixes.content, borne)
    pvalue, pvalue_unknown = None, _untested(baseline, count)
    if pvalue_unknown is None:
        noise = 1 / count + 1 / baseline.rows
        pvalue = baseline.null.pvalue(count, distance.value / noise)
    return Assessment(
        statistic=distance.value,
        tolerance=borne,
        effect=effect,
        effect_unknown=None,
        reweighted=reweighted,
        reweighted_unknown=mixes.reweighted_unknown,
        content=content,
        content_unknown=mixes.content_unknown,
        pvalue=pvalue,
        pvalue_unknown=pvalue_unknown,
        rows=count,
        reading=reading_of(effect, reweighted, content),
    )


def _unknown(baseline: Baseline | None, count: int) -> str | None:
    """Return why nothing can be said of a window of so many embedded rows."""
    if baseline is None:
        return "no reference with embeddings"
    if not count:
        return "no embeddings in the window"
    if count < ROWS_MIN:
        return f"too few rows: {count} of {ROWS_MIN}"
    if baseline.foreign < _FOREIGN_MIN:
        return "the reference's rows are all alike"
    return None


def _untested(baseline: Baseline, count: int) -> str | None:
    """Return why there is no p for a window whose effect is told."""
    largest = baseline.rows // LARGEST_SHARE
    if count <= largest:
        return None
    return f"reference too small: {count} rows, of which its {baseline.rows} bear {largest}"


def _distance(baseline: Baseline, mean: FloatArray, count: int) -> Estimate:
    """Return the squared distance of a window's mean [1024] with its interval."""
    statistic = float(squared_distance(mean, count, baseline.mean, baseline.rows))
    spread = baseline.spread
    own, theirs = float(own_noise(mean, count)), spread.trace / baseline.rows
    # A window's features may be spread more widely than the reference's; their trace is known
    # from their mean alone.
    wider = max(1.0, own * count / spread.trace)
    noise = max(1 / count + 1 / baseline.rows, (own + theirs) / spread.trace)
    along = spread.along(mean - baseline.mean)
    error = Uncertainty(
        below=min(0.0, baseline.null.quantile(count, 0.025)) * noise,
        above=max(0.0, baseline.null.quantile(count, 0.975)) * noise,
        sampling=along * (wider / count + 1 / baseline.rows),
        rows=count,
        foreign=baseline.foreign,
    )
    return Estimate(statistic, *interval(statistic, error))


def _equal_mix(baseline: Baseline, window: Sketch, trace: float) -> EqualMix:
    if baseline.contents is None:
        return EqualMix.unknown("the bare backbone's features are not kept by class")
    if window.classes != len(baseline.contents.counts):
        known = len(baseline.contents.counts)
        raise ValueError(f"{window.classes} classes, {known} in the reference")
    return equal_mix(
        baseline.contents,
        window.class_embedded,
        window.class_sums,
        baseline.projection_scale,
        trace,
        baseline.foreign,
    )


def _covariance(features: Fixed, scale: float) -> npt.NDArray[np.float64]:
    """Return the covariance [1024, 1024] of features, of at most 2,048 rows at equal steps."""
    step = -(-len(features) // _SPREAD_ROWS_MAX)
    rows = features[::step].astype(np.float64)
    count = len(rows)
    total = rows.sum(axis=0)
    # products and sums are of whole numbers below 2**53: exact in any order
    apart: npt.NDArray[np.float64] = rows.T @ rows - np.outer(total, total) / count
    return apart / ((count - 1) * scale * scale)


def _over(distance: Estimate, tolerance: float) -> Estimate:
    return Estimate(
        distance.value / tolerance, distance.lower / tolerance, distance.upper / tolerance
    )


def _nothing(count: int, reason: str) -> Assessment:
    return Assessment(
        statistic=_NAN,
        tolerance=_NAN,
        effect=UNDEFINED,
        effect_unknown=reason,
        reweighted=UNDEFINED,
        reweighted_unknown=reason,
        content=UNDEFINED,
        content_unknown=reason,
        pvalue=None,
        pvalue_unknown=reason,
        rows=count,
        reading=f"unknown: {reason}",
    )
