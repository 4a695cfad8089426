"""Method (f): what the inputs look like, in the reference and now."""

import math
from dataclasses import dataclass

import numpy as np

from monitoring.detectors import image_inputs
from monitoring.detectors.counts_test import counts_test
from monitoring.detectors.quality import quality_of
from monitoring.detectors.tails import normal_tail
from monitoring.references.rows import ReferenceRows
from monitoring.report import Quality
from monitoring.rows import IntArray
from monitoring.sketches.histogram import LENGTH_BINS, length_bins, length_quantile
from monitoring.sketches.sketch import Sketch

_NAN = float("nan")
_QUANTILES = (("tokens_p50", 0.5), ("tokens_p95", 0.95))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a reference tells of its inputs. Its texts are not kept: the rest is unknown."""

    rows: int
    truncated: int
    lengths: IntArray  # [208], rows by tokens
    unknown: int  # tokens that the vocabulary lacks
    unknown_of: int  # tokens
    crowding: float  # how much more unknown tokens vary than if they came singly; at least 1
    images: image_inputs.Baseline | None = None  # of a version that answers images


def baseline(rows: ReferenceRows) -> Baseline | None:
    """Return the inputs of a reference; None for no rows."""
    if len(rows) == 0:
        return None
    has_length = rows.tokens >= 0
    has_unknown = has_length & (rows.unknown >= 0)
    tokens, unknown = rows.tokens[has_unknown], rows.unknown[has_unknown]
    lengths = np.bincount(length_bins(rows.tokens[has_length]), minlength=LENGTH_BINS)
    return Baseline(
        rows=len(rows),
        truncated=int(rows.truncated.sum()),
        lengths=lengths.astype(np.int64),
        unknown=int(unknown.sum()),
        unknown_of=int(tokens.sum()),
        crowding=_crowding(unknown, tokens),
        images=None if rows.images is None else image_inputs.baseline(rows.images),
    )


def assess(baseline: Baseline | None, window: Sketch) -> tuple[Quality, ...]:
    """Return the quality of a window's inputs; what neither side knows is left out.

    Of images `image_inputs.assess` tells.

    p is of the G-test on rows (truncated), on the histogram of lengths, neighbouring bins pooled
    (the same for both quantiles), and for unknown tokens of a normal score. Its variance is that
    of single tokens times the reference's crowding, since one odd text brings many of them.
    """
    images = window.image_counts
    if images is not None:
        before = None if baseline is None else baseline.images
        duplicates = window.duplicate_share.value, window.inputs.fingerprinted
        return image_inputs.assess(before, images, *duplicates)
    inputs = window.inputs
    rows = inputs.rows
    return tuple(
        quality
        for quality in (
            quality_of(
                "truncated",
                "ratio",
                _ratio(baseline.truncated, baseline.rows) if baseline else _NAN,
                inputs.truncated_share,
                rows,
                _rows_test(baseline, inputs.truncated, rows),
            ),
            quality_of("empty", "ratio", _NAN, inputs.empty_share, inputs.with_characters),
            quality_of(
                "unknown_tokens",
                "ratio",
                _ratio(baseline.unknown, baseline.unknown_of) if baseline else _NAN,
                inputs.unknown_share,
                inputs.unknown_of,
                _unknown_test(baseline, inputs.unknown, inputs.unknown_of),
            ),
            quality_of("bytes_per_token", "bytes", _NAN, inputs.bytes_per_token, inputs.bytes_of),
            quality_of("replaced", "ratio", _NAN, inputs.replaced_row_share, inputs.with_replaced),
            quality_of(
                "duplicates", "ratio", _NAN, window.duplicate_share.value, inputs.fingerprinted
            ),
            *_lengths(baseline, window),
        )
        if quality.reference is not None or quality.now is not None
    )


def _lengths(baseline: Baseline | None, window: Sketch) -> tuple[Quality, ...]:
    pvalue = _NAN
    if baseline is not None:
        pvalue = counts_test(baseline.lengths, window.length_counts, ordered=True).pvalue
    count = int(window.length_counts.sum())
    return tuple(
        quality_of(
            name,
            "tokens",
            length_quantile(baseline.lengths, share) if baseline else _NAN,
            window.length_quantile(share),
            count,
            pvalue,
        )
        for name, share in _QUANTILES
    )


def _rows_test(baseline: Baseline | None, part: int, rows: int) -> float:
    if baseline is None:
        return _NAN
    before = np.array([baseline.truncated, baseline.rows - baseline.truncated])
    return counts_test(before, np.array([part, rows - part])).pvalue


def _unknown_test(baseline: Baseline | None, part: int, tokens: int) -> float:
    """Return p of a difference of shares of tokens; NaN where there is nothing to compare."""
    if baseline is None or not baseline.unknown_of or not tokens:
        return _NAN
    share = (baseline.unknown + part) / (baseline.unknown_of + tokens)
    variance = share * (1 - share) * (1 / baseline.unknown_of + 1 / tokens) * baseline.crowding
    if variance <= 0:
        return 1.0  # none on either side
    difference = part / tokens - baseline.unknown / baseline.unknown_of
    return normal_tail(difference / math.sqrt(variance))


def _crowding(unknown: IntArray, tokens: IntArray) -> float:
    """Return the design effect of counting tokens by whole texts (Kish, 1965); at least 1.

    The variance of the ratio sum u / sum t over texts, over that of single tokens. Where none is
    unknown it is the mean length: as if a text's tokens were all known or all unknown.
    """
    total = int(tokens.sum())
    if total == 0:
        return 1.0
    share = int(unknown.sum()) / total
    if not 0 < share < 1 or len(tokens) < 2:
        return max(1.0, total / len(tokens))
    apart = np.square(unknown - share * tokens).sum() * len(tokens) / (len(tokens) - 1)
    return max(1.0, float(apart) / (share * (1 - share) * total))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else _NAN
