"""What plain `peft` answers with the same adapter: the measure of every other answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

BATCH = 32


def peft_probabilities(
    model_path: Path, adapter: Path, labels: int, texts: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the probabilities [texts, labels] in float32, padded batches of similar length."""
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    base = AutoModelForSequenceClassification.from_pretrained(model_path, num_labels=labels)
    model: Any = PeftModel.from_pretrained(base, str(adapter)).eval()
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = np.empty((len(texts), labels), np.float32)
    for first in range(0, len(texts), BATCH):
        batch = by_length[first : first + BATCH]
        inputs = tokenizer(
            [texts[i] for i in batch], padding=True, truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            found[batch] = model(**inputs).logits.softmax(dim=1).numpy()
    return found
