"""The teacher's answers to the training texts, asked once and kept in pieces.

    answers-<first batch>.safetensors     rows [n] int64, logits [n, labels]
                                          where they are wanted: states [n, hidden]

Each piece is whole on disk or not there, so an interrupted run asks only for what is missing. The
batches are the same each time, and so are the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from exporter.distill.batches import Encoded, Indices, sorted_batches
from exporter.distill.compute import Compute
from exporter.distill.losses import mean_state
from exporter.distill.student import encoder_of
from exporter.errors import DistillationFailed
from exporter.parts import sync

_TOKENS = 4096  # of a batch
_PIECE = 16  # batches


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of texts, in their order."""

    logits: Tensor  # [texts, labels] float32
    states: Tensor | None  # [texts, hidden] float32, mean over the tokens


def ask(
    model: PreTrainedModel, texts: Encoded, batch: Indices, compute: Compute
) -> tuple[Tensor, Tensor]:
    """Return (logits [texts, labels], mean states [texts, hidden]) of a batch, with gradients."""
    inputs = texts.batch(batch, compute.device)
    hidden: list[Tensor] = []
    hook = encoder_of(model).register_forward_hook(
        lambda _module, _inputs, output: hidden.append(output[0])
    )
    try:
        with compute.reduced():
            logits = model(**inputs).logits
    finally:
        hook.remove()
    return logits.float(), mean_state(hidden.pop().float(), inputs["attention_mask"])


def ask_all(
    model: PreTrainedModel,
    texts: Encoded,
    compute: Compute,
    folder: Path | None = None,
    done: Callable[[int, int], None] = lambda *_: None,
    *,
    states: bool = False,
) -> Answers:
    """Return a model's answers to all texts; where a folder is given, it keeps them in pieces.

    `states` asks for those too. `done(n, of)` counts texts. Raises `DistillationFailed` where the
    folder cannot be written, or an answer is not finite.
    """
    batches = sorted_batches(texts.lengths, _TOKENS)
    model.eval()
    found: dict[str, Tensor] = {}
    seen = 0
    for first in range(0, len(batches), _PIECE):
        file = None if folder is None else folder / f"answers-{first:09d}.safetensors"
        piece = None if file is None else _read(file)
        if piece is None:
            piece = _asked(model, texts, batches[first : first + _PIECE], compute, states=states)
            if file is not None:
                _write(file, piece)
        rows = piece.pop("rows")
        for name, values in piece.items():
            whole = found.setdefault(name, torch.empty((len(texts), values.shape[1])))
            whole[rows] = values
        seen += len(rows)
        done(seen, len(texts))
    if not bool(found["logits"].isfinite().all()):
        raise DistillationFailed("a model answers inf or NaN to a text; it cannot be compared")
    return Answers(found["logits"], found.get("states"))


def _asked(
    model: PreTrainedModel,
    texts: Encoded,
    batches: list[Indices],
    compute: Compute,
    *,
    states: bool,
) -> dict[str, Tensor]:
    with torch.inference_mode():
        found = [ask(model, texts, batch, compute) for batch in batches]
    piece = {
        "rows": torch.cat([torch.from_numpy(batch) for batch in batches]),
        "logits": torch.cat([logits for logits, _ in found]).cpu(),
    }
    if states:
        piece["states"] = torch.cat([state for _, state in found]).cpu()
    return piece


def _read(file: Path) -> dict[str, Tensor] | None:
    """Return a piece; None where it is not there or is damaged."""
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        return None


def _write(file: Path, piece: dict[str, Tensor]) -> None:
    part = file.with_suffix(".part")
    try:
        save_file(piece, part)
        sync(part)
        part.rename(file)
    except (OSError, SafetensorError) as error:
        raise DistillationFailed(
            f"the teacher's answers could not be kept in {file.parent}: {error}; make room, and the"
            " same command continues"
        ) from error
