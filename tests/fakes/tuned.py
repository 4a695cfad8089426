"""Adapters that `peft` itself makes, saves and answers with: what an answer is held against."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from exporter.source import fresh_heads_expected
from service.engine.adapter import Adapter, FloatArray, read_adapter, read_tensors
from service.engine.bundle import Manifest
from service.engine.tokens import Input
from tests.fakes.adapters import digest_of

# What `modules_to_save` must name for a family's whole head.
HEADS: Mapping[str, Sequence[str]] = {
    "bert": ("pooler", "classifier"),
    "roberta": ("classifier",),
    "xlm-roberta": ("classifier",),
    "distilbert": ("pre_classifier", "classifier"),
    "modernbert": ("head", "classifier"),
    "electra": ("classifier",),
    "albert": ("pooler", "classifier"),
    "mpnet": ("classifier",),
    "deberta-v2": ("pooler", "classifier"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one adapter: arguments of `LoraConfig`, and how many labels it has."""

    labels: int
    lora: Mapping[str, Any] = field(default_factory=dict)


def make_tuned(checkpoint: Path, recipe: Recipe, seed: int = 0) -> PeftModel:
    """Return a `peft` model on the checkpoint, with every weight of its own drawn at random."""
    torch.manual_seed(seed)
    with fresh_heads_expected():
        model = AutoModelForSequenceClassification.from_pretrained(
            checkpoint,
            num_labels=recipe.labels,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            dtype="float32",
        )
    tuned = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, **recipe.lora))
    assert isinstance(tuned, PeftModel)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(0.0, 0.1)
            elif "modules_to_save" in name:
                parameter.normal_(0.0 if parameter.dim() > 1 else 0.5, 0.2)
    return tuned.eval()


def train(
    tuned: PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    classes: Sequence[int],
    steps: int,
    rate: float = 3e-3,
) -> None:
    """Train the adapter and its head for some steps of 16 texts, cut to 48 tokens."""
    random = np.random.default_rng(0)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:  # as peft begins
            parameter.data.zero_()
        elif "lora_A" in name or ("modules_to_save" in name and parameter.dim() > 1):
            parameter.data.mul_(0.2)
    wanted = [p for p in tuned.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(wanted, lr=rate)
    tuned.train()
    for _ in range(steps):
        chosen = random.choice(len(texts), 16, replace=False)
        encoded = tokenizer(
            [texts[i] for i in chosen],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=48,
        )
        logits = tuned(**encoded).logits
        target = torch.tensor([classes[i] for i in chosen])
        loss = torch.nn.functional.cross_entropy(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    tuned.eval()


def read_back(
    tuned: PeftModel, folder: Path, manifest: Manifest, name: str, labels: Sequence[str]
) -> Adapter:
    """Save the adapter with `save_pretrained` and read it as an upload is read."""
    tuned.save_pretrained(str(folder))
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = read_tensors(folder / "adapter_model.safetensors")
    return read_adapter(digest_of(name), config, tensors, labels, manifest)


@dataclass(frozen=True, slots=True)
class Expected:
    """What `peft` says of one text."""

    probabilities: FloatArray  # [labels]
    embedding: FloatArray  # [hidden], mean of the last hidden state


def ask_peft(
    tuned: PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[Input],
    manifest: Manifest,
    batch: int = 1,
) -> list[Expected]:
    """Return what `peft` answers, `batch` texts at a time, padded to the longest of them."""
    hidden: list[torch.Tensor] = []
    encoder = tuned.get_submodule(f"base_model.model.{manifest.encoder}")
    hook = encoder.register_forward_hook(lambda _m, _i, output: hidden.append(output[0]))
    answers: list[Expected] = []
    for start in range(0, len(texts), batch):
        chunk = texts[start : start + batch]
        firsts = [text if isinstance(text, str) else text[0] for text in chunk]
        pairs = [text[1] for text in chunk if not isinstance(text, str)]
        assert len(pairs) in (0, len(chunk)), "pairs and single texts are asked apart"
        encoded = tokenizer(
            firsts,
            *([pairs] if pairs else []),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=manifest.max_length,
        )
        with torch.inference_mode():
            rows = tuned(**encoded).logits.float().softmax(-1).numpy()
        mask = encoded["attention_mask"].numpy()[:, :, None]
        states = hidden.pop().numpy()
        means = (states * mask).sum(1) / mask.sum(1)
        answers += [
            Expected(row, mean.astype(np.float32)) for row, mean in zip(rows, means, strict=True)
        ]
    hook.remove()
    return answers
