"""Exporting: load, wire, trace, prove, and only then write the bundle, all of it or nothing."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import peft
import torch
import transformers
from safetensors.torch import save_file

from exporter.banked import Banks
from exporter.card import model_card
from exporter.errors import ExportFailed, ProofFailed, UnreadableModel, UnsupportedModel
from exporter.families.catalogue import family_of
from exporter.families.family import Assembled, Family
from exporter.graph import write_graph
from exporter.proof import prove
from exporter.source import LoadedModel, load_model, serving_tokenizer
from service.engine import digest
from service.engine.adapter import FloatArray
from service.engine.bundle import (
    CARD_FILE,
    FORMAT,
    HEAD_FILE,
    MANIFEST,
    TOKENIZER_FILE,
    Bundle,
    Head,
    Manifest,
    Parity,
    Source,
    Target,
    Variant,
    canonical,
    open_bundle,
)

ALL_LINEAR = "all-linear"
_UNPROVEN = Parity(
    passed=False,
    texts=0,
    adapters=0,
    max_probability_error=float("inf"),
    mean_probability_error=float("inf"),
    label_agreement=0.0,
    max_embedding_error=float("inf"),
    max_neighbour_error=float("inf"),
    tolerance=0.0,
)

# (stage, steps done, steps in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to export, and how much room to leave for adapters."""

    model: str
    out: Path
    targets: Sequence[str] = ()  # names, or (ALL_LINEAR,); empty: the family's attention
    max_rank: int = 16
    max_labels: int = 256
    max_length: int | None = None  # tokens; None: the model's own limit
    revision: str | None = None
    licence: str | None = None
    exported_by: str = "tenantry"

    def command(self) -> str:
        """Return the command line that asks for this."""
        parts = ["tenantry", "export", self.model, "--out", self.out.name]
        if self.revision is not None:
            parts += ["--revision", self.revision]
        if self.licence is not None:
            parts += ["--licence", self.licence]
        if self.targets:
            parts += ["--targets", ",".join(self.targets)]
        parts += ["--max-rank", str(self.max_rank), "--max-labels", str(self.max_labels)]
        if self.max_length is not None:
            parts += ["--max-length", str(self.max_length)]
        return shlex.join(parts)


