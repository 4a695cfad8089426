"""One thing about inputs, told: what is not a number is null."""

import math
from typing import Literal

from monitoring.report import Quality

Unit = Literal["ratio", "tokens", "bytes", "characters", "pixels", "number"]

_NAN = float("nan")


def quality_of(
    name: str, unit: Unit, reference: float, now: float, count: int, pvalue: float = _NAN
) -> Quality:
    """Return what is told; NaN becomes None."""
    return Quality(
        name=name,
        unit=unit,
        reference=_number(reference),
        now=_number(now),
        count=count,
        pvalue=_number(pvalue),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
