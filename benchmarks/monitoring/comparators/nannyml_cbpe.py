"""NannyML's CBPE on given chunks; runs in NannyML's own environment.

`nannyml_cbpe.py IN OUT`: IN is an .npz with, for each case i, `reference_i` [m, classes]
probabilities, `truth_i` [m] true classes, and `chunks_i` [chunks, n, classes]. OUT is a JSON file:
per case each chunk's estimated accuracy, with the sampling-error bounds that it tells.
"""

import json
import sys

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from nannyml import CBPE  # type: ignore[import-not-found]


def main() -> None:
    arrays = np.load(sys.argv[1], allow_pickle=False)
    cases = sorted(int(name.split("_")[1]) for name in arrays if name.startswith("chunks_"))
    found = [
        estimates(arrays[f"reference_{i}"], arrays[f"truth_{i}"], arrays[f"chunks_{i}"])
        for i in cases
    ]
    with open(sys.argv[2], "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(found, file)


def estimates(
    reference: np.ndarray,  # type: ignore[type-arg]
    truth: np.ndarray,  # type: ignore[type-arg]
    chunks: np.ndarray,  # type: ignore[type-arg]
) -> dict[str, list[float]]:
    classes = reference.shape[1]
    size = chunks.shape[1]
    outputs: str | dict[str, str]
    if classes == 2:
        kind, outputs = "classification_binary", "p001"
    else:
        kind, outputs = (
            "classification_multiclass",
            {f"c{k:03}": f"p{k:03}" for k in range(classes)},
        )
    estimator = CBPE(
        y_true="truth",
        y_pred="answer",
        metrics=["accuracy"],
        chunk_size=size,
        y_pred_proba=outputs,
        problem_type=kind,
    )
    known = frame(reference)
    known["truth"] = names_of(truth, classes)
    estimator.fit(known)
    result = estimator.estimate(frame(chunks.reshape(-1, classes))).filter(period="analysis")
    told = result.to_df()["accuracy"]
    return {
        "value": told["value"].tolist(),
        "lower": told["lower_confidence_boundary"].tolist(),
        "upper": told["upper_confidence_boundary"].tolist(),
    }


def frame(probabilities: np.ndarray) -> pd.DataFrame:  # type: ignore[type-arg]
    classes = probabilities.shape[1]
    found = pd.DataFrame({f"p{k:03}": probabilities[:, k] for k in range(classes)})
    found["answer"] = names_of(probabilities.argmax(axis=1), classes)
    return found


def names_of(numbers: np.ndarray, classes: int):  # type: ignore[no-untyped-def, type-arg]
    """Return classes by names whose order is that of their numbers; of two, the numbers."""
    return numbers if classes == 2 else [f"c{number:03}" for number in numbers]


main()