def export_bundle(request: Request, progress: Progress) -> Bundle:
    """Export a model and return the bundle, proven and written.

    Raises `UnsupportedModel`, `UnreadableModel`, `ExportFailed` or `ProofFailed`; then nothing is
    left at `request.out`.
    """
    out = request.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportFailed(f"{out} is not an empty directory; choose another --out or remove it")
    progress("load", 0, 1)
    loaded = load_model(request.model, request.revision)
    family = family_of(loaded.model.config.model_type)
    targets = choose_targets(family, loaded, request.targets)
    progress("load", 1, 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.part-", dir=out.parent))
    try:
        manifest = _write_part(request, loaded, family, targets, part, progress)
        bundle = Bundle(part, "", manifest, _head_tensors(loaded, manifest))
        parity, speed = prove(loaded, bundle, lambda n, of: progress("prove", n, of))
        if not parity.passed:
            raise ProofFailed(_why(parity))
        variant = manifest.variants["fp32"]
        proven = variant.model_copy(update={"parity": parity, "tokens_per_second": speed})
        manifest = manifest.model_copy(update={"variants": {"fp32": proven}})
        (part / CARD_FILE).write_text(model_card(manifest), encoding="utf-8")
        files = {f.name: digest.of_file(f) for f in sorted(part.iterdir()) if f.name != MANIFEST}
        manifest = manifest.model_copy(update={"files": files})
        (part / MANIFEST).write_bytes(canonical(manifest))
        _put_in_place(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_bundle(out)


def choose_targets(family: Family, loaded: LoadedModel, names: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of the layers that LoRA may change.

    `names` are ends of paths, as `peft`'s `target_modules` takes them; none means the attention.
    """
    linears = family.linears(loaded.model)
    if tuple(names) == (ALL_LINEAR,):
        return linears
    wanted = tuple(names) or family.attention
    unknown = [w for w in wanted if not any(_ends_in(path, w) for path in linears)]
    if unknown:
        have = ", ".join(sorted({path.rsplit(".", 1)[1] for path in linears}))
        raise UnsupportedModel(
            f"no linear layer of the encoder is called {', '.join(unknown)}; there are {have},"
            f" or {ALL_LINEAR}"
        )
    return tuple(path for path in linears if any(_ends_in(path, w) for w in wanted))


def _ends_in(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _write_part(
    request: Request,
    loaded: LoadedModel,
    family: Family,
    targets: tuple[str, ...],
    part: Path,
    progress: Progress,
) -> Manifest:
    """Write graph, tokenizer and head; return the unproven manifest."""
    progress("trace", 0, 1)
    banks = Banks(frozenset(targets))
    assembled = family.assemble(loaded.model, banks)
    _refuse_lost(loaded, assembled)
    _max_length(request, loaded, assembled)  # which may refuse, before the long work
    layers = write_graph(assembled, banks, part / "model.fp32.onnx")
    progress("trace", 1, 1)
    manifest = _manifest(request, loaded, family, assembled, layers)
    tensors = _head_tensors(loaded, manifest)
    save_file({k: torch.from_numpy(v) for k, v in tensors.items()}, part / HEAD_FILE)
    serving_tokenizer(loaded.tokenizer).save(str(part / TOKENIZER_FILE))
    return manifest


def _refuse_lost(loaded: LoadedModel, assembled: Assembled) -> None:
    """Raise `UnreadableModel` where the encoder would be served with random weights."""
    lost = sorted(loaded.missing - {step.module for step in assembled.head})
    if lost:
        more = f" and {len(lost) - 3} more modules" if len(lost) > 3 else ""
        raise UnreadableModel(
            f"{loaded.path}: the checkpoint holds no weights of {', '.join(lost[:3])}{more}"
        )


def _manifest(
    request: Request,
    loaded: LoadedModel,
    family: Family,
    assembled: Assembled,
    targets: tuple[Target, ...],
) -> Manifest:
    config = loaded.model.config
    modules = [step.module for step in assembled.head if step.module]
    missing = tuple(m for m in modules if m in loaded.missing)
    return Manifest(
        format=FORMAT,
        source=Source(
            name=loaded.name,
            revision=loaded.revision,
            architecture=family.architecture,
            files=loaded.files,
        ),
        family=config.model_type,
        task="text",
        hidden_size=config.hidden_size,
        max_length=_max_length(request, loaded, assembled),
        position_offset=assembled.position_offset,
        token_types=assembled.token_types,
        encoder=family.encoder,
        targets=targets,
        max_rank=request.max_rank,
        max_labels=request.max_labels,
        head=Head(
            pooling="mean" if assembled.pooling == "mean" else "first",
            steps=assembled.head,
            held=tuple(m for m in modules if m not in loaded.missing),
            missing=missing,
            labels=None if assembled.head[-1].module in missing else config.num_labels,
        ),
        variants={"fp32": Variant(file="model.fp32.onnx", parity=_UNPROVEN, tokens_per_second=0.0)},
        files={},
        licence=request.licence or loaded.licence,
        exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        exported_by=request.exported_by,
        versions={
            "tenantry": version("tenantry"),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        command=request.command(),
    )


def _max_length(request: Request, loaded: LoadedModel, assembled: Assembled) -> int:
    own = min(assembled.max_length, int(min(loaded.tokenizer.model_max_length, 1 << 30)))
    if request.max_length is None:
        return own
    if not 4 <= request.max_length <= assembled.max_length:
        raise UnsupportedModel(
            f"--max-length {request.max_length}: the model takes 4 to {assembled.max_length}"
        )
    return request.max_length


def _head_tensors(loaded: LoadedModel, manifest: Manifest) -> dict[str, FloatArray]:
    held = set(manifest.head.held)
    state = loaded.model.state_dict()
    return {
        name: tensor.detach().to(torch.float32).contiguous().numpy()
        for name, tensor in state.items()
        if name.rpartition(".")[0] in held
    }


def _why(parity: Parity) -> str:
    return (
        "the exported graph does not answer as transformers and peft do, so no bundle was"
        f" written: worst probability error {parity.max_probability_error:.2e}, embedding"
        f" {parity.max_embedding_error:.2e}, alone against mixed"
        f" {parity.max_neighbour_error:.2e}; allowed {parity.tolerance:.0e}"
    )


def _put_in_place(part: Path, out: Path) -> None:
    """Make the finished bundle durable and give it its name in one step."""
    for file in part.iterdir():
        file.chmod(0o644)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    part.chmod(0o755)
    _sync_folder(part)
    if out.is_dir():
        out.rmdir()
    part.rename(out)
    _sync_folder(out.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
