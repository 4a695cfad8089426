"""Batches of texts of like length: which texts a step trains on is a function of seed and step.

So a run that continues needs no state of a shuffle. Each epoch shuffles all texts, cuts them into
pools, sorts each pool by length and cuts it into batches, so that little is padded and the order
still changes from epoch to epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

_POOL = 50  # batches that are sorted by length together
_TOKENISED = 1000  # texts at once

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as one tokenizer cuts them: one array of ids, and where each text begins in it."""

    ids: NDArray[np.int32]  # [tokens of all texts]
    starts: Indices  # [texts + 1]
    padding: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Indices:
        """Return the tokens of each text, [texts]."""
        return np.diff(self.starts)

    def batch(self, chosen: Indices, device: torch.device) -> dict[str, Tensor]:
        """Return the chosen texts, padded to the longest, as the model takes them."""
        lengths = self.lengths[chosen]
        shape = (len(chosen), int(lengths.max()))
        ids = np.full(shape, self.padding, dtype=np.int64)
        mask = np.arange(shape[1]) < lengths[:, None]
        ids[mask] = np.concatenate([self.ids[self.starts[i] : self.starts[i + 1]] for i in chosen])
        taken = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask).long(),
        }
        return {name: tensor.to(device) for name, tensor in taken.items()}


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int) -> Encoded:
    """Return the texts as the tokenizer cuts them, special tokens included."""
    pieces, lengths = [np.empty(0, np.int32)], [0]
    for first in range(0, len(texts), _TOKENISED):
        chunk = list(texts[first : first + _TOKENISED])
        rows = tokenizer(chunk, truncation=True, max_length=max_length)["input_ids"]
        pieces += [np.array(row, dtype=np.int32) for row in rows]
        lengths += [len(row) for row in rows]
    starts = np.cumsum(lengths, dtype=np.int64)
    return Encoded(np.concatenate(pieces), starts, int(tokenizer.pad_token_id or 0))


def steps_of(texts: int, size: int) -> int:
    """Return how many batches an epoch has."""
    return -(-texts // size)


def epoch_batches(lengths: Indices, size: int, seed: int, epoch: int) -> list[Indices]:
    """Return the batches of an epoch, each text in one of them."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    found = []
    for start in range(0, len(order), size * _POOL):
        pool = order[start : start + size * _POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        found += [pool[i : i + size] for i in range(0, len(pool), size)]
    return [found[i] for i in random.permutation(len(found))]


def sorted_batches(lengths: Indices, tokens: int) -> list[Indices]:
    """Return batches by length, of at most so many tokens with their padding, one text at least."""
    order = np.argsort(-lengths, kind="stable")  # the longest first: memory runs out at once
    found = []
    at = 0
    while at < len(order):
        count = max(1, tokens // int(lengths[order[at]]))
        found.append(order[at : at + count])
        at += count
    return found
