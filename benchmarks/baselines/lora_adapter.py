"""ONNX Runtime's own `LoraAdapter`: weights that a run may override, of one adapter at a time.

The graph is the same packed encoder; A and B of each target are inputs that have initialisers
(here zeros of rank 1), and `RunOptions.add_active_adapter` overrides them for a run. One run has
one adapter for all of its texts, so a mixed batch becomes one run per adapter; by ONNX Runtime's
documentation it has no effect with IO binding.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from benchmarks.bundles import minilm
from exporter.banked import Banks, Layer
from exporter.families.catalogue import family_of
from exporter.graph import OPSET, OUTPUTS
from exporter.packed import Inputs, Pooling
from exporter.source import load_model
from service.engine.adapter import Adapter, FloatArray
from service.engine.bank import input_names
from service.engine.bundle import Manifest
from service.engine.feed import Feed
from service.engine.processor import processors

_INPUTS = ("ids", "positions", "texts", "token_types", "first")


@dataclass(slots=True)
class _Weights:
    """A and B of every target, alternating."""

    tensors: list[Tensor] = field(default_factory=list)


class _OneLora(nn.Module):
    """A linear layer with one low-rank delta for every token."""

    def __init__(self, linear: nn.Linear, weights: _Weights, index: int) -> None:
        super().__init__()
        self.linear = linear
        self.weights = weights
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        """Return [rows, tokens, out] for x [rows, tokens, in]."""
        a, b = self.weights.tensors[2 * self.index : 2 * self.index + 2]
        y: Tensor = self.linear(x) + torch.matmul(torch.matmul(x, a.transpose(0, 1)), b)
        return y


class _OneLoraBanks(Banks):
    """Wraps the targets as `Banks` does, with one adapter's weights and no bank."""

    def __init__(self, targets: frozenset[str]) -> None:
        super().__init__(targets)
        self.weights = _Weights()

    def wrap(self, name: str, layer: Layer) -> nn.Module:
        wrapped = super().wrap(name, layer)
        if wrapped is layer:
            return layer
        assert isinstance(layer, nn.Linear), "MiniLM has no convolutions"
        return _OneLora(layer, self.weights, len(self.names) - 1)


class _Graph(nn.Module):
    def __init__(self, encoder: nn.Module, pooling: str, banks: _OneLoraBanks) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = Pooling(pooling)
        self.banks = banks

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        texts: Tensor,
        token_types: Tensor,
        first: Tensor,
        weights: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return (pooled, embedding), each [texts, hidden]."""
        self.banks.weights.tensors = weights
        hidden = self.encoder(Inputs(ids, positions, texts, token_types))
        pooled, embedding = self.pooling(hidden, texts, first)
        return pooled, embedding


def write_overridable(manifest: Manifest, path: Path) -> None:
    """Write the graph whose A and B can be overridden."""
    loaded = load_model(str(minilm()))
    banks = _OneLoraBanks(frozenset(target.name for target in manifest.targets))
    assembled = family_of(loaded.model.config.model_type).assemble(loaded.model, banks)
    graph = _Graph(assembled.encoder, assembled.pooling, banks).eval()
    names = input_names(manifest.targets)
    sizes = [n for t in manifest.targets for n in (t.in_features, t.out_features)]
    auto = torch.export.Dim.DYNAMIC
    grid = torch.zeros((3, 32), dtype=torch.int64)  # no tensor twice: one input would feed both
    weights = [torch.zeros((5, size)) for size in sizes]
    matrix = {0: auto, 1: auto}
    shapes: tuple[Any, ...] = (*[matrix] * 4, {0: auto}, [{0: auto} for _ in weights])
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (grid + 1, grid + 2, grid - 1, grid, torch.arange(7), weights),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            input_names=[*_INPUTS, *names],
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for name, size in zip(names, sizes, strict=True):
        zeros = np.zeros((1, size), dtype=np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(zeros, name))
    onnx.save(model, str(path))


def write_adapter(adapter: Adapter, path: Path) -> None:
    """Write the adapter in ONNX Runtime's own format."""
    names = [f"{side}.{target}" for target in adapter.deltas for side in ("A", "B")]
    arrays = [array for pair in adapter.deltas.values() for array in pair]
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    document = ort.AdapterFormat()
    document.set_adapter_version(1)
    document.set_model_version(1)
    document.set_parameters(dict(zip(names, values, strict=True)))
    document.export_adapter(str(path))


class LoraAdapterRuns:
    """A session, and adapters of which each run activates one."""

    def __init__(self, model: Path, adapters: Sequence[Path]) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = processors()
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = ort.InferenceSession(
            str(model),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        self._adapters = []
        self._options = []
        for file in adapters:
            adapter = ort.LoraAdapter()
            adapter.Load(str(file))
            run = ort.RunOptions()
            run.add_active_adapter(adapter)
            self._adapters.append(adapter)  # the run options hold no reference
            self._options.append(run)

    def run(self, feed: Feed, number: int) -> FloatArray:
        """Return the pooled states [texts, hidden] with that adapter for every text."""
        inputs = {name: getattr(feed, name) for name in _INPUTS}
        pooled: FloatArray = self._session.run(list(OUTPUTS), inputs, self._options[number])[0]
        return pooled
