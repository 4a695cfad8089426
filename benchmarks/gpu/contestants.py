"""Who is measured: this engine with mixed adapters and merged, torch merged, `peft` mixed.

Each answers the same batch, from token ids (or pixels) in host memory to answers in host memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from benchmarks.adapters import random_adapters
from benchmarks.gpu.models import LABELS, Shape
from exporter.source import fresh_heads_expected
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.dedicated import own_head
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.pixels import ImageFigures, Pixels, Prepared
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokens

RANK = 8
_WARM = 3  # runs before a CUDA graph is recorded


@dataclass(frozen=True, slots=True)
class Where:
    """What runs the contestants."""

    device: str  # as torch calls it
    provider: str
    variant: str  # of the bundles
    dtype: torch.dtype
    graphs: bool  # CUDA graphs for torch


ON_GPU = Where("cuda", "cuda", "fp16", torch.float16, graphs=True)
ON_CPU = Where("cpu", "cpu", "fp32", torch.float32, graphs=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """What everybody is asked: `values` are ids [texts, tokens] or pixels [images, 3, h, w]."""

    values: NDArray[np.int64] | NDArray[np.float32]
    numbers: tuple[int, ...]  # each input's adapter
    inputs: tuple[Prepared, ...]

    def __len__(self) -> int:
        return len(self.numbers)


def make_batch(shape: Shape, bundle: Bundle, adapters: int) -> Batch:
    """Return the batch of a shape, whose inputs take the adapters in turn."""
    rng = np.random.default_rng(0)
    numbers = tuple(i % adapters for i in range(shape.inputs))
    image = bundle.manifest.image
    if image is None:
        ids = rng.integers(5, shape.sizes["vocab_size"], (shape.inputs, shape.tokens))
        texts = tuple(Tokens(row, None, False, 0) for row in ids.tolist())
        return Batch(ids, numbers, texts)
    size = (shape.inputs, image.channels, image.height, image.width)
    pixels = rng.standard_normal(size, dtype=np.float32)
    figures = ImageFigures(image.width, image.height, 0, 0.5, 0.0, 0)
    pictures = tuple(Pixels(values, image.tokens, figures) for values in pixels)
    return Batch(pixels, numbers, pictures)


class Ours:
    """This engine: one bundle, its adapters in slots 1 to n, or its own classifier."""

    def __init__(self, bundle: Bundle, adapters: Sequence[Adapter], where: Where) -> None:
        members: list[Adapter] = list(adapters)
        if bundle.manifest.dedicated is not None:
            members = [own_head("benchmark", LABELS, bundle.manifest)]
        runtime = OnnxRuntime(bundle, where.provider, len(members), variant=where.variant)
        self._forward = Forward(bundle, runtime)
        self._members = [Member(a, runtime.write(slot, a)) for slot, a in enumerate(members, 1)]

    def answer(self, batch: Batch) -> int:
        """Answer the batch, in as many passes as it takes; return how many inputs it has."""
        left = list(range(len(batch)))
        count = len(self._members)
        while left:
            inputs = [batch.inputs[i] for i in left]
            numbers = [batch.numbers[i] % count for i in left]
            grid = self._forward.runtime.grid
            planned = plan(list(map(len, inputs)), numbers, grid, count)
            answered = self._forward.run(planned, inputs, numbers, self._members)
            gone = set(answered.indices)
            left = [text for at, text in enumerate(left) if at not in gone]
        return len(batch)


def mixed(bundle: Bundle, adapters: int, where: Where) -> Ours:
    """Return this engine with so many random adapters."""
    made = random_adapters(bundle.manifest, adapters, RANK, labels=len(LABELS))
    return Ours(bundle, made, where)


def _load(folder: Path, shape: Shape, where: Where) -> PreTrainedModel:
    images = shape.task == "image"
    kind: Any = AutoModelForImageClassification if images else AutoModelForSequenceClassification
    with fresh_heads_expected():
        model = kind.from_pretrained(
            folder, local_files_only=True, dtype=where.dtype, attn_implementation="sdpa"
        )
    loaded: PreTrainedModel = model.to(where.device).eval()
    return loaded


class TorchMerged:
    """`transformers` with fused attention (SDPA), one model for all, a CUDA graph on a GPU."""

    def __init__(self, folder: Path, shape: Shape, batch: Batch, where: Where) -> None:
        self._model = _load(folder, shape, where)
        self._name = "input_ids" if shape.task == "text" else "pixel_values"
        host = torch.from_numpy(batch.values)
        self._host = host.pin_memory() if where.device == "cuda" else host
        kind = torch.int64 if shape.task == "text" else where.dtype
        self._input = self._host.to(where.device, kind)
        self._graph = self._recorded() if where.graphs else None

    def _recorded(self) -> torch.cuda.CUDAGraph:
        beside = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(beside):
            for _ in range(_WARM):
                self._pass()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            self._logits = self._pass()
        return graph

    def _pass(self) -> torch.Tensor:
        logits: torch.Tensor = self._model(**{self._name: self._input}).logits
        return logits.float().softmax(-1)

    @torch.inference_mode()
    def answer(self, batch: Batch) -> int:
        """Answer the batch that it was made for."""
        self._input.copy_(self._host, non_blocking=True)
        if self._graph is None:
            self._logits = self._pass()
        else:
            self._graph.replay()
        assert len(self._logits.cpu()) == len(batch)
        return len(batch)


class PeftMixed:
    """`peft` with `adapter_names`: in each layer it loops over the batch's adapters."""

    def __init__(
        self, folder: Path, shape: Shape, bundle: Bundle, adapters: int, where: Where
    ) -> None:
        names = [target.name for target in bundle.manifest.targets]
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names)
        model: Any = get_peft_model(_load(folder, shape, where), config, adapter_name="0")
        for number in range(1, adapters):
            model.add_adapter(str(number), config)
        self._model: PeftModel = model.to(where.device, where.dtype).eval()
        self._name = "input_ids" if shape.task == "text" else "pixel_values"
        self._where = where

    @torch.inference_mode()
    def answer(self, batch: Batch) -> int:
        """Answer the batch."""
        values = torch.from_numpy(batch.values).to(self._where.device)
        if values.is_floating_point():
            values = values.to(self._where.dtype)
        names = [str(number) for number in batch.numbers]
        logits = self._model(**{self._name: values}, adapter_names=names).logits
        assert len(logits.float().softmax(-1).cpu()) == len(batch)
        return len(batch)
