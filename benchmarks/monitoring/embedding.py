"""Embeddings of the data sets' texts: MiniLM, mean pooling, L2 norm 1, as the service logs them.

Made once and kept in the user's cache, under a name that follows from the texts and the model.
"""

import gzip
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.bundles import cache_folder, minilm
from benchmarks.rounds import show
from benchmarks.texts import NoData, data_folder
from monitoring.rows import HalfArray

_TOKENS_MAX = 128
_BATCH = 128


@dataclass(frozen=True, slots=True)
class Texts:
    """A data set: its rows' columns, and their embeddings."""

    name: str
    embeddings: HalfArray  # [n, 384], L2 norm 1
    label: NDArray[np.str_]  # [n]
    domain: NDArray[np.str_]  # [n]; "" where there is none
    outside: NDArray[np.bool_]  # [n], out of scope


def embedded(name: str) -> Texts:
    """Return a data set with its embeddings; raise `NoData` where it is not there."""
    file = data_folder() / name / "data.jsonl.gz"
    if not file.is_file():
        raise NoData(f"{file} is not there; set TENANTRY_DATA to the folder of {name}")
    kept = _cached(name, file)
    if not kept.is_file():
        _embed(file, kept)
    with np.load(kept, allow_pickle=False) as arrays:
        return Texts(name, **{column: arrays[column] for column in Texts.__slots__[1:]})


def embedded_or_skip(*names: str) -> list[Texts]:
    """Return data sets, or end the process with status 0 and the reason."""
    try:
        return [embedded(name) for name in names]
    except NoData as error:
        sys.stderr.write(f"skipped: {error}\n")
        raise SystemExit(0) from error


def _cached(name: str, file: Path) -> Path:
    model = minilm() / "model.safetensors"
    state = hashlib.sha256(file.read_bytes() + str(model.stat().st_size).encode())
    return cache_folder() / "monitoring" / f"{name}-{state.hexdigest()[:12]}.npz"


def _embed(file: Path, kept: Path) -> None:
    import torch
    import transformers

    with gzip.open(file, "rb") as lines:
        rows: list[dict[str, Any]] = [orjson.loads(line) for line in lines]
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
    model = transformers.AutoModel.from_pretrained(minilm()).eval()
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]["text"]))
    found = np.empty((len(rows), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            places = order[start : start + _BATCH]
            fed = tokenizer(
                [rows[place]["text"] for place in places],
                padding=True,
                truncation=True,
                max_length=_TOKENS_MAX,
                return_tensors="pt",
            )
            hidden = model(**fed).last_hidden_state
            mask = fed["attention_mask"].unsqueeze(-1).float()
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            found[places] = torch.nn.functional.normalize(pooled, dim=1).numpy()
            show(f"embedding {file.parent.name}: {start} of {len(rows)}", last=False)
    show(f"embedded {file.parent.name}: {len(rows)} texts")
    kept.parent.mkdir(parents=True, exist_ok=True)
    partly = kept.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        partly,
        embeddings=found.astype(np.float16),
        label=np.array([str(row["label"]) for row in rows]),
        domain=np.array([str(row.get("domain", "")) for row in rows]),
        outside=np.array([bool(row.get("oos", False)) for row in rows]),
    )
    partly.replace(kept)
