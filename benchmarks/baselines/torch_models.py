"""What `transformers` and `peft` do with the same texts: the backbone alone, and mixed batches.

`peft` mixes adapters in a batch by `adapter_names`, one name a text; in every layer it loops over
the adapters of the batch in Python.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from benchmarks.adapters import save_folder
from benchmarks.bundles import minilm
from exporter.source import fresh_heads_expected
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest
from service.engine.tokens import Tokens

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def plain_model(labels: int, dtype: str) -> PreTrainedModel:
    """Return MiniLM as a classification model of `transformers`."""
    with fresh_heads_expected():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            minilm(), num_labels=labels, local_files_only=True, dtype=DTYPES[dtype]
        )
    model.eval()
    return model


def peft_model(folders: Sequence[tuple[str, Path]], labels: int, dtype: str) -> PeftModel:
    """Return MiniLM with these adapters, (name, folder of `save_pretrained`), side by side."""
    (first, folder), *others = folders
    model = PeftModel.from_pretrained(plain_model(labels, dtype), folder, adapter_name=first)
    for name, where in others:
        model.load_adapter(where, adapter_name=name)
    return model.to(DTYPES[dtype]).eval()


def peft_model_of(adapters: Sequence[Adapter], manifest: Manifest, dtype: str) -> PeftModel:
    """Return MiniLM with these adapters, called by their numbers."""
    with tempfile.TemporaryDirectory() as base:
        folders = [
            (str(number), save_folder(adapter, manifest, Path(base) / str(number)))
            for number, adapter in enumerate(adapters)
        ]
        return peft_model(folders, len(adapters[0].labels), dtype)


class TorchBatches:
    """One model, asked for batches of texts that are equally long."""

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self._model = model
        self._mixes = isinstance(model, PeftModel)

    def answer(self, texts: Sequence[Tokens], numbers: Sequence[int]) -> FloatArray:
        """Return the probabilities [texts, labels]; `numbers` are the texts' adapters."""
        ids = torch.tensor([text.ids for text in texts])
        return self.answer_ids(ids, numbers)

    @torch.inference_mode()
    def answer_ids(self, ids: Tensor, numbers: Sequence[int]) -> FloatArray:
        """Return the probabilities [texts, labels] for ids [texts, tokens]."""
        names = {"adapter_names": [str(n) for n in numbers]} if self._mixes else {}
        logits: Tensor = self._model(input_ids=ids, **names).logits
        found: FloatArray = logits.float().softmax(-1).numpy()
        return found
