"""Times of one kind, and their percentiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Spread:
    """Times in milliseconds."""

    milliseconds: Sequence[float]

    def at(self, percent: float) -> float:
        """Return a percentile."""
        return float(np.percentile(self.milliseconds, percent))

    def cells(self) -> list[str]:
        """Return p50, p95 and p99 as a table shows them."""
        return [f"{self.at(percent):.2f}" for percent in PERCENTILES]

    def document(self) -> dict[str, float]:
        """Return the percentiles for the record."""
        return {f"p{percent}": round(self.at(percent), 4) for percent in PERCENTILES}
