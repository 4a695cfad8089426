"""Where and in which numbers a distillation computes."""

import contextlib
from dataclasses import dataclass
from typing import Literal

import torch

from exporter.errors import DistillationFailed

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Compute:
    """A device, and whether its matrix products are reduced to bfloat16; weights are float32."""

    device: torch.device
    precision: Precision

    def reduced(self) -> contextlib.AbstractContextManager[object]:
        """Return the context that forward passes run in."""
        half = self.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    def __str__(self) -> str:
        if self.device.type == "cuda":
            where = torch.cuda.get_device_name(self.device)
        else:
            where = f"{self.device}, {torch.get_num_threads()} threads"
        return f"torch {torch.__version__}, {self.precision}, {where}"


def choose(device: str) -> Compute:
    """Return how to compute on `cpu`, `cuda`, or on CUDA where it is there (`auto`).

    bfloat16 where the processor multiplies it itself: elsewhere it takes twice as long. Raises
    `DistillationFailed` where the device is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DistillationFailed("--device cuda: torch finds no CUDA device here; try --device cpu")
    if device not in ("cpu", "cuda"):
        raise DistillationFailed(f"--device {device!r}: there are auto, cpu and cuda")
    if device == "cuda":
        return Compute(torch.device("cuda"), "bf16" if torch.cuda.is_bf16_supported() else "fp32")
    able = torch.cpu.get_capabilities()
    half = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return Compute(torch.device("cpu"), "bf16" if half else "fp32")
