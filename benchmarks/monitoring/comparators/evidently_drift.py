"""Evidently's embedding drift on given windows; runs in Evidently's own environment.

`evidently_drift.py IN OUT`: IN is an .npz with references `reference_i` [m, d], windows `window_i`
[n, d], and `of`, the reference of each window. OUT is a JSON file: per method whether each window
was flagged, its score, and the seconds of CPU that it took.

The methods are called as `EmbeddingsDriftMetric` does, without its t-SNE picture.
"""

import json
import sys
import time

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from evidently.legacy.metrics.data_drift.embedding_drift_methods import (  # type: ignore[import-not-found]
    mmd,
    model,
)


def main() -> None:
    arrays = np.load(sys.argv[1], allow_pickle=False)
    found: dict[str, dict[str, list[float]]] = {}
    for name in ("default", "mmd", "mmd_bootstrap"):
        kept = found[name] = {"flagged": [], "score": [], "seconds": []}
        for number, of in enumerate(arrays["of"]):
            window, reference = frame(arrays[f"window_{number}"]), frame(arrays[f"reference_{of}"])
            began = time.process_time()
            score, flagged, _ = method(name, len(reference))(window, reference)
            kept["seconds"].append(time.process_time() - began)
            kept["flagged"].append(float(flagged))
            kept["score"].append(float(score))
    with open(sys.argv[2], "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(found, file)


def method(name: str, rows: int):  # type: ignore[no-untyped-def]
    if name == "default":  # of EmbeddingsDriftMetric: a classifier
        return model(bootstrap=rows < 1000)
    return mmd(bootstrap=name == "mmd_bootstrap")


def frame(rows: np.ndarray) -> pd.DataFrame:  # type: ignore[type-arg]
    columns = [f"e{number}" for number in range(rows.shape[1])]
    return pd.DataFrame(rows.astype(np.float64), columns=columns)


main()
