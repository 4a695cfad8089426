"""Rows: the predictions of one version in one frame of the log, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

HalfArray = npt.NDArray[np.float16]
FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
TruthArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Images:
    """What is known of the images of some rows, as they came."""

    width: IntArray  # [n], pixels; -1 where it is not known, and so the others
    height: IntArray  # [n]
    bytes: IntArray  # [n], of the file
    brightness: npt.NDArray[np.float32]  # [n], mean luma, 0 to 1
    sharpness: npt.NDArray[np.float32]  # [n]; NaN where an image is too small for it

    def __len__(self) -> int:
        return len(self.width)

    def rows(self, chosen: IntArray | slice) -> "Images":
        """Return those of some rows."""
        return Images(
            self.width[chosen],
            self.height[chosen],
            self.bytes[chosen],
            self.brightness[chosen],
            self.sharpness[chosen],
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Some predictions of one `Watched`, in the log's order.

    A tenant may keep embeddings out of the log, and the bare backbone's are of sampled rows only:
    `embedded` and `based` name the rows that have them, ascending.
    """

    time_us: IntArray  # [n], since 1970, by the service's wall clock
    order: IntArray  # [n], hash of writer and sequence number: decides samples, for ever the same
    prediction_ids: Sequence[str]  # [n]
    class_index: IntArray  # [n]
    confidence: FloatArray  # [n] float32
    probabilities: HalfArray  # [n, classes]
    embedded: IntArray  # [e], rows with an embedding
    embeddings: HalfArray  # [e, hidden], L2 norm 1
    based: IntArray  # [b], rows with an embedding of the bare backbone
    base_embeddings: HalfArray  # [b, hidden], L2 norm 1
    tokens: IntArray  # [n]; -1 where it is not known, as of images
    unknown: IntArray  # [n], tokens that the vocabulary lacks; -1 where it is not known
    truncated: TruthArray  # [n]
    characters: IntArray  # [n], of the text; -1 where it is not known
    text_bytes: IntArray  # [n], of the text in UTF-8; -1 where it is not known
    replaced: IntArray  # [n], replacement characters (U+FFFD) in it; -1 where it is not known
    fingerprint: IntArray  # [n], keyed hash of the text; 0 where it is not known
    groups: Sequence[str | None]  # [n]
    audit: TruthArray  # [n], whether a label is asked for
    texts: Sequence[str | None]  # [n]
    images: Images | None = None  # of a version that answers images

    def __len__(self) -> int:
        return len(self.class_index)
