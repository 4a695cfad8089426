"""The newest rows of a version, for detectors that need them as they are."""

from dataclasses import dataclass

import numpy as np

from monitoring.rows import HalfArray, IntArray, Rows


@dataclass(frozen=True, slots=True)
class RecentRows:
    """Rows with an embedding, oldest first, in the log's order."""

    time_us: IntArray  # [n]
    prediction_ids: list[str]  # [n]
    class_index: IntArray  # [n]
    probabilities: HalfArray  # [n, classes]
    embeddings: HalfArray  # [n, hidden]

    def __len__(self) -> int:
        return len(self.class_index)

    def with_rows(self, rows: Rows, most: int) -> "RecentRows":
        """Return the newest of these and of those rows that have an embedding."""
        return RecentRows(
            np.concatenate([self.time_us, rows.time_us[rows.embedded]])[-most:],
            [*self.prediction_ids, *(rows.prediction_ids[row] for row in rows.embedded.tolist())][
                -most:
            ],
            np.concatenate([self.class_index, rows.class_index[rows.embedded]])[-most:],
            np.concatenate([self.probabilities, rows.probabilities[rows.embedded]])[-most:],
            np.concatenate([self.embeddings, rows.embeddings])[-most:],
        )


def no_rows(classes: int, hidden: int) -> RecentRows:
    """Return none."""
    none = np.zeros(0, np.int64)
    return RecentRows(
        none, [], none, np.zeros((0, classes), np.float16), np.zeros((0, hidden), np.float16)
    )
