"""The banked graph of an image model, traced to ONNX.

Inputs (images, K and bank rows are dynamic; the size of an image is not):

    pixels                        [images, channels, height, width] float32
    columns                       [images, K] int64, rows of the banks, row 0 for padding
    A.<target> [bank rows, in], B.<target> [bank rows, out]   float32, for every target

Outputs: `output.pooled` [images, pooled], the head's input, and `output.embedding`
[images, hidden], the mean of the last hidden states over all their places, both float32. An image
has a row, and so a block of the banks, to itself: nothing of it meets another.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exporter.banked import Banks
from exporter.families.family import AssembledImages
from exporter.graph import Example, example_banks, targets_of, trace
from service.engine.bank import input_names
from service.engine.bundle import Target

_TRACED = {"images": 3, "columns": 8}


class BankedImageGraph(nn.Module):
    """What is traced: the encoder with its pooling, with or without banks."""

    def __init__(self, assembled: AssembledImages, banks: Banks) -> None:
        super().__init__()
        self.encoder = assembled.encoder
        self.banks = banks

    def forward(
        self, pixels: Tensor, columns: Tensor | None = None, bank: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return pooled [images, pooled] and embedding [images, hidden]."""
        if bank:
            assert columns is not None
            self.banks.lora.begin_images(columns, bank)
        pooled, embedding = self.encoder(pixels)
        return pooled, embedding


def write_image_graph(assembled: AssembledImages, banks: Banks, path: Path) -> tuple[Target, ...]:
    """Trace the graph and write it to `path`, its weights beside it; return its targets."""
    graph = BankedImageGraph(assembled, banks).eval()
    targets = targets_of(banks)
    image, count = assembled.image, _TRACED["images"]
    images = torch.export.Dim("images")
    auto = torch.export.Dim.DYNAMIC
    arguments: list[Any] = [torch.zeros((count, image.channels, image.height, image.width))]
    dynamic: list[Any] = [{0: images}]
    names = ["pixels"]
    if targets:
        bank = example_banks(targets)
        arguments += [torch.zeros((count, _TRACED["columns"]), dtype=torch.int64), bank]
        dynamic += [{0: images, 1: auto}, [{0: auto} for _ in bank]]
        names += ["columns", *input_names(targets)]
    trace(graph, Example(tuple(arguments), tuple(dynamic), names), path)
    return targets
