"""The tensors of an upload, sorted by their names and held against the bundle.

`save_pretrained` names them as the model does, without the adapter's name:

    base_model.model.<encoder>.<target>.lora_A.weight     [r, in], of a convolution
                                                          [r, channels, height, width]
    base_model.model.<encoder>.<target>.lora_B.weight     [out, r], of a convolution [out, r, 1, 1]
    base_model.model.<head module>.weight|bias            what `modules_to_save` named
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.engine.bundle import HeadStep, Manifest, Target
from service.engine.export_command import widened
from service.engine.findings import Findings, shown
from service.engine.lora_config import CONFIG_FILE, LoraConfig
from service.engine.patterns import UnreadablePattern
from service.engine.safetensors_file import WEIGHTS_FILE, FloatArray

LABELS_MIN = 2
LABEL_CHARS_MAX = 256

# Trained LoRA and head weights are below 10, nearly always below 1. A bound four orders of
# magnitude wider refuses nothing real, and keeps every weight finite in float16 and bfloat16 as
# well as products of two of them far from float32's end; what a chain of layers makes of them,
# the probe that runs the adapter alone finds out.
MAGNITUDE_MAX = 1e4

_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_HEAD_WORDS = {"pooler", "classifier", "pre_classifier", "score", "head", "out_proj"}
_HINTS = (
    (".lora_B.bias", "is a bias on lora_B, which is not served; train with lora_bias=False"),
    ("lora_embedding_", "adapts an embedding; only linear layers of the encoder can be adapted"),
    ("lora_magnitude_vector", "belongs to DoRA; train with use_dora=False"),
    (".base_layer.", "is a weight of the backbone, which all tenants share"),
    (".modules_to_save.", "has the adapter's name in its key; save it with save_pretrained"),
    (".lora_", "has a key that save_pretrained does not write; save the adapter with it"),
)


@dataclass(slots=True)
class SortedTensors:
    """An upload's tensors by their role; what fits nowhere was added to the findings."""

    sides: dict[str, dict[str, FloatArray]] = field(default_factory=dict)  # target -> side -> x
    head: dict[str, FloatArray] = field(default_factory=dict)  # "<module>.weight|bias" -> x
    foreign: dict[str, str] = field(default_factory=dict)  # module that is no target -> a tensor


def tensor_key(name: str) -> str:
    """Return how a problem names a tensor."""
    return f"{WEIGHTS_FILE}/{name}"


def sort_tensors(
    tensors: Mapping[str, FloatArray], manifest: Manifest, findings: Findings
) -> SortedTensors:
    """Return the tensors by their role; add each that has none to the findings, with advice."""
    targets = {f"{manifest.encoder}.{target.name}": target.name for target in manifest.targets}
    head = {
        f"{step.module}.{part}"
        for step in manifest.head.steps
        if step.module
        for part in (("weight", "bias") if step.bias else ("weight",))
    }
    found = SortedTensors()
    for name, tensor in tensors.items():
        path = name.removeprefix(_PREFIX)
        lora = _LORA.fullmatch(path)
        if not name.startswith(_PREFIX):
            findings.add(
                tensor_key(name), f"must begin with {_PREFIX}, as save_pretrained writes it"
            )
        elif lora is not None and lora["module"] in targets:
            found.sides.setdefault(targets[lora["module"]], {})[lora["side"]] = tensor
        elif lora is not None:
            found.foreign.setdefault(lora["module"], name)
        elif path in head:
            found.head[path] = tensor
        else:
            findings.add(tensor_key(name), _unexpected(path, manifest))
    return found


def wider_export(found: SortedTensors, labels: Sequence[str] | None, manifest: Manifest) -> str:
    """Return the export command of a bundle that would take the upload, as far as one can."""
    flags = {}
    ranks = [len(sides["A"]) for sides in found.sides.values() if "A" in sides and sides["A"].ndim]
    if max(ranks, default=0) > manifest.max_rank:
        flags["--max-rank"] = str(max(ranks))
    if labels is not None and len(labels) > manifest.max_labels:
        flags["--max-labels"] = str(len(labels))
    if any(_exportable(module, manifest) for module in found.foreign):
        flags["--targets"] = "all-linear"
    return widened(manifest.command, flags)


