"""The models whose shapes are measured, with random weights: speed does not depend on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

LABELS = ("no", "yes")
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Sizes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A model by its sizes, and the batch that it is asked."""

    name: str
    task: Literal["text", "image"]
    build: Callable[[Sizes], PreTrainedModel]
    sizes: Sizes
    tiny: Sizes  # what differs in a dry run
    inputs: int = 128  # of one batch
    tokens: int = 32  # of one text

    def at(self, *, tiny: bool) -> "Shape":
        """Return it as it is measured, or in small for a dry run."""
        if not tiny:
            return self
        sizes = self.sizes | self.tiny
        return Shape(self.name, self.task, self.build, sizes, {}, inputs=8, tokens=8)

    def write(self, folder: Path) -> Path:
        """Write a random checkpoint, as `save_pretrained` does; return its folder."""
        torch.manual_seed(0)
        self.build(self.sizes).save_pretrained(folder, safe_serialization=True)
        if self.task == "text":
            _tokenizer(self.sizes["vocab_size"]).save_pretrained(folder)
        else:
            side = self.sizes.get("image_size", 224)
            size = {"height": side, "width": side}
            ViTImageProcessor(size=size).save_pretrained(folder)
        (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
        return folder


def _tokenizer(words: int) -> PreTrainedTokenizerFast:
    names = [*_SPECIAL, *(f"w{number}" for number in range(words - len(_SPECIAL)))]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    special = dict(zip(("pad", "unk", "cls", "sep", "mask"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        **{f"{kind}_token": name for kind, name in special.items()},
    )


def _bert(sizes: Sizes) -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(num_labels=len(LABELS), **sizes))


def _modernbert(sizes: Sizes) -> PreTrainedModel:
    special = {"pad": 0, "cls": 2, "bos": 2, "sep": 3, "eos": 3}
    ids: Sizes = {f"{kind}_token_id": number for kind, number in special.items()}
    config = ModernBertConfig(num_labels=len(LABELS), reference_compile=False, **ids, **sizes)
    return ModernBertForSequenceClassification(config)


def _vit(sizes: Sizes) -> PreTrainedModel:
    return ViTForImageClassification(ViTConfig(num_labels=len(LABELS), **sizes))


_TINY: Sizes = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_TINY_VIT: Sizes = {k: v for k, v in _TINY.items() if not k.startswith(("vocab", "max"))}
_TINY_VIT |= {"image_size": 32, "patch_size": 8}

SHAPES = (
    Shape(
        "MiniLM-L6",
        "text",
        _bert,
        {
            "vocab_size": 30_522,
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
        },
        _TINY,
    ),
    Shape("BERT-base", "text", _bert, {"vocab_size": 30_522}, _TINY),
    Shape(
        "ModernBERT-base",
        "text",
        _modernbert,
        {"vocab_size": 50_368, "max_position_embeddings": 512},
        _TINY | {"num_hidden_layers": 4, "local_attention": 16},
    ),
    Shape("ViT-B", "image", _vit, {}, _TINY_VIT, inputs=16),
)
