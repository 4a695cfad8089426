"""The texts: BANKING77, in one fixed order of arrival.

Casanueva et al. 2020, Efficient Intent Detection with Dual Sentence Encoders, arXiv 2003.04807.
The data set is not part of the project; without it a benchmark says so and ends.
"""

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import orjson

from benchmarks.machine import ROOT

_SEED = 20260101


class NoData(Exception):
    """The data set is not there."""


def data_folder() -> Path:
    """Return where the data sets are: `TENANTRY_DATA`, or `../shared/data`."""
    return Path(os.environ.get("TENANTRY_DATA", ROOT.parent / "shared" / "data"))


def banking_texts(count: int) -> list[str]:
    """Return `count` texts, shuffled once and for all, since the files are sorted by label.

    Raises `NoData`.
    """
    file = data_folder() / "banking77" / "data.jsonl.gz"
    if not file.is_file():
        raise NoData(f"{file} is not there; set TENANTRY_DATA to the folder of banking77")
    with gzip.open(file, "rb") as lines:
        texts = [str(orjson.loads(line)["text"]) for line in lines]
    order = np.random.default_rng(_SEED).permutation(len(texts))
    return [texts[i] for i in order[:count]]


def banking_texts_or_skip(count: int) -> list[str]:
    """Return the texts, or end the process with status 0 and the reason."""
    try:
        return banking_texts(count)
    except NoData as error:
        sys.stderr.write(f"skipped: {error}\n")
        raise SystemExit(0) from error


def adapters_of(count: int, adapters: int) -> list[int]:
    """Return which adapter each of `count` texts asks for, uniformly and always the same."""
    drawn: list[int] = np.random.default_rng(_SEED + 1).integers(0, adapters, count).tolist()
    return drawn
