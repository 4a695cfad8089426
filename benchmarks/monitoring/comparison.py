"""What others say of the same windows: alibi-detect in this process, Evidently in its own."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.monitoring.environments import EVIDENTLY
from monitoring.rows import HalfArray

# How each is called in tables.
ALIBI = "alibi-detect MMDDrift"
EVIDENTLY_METHODS = {
    "default": "Evidently, default (a classifier)",
    "mmd": "Evidently, mmd, default",
    "mmd_bootstrap": "Evidently, mmd with bootstrap, default",
}

LEVEL = 0.05
_PERMUTATIONS = 100  # alibi-detect's default


@dataclass(frozen=True, slots=True)
class Case:
    """A reference and windows to compare with it."""

    reference: HalfArray  # [m, hidden]
    windows: Sequence[HalfArray]  # [n, hidden] each


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Per window whether it was flagged, and the seconds of CPU that it took."""

    flagged: list[bool]
    seconds: list[float]


def by_alibi(case: Case, seed: int) -> Verdicts:
    """Return what alibi-detect's MMDDrift says, at its defaults, on PyTorch and the CPU."""
    import torch
    from alibi_detect.cd import MMDDrift

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    detector = MMDDrift(
        case.reference.astype(np.float32),
        backend="pytorch",
        device="cpu",
        p_val=LEVEL,
        n_permutations=_PERMUTATIONS,
    )
    found = Verdicts([], [])
    for window in case.windows:
        began = time.process_time()
        data = detector.predict(window.astype(np.float32))["data"]
        found.seconds.append(time.process_time() - began)
        found.flagged.append(bool(data["is_drift"]))
    return found


def by_evidently(cases: Sequence[Case]) -> dict[str, list[Verdicts]]:
    """Return what Evidently's methods say of each case, by their name here.

    Raises `NotInstalled` or `ComparatorFailed`.
    """
    EVIDENTLY.environment()
    parts = min(len(cases), len(os.sched_getaffinity(0)))
    bounds = [round(part * len(cases) / parts) for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:  # each waits for a process
        told = list(pool.map(lambda i: _evidently(cases[bounds[i] : bounds[i + 1]]), range(parts)))
    return {name: [one for part in told for one in part[name]] for name in told[0]}


def _evidently(cases: Sequence[Case]) -> dict[str, list[Verdicts]]:
    arrays: dict[str, HalfArray] = {}
    of: list[int] = []
    for number, case in enumerate(cases):
        arrays[f"reference_{number}"] = case.reference
        for window in case.windows:
            arrays[f"window_{len(of)}"] = window
            of.append(number)
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder) / "in.npz", Path(folder) / "out.json"
        np.savez(given, of=np.array(of), **arrays)
        EVIDENTLY.run(str(given), str(answered))
        told = json.loads(answered.read_bytes())
    return {
        name: _dealt(cases, told[method]["flagged"], told[method]["seconds"])
        for method, name in EVIDENTLY_METHODS.items()
    }


def _dealt(
    cases: Sequence[Case], flagged: Sequence[float], seconds: Sequence[float]
) -> list[Verdicts]:
    """Return the verdicts of each case, of all windows' in their order."""
    flags, each = iter(flagged), iter(seconds)
    return [
        Verdicts([bool(next(flags)) for _ in case.windows], [next(each) for _ in case.windows])
        for case in cases
    ]
