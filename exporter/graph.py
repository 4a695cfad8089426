"""The banked graph: the packed encoder, its banks and its pooling, traced to ONNX.

Inputs (int64 unless said otherwise; rows, tokens, texts, blocks, K and bank rows are dynamic):

    ids, positions, texts, token_types, adapters   [rows, tokens]
    first                                          [texts]
    columns, owners                                [blocks, K]
    A.<target> [bank rows, in], B.<target> [bank rows, out]   float32, for every target

Outputs: `output.pooled` and `output.embedding`, [texts, hidden] float32.
`service/engine/feed.py` says what each input means. Opset 20 is what every provider takes well:
opset 23's Attention is left to the CPU by OpenVINO.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exporter.banked import Banks, Layer
from exporter.errors import ExportFailed
from exporter.families.family import Assembled
from exporter.packed import Inputs, Pooling
from service.engine.bank import input_names
from service.engine.bundle import Target

OPSET = 20
OUTPUTS = ("output.pooled", "output.embedding")  # torch names values `embedding` itself
_TRACED = {"rows": 3, "tokens": 32, "texts": 5, "blocks": 6, "columns": 8, "bank": 24}


class BankedGraph(nn.Module):
    """What is traced: packed encoder and pooling, with or without banks."""

    def __init__(self, assembled: Assembled, banks: Banks) -> None:
        super().__init__()
        self.encoder = assembled.encoder
        self.pooling = Pooling(assembled.pooling)
        self.banks = banks
        self.token_types = assembled.token_types

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        texts: Tensor,
        token_types: Tensor | None,
        first: Tensor,
        adapters: Tensor | None = None,
        columns: Tensor | None = None,
        owners: Tensor | None = None,
        bank: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return (pooled, embedding), each [texts, hidden]."""
        if bank:
            assert adapters is not None
            assert columns is not None
            assert owners is not None
            self.banks.lora.begin(adapters, columns, owners, bank)
        hidden = self.encoder(Inputs(ids, positions, texts, token_types))
        pooled, embedding = self.pooling(hidden, texts, first)
        return pooled, embedding


def targets_of(banks: Banks) -> tuple[Target, ...]:
    """Return the targets in the order of the graph's banks."""
    return tuple(
        _target(name, layer) for name, layer in zip(banks.names, banks.layers, strict=True)
    )


def _target(name: str, layer: Layer) -> Target:
    if isinstance(layer, nn.Linear):
        return Target(name=name, in_features=layer.in_features, out_features=layer.out_features)
    tall, wide = layer.kernel_size
    return Target(
        name=name,
        in_features=layer.in_channels * tall * wide,
        out_features=layer.out_channels,
        kernel=(tall, wide),
    )


@dataclass(frozen=True, slots=True)
class Example:
    """What a graph is traced with: example inputs, which sizes of them vary, and their names."""

    arguments: tuple[Any, ...]
    dynamic: tuple[Any, ...]
    names: list[str]


def _example(graph: BankedGraph, targets: tuple[Target, ...]) -> Example:
    """Return example inputs whose dimensions are all different, so that none is confused."""
    rows, tokens, n = _TRACED["rows"], _TRACED["tokens"], _TRACED["texts"]
    auto = torch.export.Dim.DYNAMIC
    matrix = {0: auto, 1: auto}
    grid = torch.zeros((rows, tokens), dtype=torch.int64)
    texts = torch.arange(rows).unsqueeze(1).expand(rows, tokens).contiguous()
    types = grid if graph.token_types else None
    first = torch.arange(n, dtype=torch.int64)
    arguments: list[Any] = [grid + 1, grid + 2, texts, types, first]
    dynamic: list[Any] = [matrix, matrix, matrix, matrix if graph.token_types else None, {0: auto}]
    names = ["ids", "positions", "texts", *(["token_types"] if graph.token_types else []), "first"]
    if targets:
        blocks, width = _TRACED["blocks"], _TRACED["columns"]
        columns = torch.zeros((blocks, width), dtype=torch.int64)
        bank = example_banks(targets)
        arguments += [grid - 1, columns, columns - 2, bank]
        dynamic += [matrix, matrix, matrix, [{0: auto} for _ in bank]]
        names += ["adapters", "columns", "owners", *input_names(targets)]
    return Example(tuple(arguments), tuple(dynamic), names)


def example_banks(targets: tuple[Target, ...]) -> list[Tensor]:
    """Return an empty bank's A and B of every target, alternating."""
    return [
        torch.zeros((_TRACED["bank"], size))
        for target in targets
        for size in (target.in_features, target.out_features)
    ]


def write_graph(assembled: Assembled, banks: Banks, path: Path) -> tuple[Target, ...]:
    """Trace the graph and write it to `path`, its weights beside it; return its targets."""
    graph = BankedGraph(assembled, banks).eval()
    targets = targets_of(banks)
    trace(graph, _example(graph, targets), path)
    return targets


def trace(graph: nn.Module, example: Example, path: Path) -> None:
    """Trace a graph and write it to `path`, its weights beside it; raise `ExportFailed`."""
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                graph,
                example.arguments,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=example.dynamic,
                input_names=example.names,
                output_names=list(OUTPUTS),
                verbose=False,
            )
    except Exception as error:
        raise ExportFailed(f"the graph could not be traced: {error}") from error
    assert program is not None
    program.save(str(path), external_data=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's tracing chatter off the terminal; errors still come as exceptions."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
