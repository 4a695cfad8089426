"""Independent pieces of work, dealt to processes of one thread each."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from benchmarks.rounds import show

T = TypeVar("T")
R = TypeVar("R")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def spread(work: Callable[[T], R], pieces: Sequence[T], title: str) -> list[R]:
    """Return what `work` makes of each piece, in their order; progress goes to standard error."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"  # read by the processes that start now
    processes = min(len(pieces), len(os.sched_getaffinity(0)))
    found = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for number, result in enumerate(pool.map(work, pieces), 1):
            found.append(result)
            show(f"{title}: {number} of {len(pieces)}", last=number == len(pieces))
    return found
