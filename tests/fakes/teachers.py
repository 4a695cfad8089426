"""Tiny fine-tuned checkpoints, and texts that they can be distilled with."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from exporter.source import fresh_heads_expected
from tests.fakes.checkpoints import make_checkpoint

LABELS = ("refund", "delivery", "other")
_SPOKEN = (
    "please send the parcel back to the warehouse before friday my card was charged twice and"
    " nobody answers the telephone what a wonderful crew thank you for the window seat"
)


def make_teacher(
    folder: Path, family: str = "bert", labels: Sequence[str] = LABELS, seed: int = 0
) -> Path:
    """Write a tiny random checkpoint with a classifier that is sure of its answers."""
    make_checkpoint(family, folder, seed)
    torch.manual_seed(seed)
    with fresh_heads_expected():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(labels))
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and len(parameter) == len(labels):
            torch.nn.init.normal_(parameter, std=2.0)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    model.save_pretrained(folder)
    return folder


def write_texts(
    path: Path, count: int, labels: Sequence[str] = LABELS, labelled: float = 0.5
) -> Path:
    """Write texts of random words, about a share of them labelled at random."""
    random = np.random.default_rng(count)
    words = _SPOKEN.split()
    rows = []
    for _ in range(count):
        row = {"text": " ".join(random.choice(words, random.integers(2, 14)))}
        if random.random() < labelled:
            row["label"] = str(random.choice(labels))
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
