"""The rows of a reference: what a version answered to its hold-out."""

from dataclasses import dataclass

from monitoring.rows import HalfArray, Images, IntArray, TruthArray


@dataclass(frozen=True, slots=True)
class ReferenceRows:
    """The healthy state, row by row; detectors make their baselines from it."""

    labels: tuple[str, ...]  # names of the classes; as many as probabilities has columns
    class_index: IntArray  # [m], predicted
    label_index: IntArray  # [m], true; -1 where it is not known
    probabilities: HalfArray  # [m, classes]
    embeddings: HalfArray | None  # [m, hidden], L2 norm 1
    base_embeddings: HalfArray | None  # [m, hidden], L2 norm 1
    tokens: IntArray  # [m]
    unknown: IntArray  # [m]
    truncated: TruthArray  # [m]
    images: Images | None = None  # of a version that answers images

    def __len__(self) -> int:
        return len(self.class_index)
