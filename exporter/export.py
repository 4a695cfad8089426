"""Exporting: load, wire, trace, prove, and only then write the bundle, all of it or nothing."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import peft
import torch
import transformers
from safetensors.torch import save_file

from exporter.backbone import Traits, family_for, wire
from exporter.banked import Banks
from exporter.card import model_card
from exporter.class_names import read_names
from exporter.dedicated import dedicated_manifest, own_classes, prove_dedicated
from exporter.errors import ExportFailed, ProofFailed, UnreadableModel, UnsupportedModel
from exporter.families.family import Family, ImageFamily
from exporter.merge import load_merged
from exporter.parts import part_beside, put_in_place, telling
from exporter.precision.catalogue import AUTO
from exporter.precision.choice import add_precisions, choose_precisions
from exporter.proof import prove
from exporter.provenance.sbom import bill_of_materials
from exporter.source import LoadedModel, load_model
from service.engine import digest
from service.engine.adapter import FloatArray
from service.engine.bundle import (
    CARD_FILE,
    FORMAT,
    HEAD_FILE,
    MANIFEST,
    SBOM_FILE,
    Bundle,
    Head,
    HeadStep,
    Manifest,
    Parity,
    Source,
    Target,
    Variant,
    canonical,
    open_bundle,
)

ALL_LINEAR = "all-linear"
MAX_RANK = 16
MAX_LABELS = 256
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
    max_rank: int = MAX_RANK
    max_labels: int = MAX_LABELS
    max_length: int | None = None  # tokens; None: the model's own limit
    revision: str | None = None
    licence: str | None = None
    exported_by: str = "tenantry"
    dedicated: bool = False  # the model answers by itself: no bank
    merge: Path | None = None  # folder of a `peft` adapter, merged into the model: dedicated too
    labels: Path | None = None  # file that names a dedicated model's classes, one a line
    precisions: Sequence[str] = (AUTO,)  # names, fp32 among them or not, or (AUTO,)
    calibration: Path | None = None  # real inputs, to fit int8 to and to measure variants on

    @property
    def answers_itself(self) -> bool:
        """Say whether the bundle is dedicated."""
        return self.dedicated or self.merge is not None

    def command(self) -> str:
        """Return the command line that asks for this."""
        parts = ["tenantry", "export", self.model, "--out", self.out.name]
        if self.revision is not None:
            parts += ["--revision", self.revision]
        if self.licence is not None:
            parts += ["--licence", self.licence]
        if self.merge is not None:
            parts += ["--merge", str(self.merge)]
        elif self.dedicated:
            parts += ["--dedicated"]
        if self.labels is not None:
            parts += ["--labels", str(self.labels)]
        if self.targets:
            parts += ["--targets", ",".join(self.targets)]
        if not self.answers_itself:
            parts += ["--max-rank", str(self.max_rank), "--max-labels", str(self.max_labels)]
        if self.max_length is not None:
            parts += ["--max-length", str(self.max_length)]
        if tuple(self.precisions) != (AUTO,):
            parts += ["--precisions", ",".join(self.precisions)]
        if self.calibration is not None:
            parts += ["--calibration", str(self.calibration)]
        return shlex.join(parts)


def export_bundle(request: Request, progress: Progress) -> Bundle:
    """Export a model and return the bundle, proven and written.

    Raises `UnsupportedModel`, `UnreadableModel`, `ExportFailed`, `UnusableData` or `ProofFailed`;
    then nothing is left at `request.out`.
    """
    out = request.out
    with _writing(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ExportFailed(
                f"{out} is not an empty directory; choose another --out or remove it"
            )
    _refuse_contradictions(request)
    choice = choose_precisions(tuple(request.precisions), request.calibration)
    progress("load", 0, 1)
    loaded = _load(request)
    family = family_for(loaded)
    targets = () if request.answers_itself else choose_targets(family, loaded, request.targets)
    progress("load", 1, 1)
    with _writing(out), part_beside(out) as part:
        manifest = _write_part(request, loaded, family, targets, part, progress)
        bundle = Bundle(part, "", manifest, _head_tensors(loaded, manifest))
        proof = prove if manifest.dedicated is None else prove_dedicated
        parity, speed = proof(loaded, bundle, lambda n, of: progress("prove", n, of))
        if not parity.passed:
            raise ProofFailed(_why(parity))
        variant = manifest.variants["fp32"]
        proven = variant.model_copy(update={"parity": parity, "tokens_per_second": speed})
        manifest = manifest.model_copy(update={"variants": {"fp32": proven}})
        bundle = Bundle(part, "", manifest, bundle.head)
        manifest = add_precisions(
            bundle, loaded, choice, lambda n, of: progress("precisions", n, of)
        )
        (part / CARD_FILE).write_text(model_card(manifest), encoding="utf-8")
        files = {f.name: digest.of_file(f) for f in sorted(part.iterdir()) if f.name != MANIFEST}
        manifest = manifest.model_copy(update={"files": files})
        (part / SBOM_FILE).write_bytes(bill_of_materials(manifest))
        files = {**files, SBOM_FILE: digest.of_file(part / SBOM_FILE)}
        manifest = manifest.model_copy(update={"files": files})
        (part / MANIFEST).write_bytes(canonical(manifest))
        put_in_place(part, out)
    return open_bundle(out)


def _writing(out: Path) -> AbstractContextManager[None]:
    return telling(ExportFailed, str(out), "make room there, or choose another --out")


def _load(request: Request) -> LoadedModel:
    if request.merge is None:
        return load_model(request.model, request.revision)
    return load_merged(request.model, request.merge, request.revision, _names(request))


def _names(request: Request) -> tuple[str, ...]:
    return () if request.labels is None else read_names(request.labels)


def _refuse_contradictions(request: Request) -> None:
    """Raise `UnsupportedModel` where a request asks for a bank and for none, or for no names."""
    if not request.answers_itself:
        if request.labels is not None:
            raise UnsupportedModel(
                "--labels names the classes of a dedicated bundle; an adapter brings its own"
            )
        return
    odd = {
        "--targets": bool(request.targets),
        "--max-rank": request.max_rank != MAX_RANK,
        "--max-labels": request.max_labels != MAX_LABELS,
    }
    for flag, given in odd.items():
        if given:
            raise UnsupportedModel(f"{flag}: a dedicated bundle has no bank and takes no adapters")


def choose_targets(
    family: Family | ImageFamily, loaded: LoadedModel, names: Sequence[str]
) -> tuple[str, ...]:
    """Return the paths of the layers that LoRA may change.

    `names` are ends of paths, as `peft`'s `target_modules` takes them; none means the attention.
    """
    linears = family.linears(loaded.model)
    if tuple(names) == (ALL_LINEAR,):
        return linears
    wanted = tuple(names) or family.attention
    unknown = [w for w in names if not any(_ends_in(path, w) for path in linears)]
    if unknown:
        have = ", ".join(sorted({path.rpartition(".")[2] for path in linears}))
        raise UnsupportedModel(
            f"no layer of the encoder that LoRA may change is called {', '.join(unknown)}; there"
            f" are {have}, or {ALL_LINEAR}"
        )
    return tuple(path for path in linears if any(_ends_in(path, w) for w in wanted))


def _ends_in(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _write_part(
    request: Request,
    loaded: LoadedModel,
    family: Family | ImageFamily,
    targets: tuple[str, ...],
    part: Path,
    progress: Progress,
) -> Manifest:
    """Write graph, what prepares its inputs, and head; return the unproven manifest."""
    progress("trace", 0, 1)
    backbone = wire(loaded, Banks(frozenset(targets)), request.max_length)
    _refuse_lost(loaded, backbone.head)
    classes = None
    if request.answers_itself:
        classes = own_classes(loaded, backbone.head, _names(request))
    layers = backbone.write(part, "model.fp32.onnx")
    progress("trace", 1, 1)
    manifest = _manifest(request, loaded, family, backbone.traits, backbone.head, layers)
    if classes is not None:
        manifest = dedicated_manifest(manifest, classes)
    tensors = _head_tensors(loaded, manifest)
    save_file({k: torch.from_numpy(v) for k, v in tensors.items()}, part / HEAD_FILE)
    return manifest


def _refuse_lost(loaded: LoadedModel, head: Sequence[HeadStep]) -> None:
    """Raise `UnreadableModel` where the encoder would be served with random weights."""
    lost = sorted(loaded.missing - {step.module for step in head})
    if lost:
        more = f" and {len(lost) - 3} more modules" if len(lost) > 3 else ""
        raise UnreadableModel(
            f"{loaded.path}: the checkpoint holds no weights of {', '.join(lost[:3])}{more}"
        )


def _manifest(
    request: Request,
    loaded: LoadedModel,
    family: Family | ImageFamily,
    traits: Traits,
    head: tuple[HeadStep, ...],
    targets: tuple[Target, ...],
) -> Manifest:
    config = loaded.model.config
    modules = [step.module for step in head if step.module]
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
        task=traits.task,
        hidden_size=traits.hidden_size,
        max_length=traits.max_length,
        position_offset=traits.position_offset,
        token_types=traits.token_types,
        encoder=family.encoder,
        targets=targets,
        max_rank=request.max_rank,
        max_labels=request.max_labels,
        head=Head(
            pooling=traits.pooling,
            steps=head,
            held=tuple(m for m in modules if m not in loaded.missing),
            missing=missing,
            labels=None if head[-1].module in missing else config.num_labels,
        ),
        image=traits.image,
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
