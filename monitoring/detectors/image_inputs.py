"""Method (f) for images: what could not be decoded, sizes, light and blur."""

from collections.abc import Iterator
from dataclasses import dataclass

from monitoring.detectors.counts_test import counts_test
from monitoring.detectors.quality import Unit, quality_of
from monitoring.report import Quality
from monitoring.rows import Images, IntArray
from monitoring.sketches.images import ImageCounts, count_images

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a reference tells of its images."""

    counts: IntArray  # [404], as a sketch has them


def baseline(images: Images) -> Baseline | None:
    """Return the figures of a reference's images; None for none."""
    return Baseline(count_images(images)) if len(images) else None


def assess(
    baseline: Baseline | None, now: ImageCounts, duplicates: float, fingerprinted: int
) -> tuple[Quality, ...]:
    """Return the quality of a window's images; what neither side knows is left out.

    p is of the G-test on the histogram, neighbouring bins pooled, the same for all quantiles of
    one. Images that could not be decoded are no predictions: their share is of all that were
    asked, and a reference has none, for a hold-out is refused that holds one.
    """
    before = None if baseline is None else ImageCounts.of(baseline.counts)
    asked = now.rows + now.undecodable
    found = (
        quality_of("undecodable", "ratio", _NAN, now.undecodable_share, asked),
        *_quantiles("side", "pixels", before, now, (0.05, 0.5, 0.95)),
        *_quantiles("brightness", "number", before, now, (0.05, 0.5, 0.95)),
        *_quantiles("sharpness", "number", before, now, (0.05, 0.5)),
        quality_of(
            "bytes_per_pixel",
            "number",
            _NAN if before is None else before.bytes_per_pixel,
            now.bytes_per_pixel,
            now.rows,
        ),
        quality_of("duplicates", "ratio", _NAN, duplicates, fingerprinted),
    )
    return tuple(
        quality for quality in found if quality.reference is not None or quality.now is not None
    )


def _quantiles(
    name: str, unit: Unit, before: ImageCounts | None, now: ImageCounts, shares: tuple[float, ...]
) -> Iterator[Quality]:
    pvalue = _NAN
    if before is not None:
        pvalue = counts_test(_histogram(before, name), _histogram(now, name), ordered=True).pvalue
    for share in shares:
        yield quality_of(
            f"{name}_p{round(share * 100)}",
            unit,
            _NAN if before is None else _quantile(before, name, share),
            _quantile(now, name, share),
            int(_histogram(now, name).sum()),
            pvalue,
        )


def _histogram(counts: ImageCounts, name: str) -> IntArray:
    return {
        "side": counts.sides,
        "brightness": counts.brightness,
        "sharpness": counts.sharpness,
    }[name]


def _quantile(counts: ImageCounts, name: str, share: float) -> float:
    return {
        "side": counts.side_quantile,
        "brightness": counts.brightness_quantile,
        "sharpness": counts.sharpness_quantile,
    }[name](share)
