"""A teacher: MiniLM fine-tuned as a whole on BANKING77, as anybody would do it with torch."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.bundles import minilm
from benchmarks.rounds import show
from benchmarks.texts import NoData, data_folder
from exporter.distill.batches import encode, epoch_batches, steps_of
from exporter.distill.compute import choose
from exporter.source import fresh_heads_expected

_RATE = 3e-4
_BATCH = 32
_MAX_LENGTH = 64
_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Row:
    """A text and its label."""

    text: str
    label: str

    def line(self, *, labelled: bool) -> bytes:
        """Return the row as `tenantry distill` takes it, with its label or without."""
        row = {"text": self.text, "label": self.label} if labelled else {"text": self.text}
        return orjson.dumps(row) + b"\n"


@dataclass(frozen=True, slots=True)
class Banking:
    """BANKING77: the official split, without test texts that are trained on too."""

    training: tuple[Row, ...]  # labelled, for teacher and student
    more: tuple[Row, ...]  # further training rows, whose labels nobody looks at
    test: tuple[Row, ...]
    labels: tuple[str, ...]  # sorted


def banking(count: int, more: int) -> Banking:
    """Return `count` and `more` training rows, drawn once and for all, and every test row.

    Raises `NoData`.
    """
    file = data_folder() / "banking77" / "data.jsonl.gz"
    if not file.is_file():
        raise NoData(f"{file} is not there; set TENANTRY_DATA to the folder of banking77")
    with gzip.open(file, "rb") as lines:
        rows = [orjson.loads(line) for line in lines]
    training = [Row(row["text"], row["label"]) for row in rows if row["split"] == "train"]
    order = np.random.default_rng(_SEED).permutation(len(training))
    known = {row.text.casefold() for row in training}
    test = [Row(row["text"], row["label"]) for row in rows if row["split"] == "test"]
    return Banking(
        tuple(training[i] for i in order[:count]),
        tuple(training[i] for i in order[count : count + more]),
        tuple(row for row in test if row.text.casefold() not in known),
        tuple(sorted({row.label for row in training})),
    )


def fine_tune(rows: Sequence[Row], labels: Sequence[str], epochs: int, out: Path) -> Path:
    """Fine-tune MiniLM on the rows and write it to `out` as `transformers` does."""
    torch.manual_seed(_SEED)
    compute = choose("cpu")
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    with fresh_heads_expected():
        model = AutoModelForSequenceClassification.from_pretrained(
            minilm(), num_labels=len(labels), attn_implementation="eager", dtype="float32"
        )
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    texts = encode(tokenizer, [row.text for row in rows], _MAX_LENGTH)
    classes = torch.tensor([labels.index(row.label) for row in rows])
    steps = epochs * steps_of(len(rows), _BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    model.train()
    for epoch in range(epochs):
        for batch in epoch_batches(texts.lengths, _BATCH, _SEED, epoch):
            with compute.reduced():
                logits = model(**texts.batch(batch, compute.device)).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), classes[batch])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        show(f"teacher: epoch {epoch + 1} of {epochs}", last=epoch + 1 == epochs)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
