"""What alibi-detect's detectors are given: the rows of a reference, or of a window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BackendRows:
    """Rows, in the order in which they came."""

    embeddings: Singles | None  # [n, hidden], L2 norm 1; None where the tenant keeps them out
    probabilities: Singles  # [n, classes]

    def last(self, count: int) -> "BackendRows":
        """Return the last rows."""
        embeddings = None if self.embeddings is None else self.embeddings[-count:]
        return BackendRows(embeddings, self.probabilities[-count:])

    def drawn(self, count: int, seed: int) -> "BackendRows":
        """Return as many rows, drawn without replacement, in their order; all where they are few.

        The same rows for the same seed.
        """
        rows = len(self.probabilities)
        if rows <= count:
            return self
        kept = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
        embeddings = None if self.embeddings is None else self.embeddings[kept]
        return BackendRows(embeddings, self.probabilities[kept])
