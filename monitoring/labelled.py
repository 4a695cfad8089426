"""Labels that came back, as arrays: what calibration and accuracy are computed from."""

from dataclasses import dataclass

from monitoring.rows import FloatArray, IntArray, TruthArray


@dataclass(frozen=True, slots=True)
class Labelled:
    """The last label of each prediction of one `Watched`, in the order in which they came."""

    came_us: IntArray  # [n], when the label came
    predicted_us: IntArray  # [n], when it was predicted
    class_index: IntArray  # [n], predicted
    confidence: FloatArray  # [n] float32, of the predicted class
    right: TruthArray  # [n]
    audit: TruthArray  # [n], whether the prediction was drawn to be labelled
    audit_probability: FloatArray  # [n] with which; 0: nothing was drawn

    def __len__(self) -> int:
        return len(self.right)