def refuse_foreign(
    found: SortedTensors, manifest: Manifest, command: str, findings: Findings
) -> None:
    """Add every module with LoRA that is none of the bundle's targets, with advice."""
    for module, name in found.foreign.items():
        findings.add(tensor_key(name), _foreign(module, manifest, command))


def _unexpected(path: str, manifest: Manifest) -> str:
    for part, hint in _HINTS:
        if part in f".{path}":
            return hint
    if path.startswith(f"{manifest.encoder}."):
        return (
            "is a whole weight of the backbone, which all tenants share; modules_to_save may name"
            f" the head's modules only: {_head_modules(manifest)}"
        )
    return f"is no tensor of this head, whose modules are {_head_modules(manifest)}"


def _head_modules(manifest: Manifest) -> str:
    return ", ".join(step.module for step in manifest.head.steps if step.module)


def _foreign(module: str, manifest: Manifest, command: str) -> str:
    if _in_head(module, manifest):
        return (
            f"is LoRA on {module}, a part of the head, whose weights are each tenant's own: name"
            " it in modules_to_save to train it whole, or in exclude_modules to leave it as it is"
        )
    inside = module.removeprefix(f"{manifest.encoder}.")
    if inside == module:
        return (
            f"adapts {module}, and this bundle's backbone is {manifest.source.architecture},"
            f" whose encoder is `{manifest.encoder}`"
        )
    if "embeddings" in module:
        return "adapts an embedding; only linear layers of the encoder can be adapted"
    if not _exportable(module, manifest):
        return (
            f"adapts {inside}, and the bundle's encoder has no such layer that LoRA can change here"
            " (embeddings and grouped convolutions are none)"
        )
    targets = ", ".join(sorted({_numbered(target.name) for target in manifest.targets}))
    return (
        f"adapts {inside}, which is not among the bundle's targets ({targets}); this export would"
        f" take it: {command}"
    )


def _in_head(module: str, manifest: Manifest) -> bool:
    steps = {step.module for step in manifest.head.steps if step.module}
    return module in steps or bool(_HEAD_WORDS & set(module.split(".")))


def _exportable(module: str, manifest: Manifest) -> bool:
    """Say whether a bundle of the same backbone with more targets may take the module."""
    inside = module.removeprefix(f"{manifest.encoder}.")
    return not (
        inside == module
        or _in_head(module, manifest)
        or "embeddings" in module
        or "all-linear" in manifest.command
        or _numbered(inside) in {_numbered(target.name) for target in manifest.targets}
    )


def _numbered(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "N", name)


def check_labels(
    labels: Sequence[str], manifest: Manifest, command: str, findings: Findings
) -> None:
    """Add what is wrong with the labels themselves."""
    where = "metadata/labels"
    if len(labels) < LABELS_MIN:
        findings.add(where, f"has {len(labels)}; a classifier has {LABELS_MIN} or more")
    if len(labels) > manifest.max_labels:
        findings.add(
            where,
            f"has {len(labels)}, the bundle takes {manifest.max_labels}; this export would take"
            f" them: {command}",
        )
    check_label_names(labels, where, findings)


def check_label_names(labels: Sequence[str], where: str, findings: Findings) -> None:
    """Add every label that is no name, or that occurs twice."""
    seen: dict[str, int] = {}
    for i, label in enumerate(labels):
        if not label.strip() or len(label) > LABEL_CHARS_MAX or _has_controls(label):
            findings.add(
                f"{where}/{i}",
                f"{shown(label)!r} must be 1 to {LABEL_CHARS_MAX} characters, none of them a"
                " control character",
            )
        elif label in seen:
            findings.add(f"{where}/{i}", f"{shown(label)!r} is label {seen[label]} already")
        seen.setdefault(label, i)


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cs") for char in text)


