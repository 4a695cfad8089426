"""Trains one LoRA classifier with plain `peft`, `transformers` and `torch`.

Nothing in this file knows Tenantry: it is what an ML team has already, or can copy. Whatever
`save_pretrained` writes at the end is what gets uploaded.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MAX_TOKENS = 128

# (epochs done, mean loss of the last one)
OnEpoch = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an adapter is trained."""

    rank: int
    alpha: int
    targets: tuple[str, ...]  # names of layers, as peft's `target_modules` takes them
    lora_rate: float
    head_rate: float  # of the classifier, which starts from noise, and `also_trained`
    epochs: int = 8
    rank_stabilised: bool = False  # rsLoRA: alpha / sqrt(rank) instead of alpha / rank
    also_trained: tuple[str, ...] = ()  # whole modules, beside the classifier
    batch_size: int = 16
    seed: int = 0


def train_adapter(
    model_path: Path,
    rows: Sequence[Row],
    labels: Sequence[str],
    recipe: Recipe,
    out: Path,
    on_epoch: OnEpoch,
) -> None:
    """Train on the rows and write the adapter to `out`; the same arguments give the same file."""
    torch.manual_seed(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    model: Any = get_peft_model(
        AutoModelForSequenceClassification.from_pretrained(model_path, num_labels=len(labels)),
        LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            use_rslora=recipe.rank_stabilised,
            target_modules=list(recipe.targets),
            modules_to_save=list(recipe.also_trained) or None,
            lora_dropout=0.05,
        ),
    )
    steps = recipe.epochs * -(-len(rows) // recipe.batch_size)
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    # Where the processor multiplies bfloat16 itself, that halves the time; elsewhere it doubles it.
    processor = torch.cpu.get_capabilities()
    half = bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))
    order = random.Random(recipe.seed)
    remaining = list(rows)
    model.train()
    for epoch in range(recipe.epochs):
        order.shuffle(remaining)
        losses = []
        for first in range(0, len(remaining), recipe.batch_size):
            batch = remaining[first : first + recipe.batch_size]
            inputs = tokenizer(
                [row.text for row in batch],
                padding=True,  # to the longest of this batch, not to MAX_TOKENS
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            targets = torch.tensor([labels.index(row.label) for row in batch])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                loss = model(**inputs, labels=targets).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        on_epoch(epoch + 1, sum(losses) / len(losses))
    model.save_pretrained(out)


def _parameter_groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    return [
        {"params": [w for name, w in trained if "lora_" in name], "lr": recipe.lora_rate},
        {"params": [w for name, w in trained if "lora_" not in name], "lr": recipe.head_rate},
    ]