def read_deltas(
    sides: Mapping[str, Mapping[str, FloatArray]],
    lora: LoraConfig | None,
    manifest: Manifest,
    command: str,
    findings: Findings,
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return A [r, in] and B [r, out] of every target, B scaled; add what is wrong with them.

    Without a config the shapes are judged, but nothing is returned.
    """
    deltas: dict[str, tuple[FloatArray, FloatArray]] = {}
    for target in manifest.targets:
        module = f"{manifest.encoder}.{target.name}"
        keys = {side: tensor_key(f"{_PREFIX}{module}.lora_{side}.weight") for side in "AB"}
        found = sides.get(target.name, {})
        try:
            wanted = None if lora is None else lora.choice.targets(module)
            rank = None if lora is None else lora.rank_of(module)
            scale = None if lora is None else lora.scale_of(module)
        except UnreadablePattern as error:
            findings.add(CONFIG_FILE, f"has a pattern that {error}")
            return {}
        if not _complete(found, module, wanted, keys, findings):
            continue
        if not _fits(found["A"], found["B"], target, keys, findings):
            continue
        a, b = (found[side].reshape(len(found[side]), -1) for side in "AB")
        if len(a) > manifest.max_rank:
            findings.add(
                keys["A"],
                f"has rank {len(a)}, the bundle takes {manifest.max_rank}; this export would take"
                f" it: {command}",
            )
        elif rank is not None and len(a) != rank:
            findings.add(
                keys["A"],
                f"has rank {len(a)}, and {CONFIG_FILE} says {rank} (r, rank_pattern)",
            )
        else:
            scaled = _scaled(a, b, scale, keys, findings)
            if scaled is not None:
                deltas[target.name] = scaled
    return deltas


def _complete(
    found: Mapping[str, FloatArray],
    module: str,
    wanted: bool | None,
    keys: Mapping[str, str],
    findings: Findings,
) -> bool:
    if not found:
        if wanted:
            findings.add(keys["A"], f"is missing: {CONFIG_FILE} targets {module}")
        return False
    if wanted is False:
        findings.add(keys["A"], f"is not wanted: {CONFIG_FILE} does not target {module}")
    for side in "AB":
        if side not in found:
            findings.add(keys[side], "is missing, and its other half is there")
    return len(found) == len("AB")


def _fits(
    a: FloatArray,
    b: FloatArray,
    target: Target,
    keys: Mapping[str, str],
    findings: Findings,
) -> bool:
    inner: tuple[int, ...] = (target.in_features,)
    outer: tuple[int, ...] = ()
    if target.kernel is not None:  # A is a convolution like the target's, B one of 1 x 1
        tall, wide = target.kernel
        inner, outer = (target.in_features // (tall * wide), tall, wide), (1, 1)
    before = len(findings)
    if a.ndim != 1 + len(inner) or a.shape[1:] != inner:
        needed = ", ".join(map(str, ("r", *inner)))
        findings.add(keys["A"], f"has shape {list(a.shape)}, needed is [{needed}]")
    if b.ndim != 2 + len(outer) or (b.shape[0], *b.shape[2:]) != (target.out_features, *outer):
        needed = ", ".join(map(str, (target.out_features, "r", *outer)))
        findings.add(keys["B"], f"has shape {list(b.shape)}, needed is [{needed}]")
    if len(findings) == before and a.shape[0] != b.shape[1]:
        findings.add(keys["B"], f"has rank {b.shape[1]}, and its lora_A has {a.shape[0]}")
    return len(findings) == before


def _scaled(
    a: FloatArray,
    b: FloatArray,
    scale: float | None,
    keys: Mapping[str, str],
    findings: Findings,
) -> tuple[FloatArray, FloatArray] | None:
    before = len(findings)
    check_magnitude(a, keys["A"], "", findings)
    own_a = np.array(a, np.float32, order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        own_b = np.array(b.T, np.float32, order="C")
        own_b *= np.float32(1.0 if scale is None else scale)
    note = "" if scale is None else f" when scaled by {scale:g} (lora_alpha, r)"
    check_magnitude(own_b, keys["B"], note, findings)
    return (own_a, own_b) if len(findings) == before and scale is not None else None


def check_magnitude(x: FloatArray, where: str, note: str, findings: Findings) -> None:
    """Add a problem where a value is not finite, or larger than any trained weight is."""
    with np.errstate(invalid="ignore"):
        largest = max(float(x.max()), -float(x.min()))  # NaN where there is one
    if not np.isfinite(largest):
        findings.add(where, f"has values that are not finite{note}")
    elif largest > MAGNITUDE_MAX:
        findings.add(where, f"has a value of {largest:.3g}{note}; the limit is {MAGNITUDE_MAX:g}")


def read_head(
    head: Mapping[str, FloatArray],
    lora: LoraConfig | None,
    labels: int | None,
    manifest: Manifest,
    findings: Findings,
) -> dict[str, FloatArray]:
    """Return the head's tensors that the upload brings; add what is wrong with them.

    `labels` is how many there are, None where that is not known.
    """
    own: dict[str, FloatArray] = {}
    for step in manifest.head.steps:
        if not step.module:
            continue
        names = [f"{step.module}.{p}" for p in (("weight", "bias") if step.bias else ("weight",))]
        present = [name for name in names if name in head]
        if not present:
            _check_absent(step, lora, manifest, labels, findings)
            continue
        if lora is not None and not lora.choice.saves(step.module):
            findings.add(
                tensor_key(_PREFIX + present[0]),
                f"is not wanted: modules_to_save in {CONFIG_FILE} does not name {step.module}",
            )
        for name in names:
            key = tensor_key(_PREFIX + name)
            if name not in head:
                findings.add(key, "is missing, and the rest of its module is there")
                continue
            if _head_fits(head[name], key, step, labels, findings):
                check_magnitude(head[name], key, "", findings)
                own[name] = np.array(head[name], np.float32, order="C")
    return own


def _check_absent(
    step: HeadStep,
    lora: LoraConfig | None,
    manifest: Manifest,
    labels: int | None,
    findings: Findings,
) -> None:
    key = tensor_key(f"{_PREFIX}{step.module}.weight")
    missing = manifest.head.missing
    if any(step.module == name or step.module.startswith(f"{name}.") for name in missing):
        findings.add(
            key,
            "is missing, and the bundle has none: the checkpoint held no trained"
            f" {step.module}; name it in modules_to_save and train it",
        )
    elif step is manifest.head.steps[-1] and labels not in (None, manifest.head.labels):
        findings.add(
            key,
            f"is missing: the bundle's own has {manifest.head.labels} rows, and there are {labels}"
            f" labels; name {step.module} in modules_to_save",
        )
    elif lora is not None and lora.choice.saves(step.module):
        findings.add(key, f"is missing: modules_to_save in {CONFIG_FILE} names {step.module}")


def _head_fits(
    tensor: FloatArray, key: str, step: HeadStep, labels: int | None, findings: Findings
) -> bool:
    rows = step.out_features if step.out_features is not None else labels
    if step.kind == "layer_norm":
        needed: list[int | None] = [step.in_features]
    elif key.endswith(".weight"):
        needed = [rows, step.in_features]
    else:
        needed = [rows]
    shape = list(tensor.shape)
    if len(shape) == len(needed) and all(
        size == want for size, want in zip(shape, needed, strict=True) if want is not None
    ):
        return True
    text = ", ".join("labels" if size is None else str(size) for size in needed)
    note = ""
    if step.kind == "linear" and step.out_features is None and labels is not None:
        note = f": metadata/labels has {labels} labels"
    findings.add(key, f"has shape {shape}, needed is [{text}]{note}")
    return False
