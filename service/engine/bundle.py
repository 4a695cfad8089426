"""The bundle: one backbone, exported, proven, and named by the digest of its manifest.

A bundle is a directory:

    bundle.json            the manifest, described by `Manifest`
    model.<variant>.onnx   the banked graph, with external data beside it
    head.safetensors       the head modules that the checkpoint held
    tokenizer.json         of a text model: the tokenizer, its own padding and truncation cleared
    preprocessor.json      of an image model: what is done to an image before the graph
    MODEL_CARD.md          for people
    sbom.cdx.json          what the bundle was made of and with (CycloneDX)

Every file but the manifest is named in it with its digest, so the digest of the manifest is the
identity of the whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from service.engine import digest
from service.engine.errors import InvalidBundle

FORMAT = 2
MANIFEST = "bundle.json"
HEAD_FILE = "head.safetensors"
TOKENIZER_FILE = "tokenizer.json"
PREPROCESSOR_FILE = "preprocessor.json"
SBOM_FILE = "sbom.cdx.json"
CARD_FILE = "MODEL_CARD.md"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Document):
    """One linear layer or convolution of the encoder that LoRA may change."""

    name: str = Field(description="path inside the encoder, as `peft` names it")
    in_features: int = Field(description="of a convolution its channels times the kernel's size")
    out_features: int
    kernel: tuple[int, int] | None = Field(None, description="height, width; of a convolution")


class HeadStep(_Document):
    """One step from the pooled hidden state to the logits.

    `linear` multiplies by `<module>.weight` [out, in] and adds `<module>.bias`, where there is
    one; `layer_norm` scales by `<module>.weight` [in] (and `.bias`); the rest are pointwise.
    """

    kind: Literal["linear", "layer_norm", "tanh", "relu", "gelu"]
    module: str = Field("", description="path of the module in the classification model")
    in_features: int = 0
    out_features: int | None = Field(None, description="None where it is the number of labels")
    bias: bool = True
    epsilon: float = 1e-5


class Head(_Document):
    """The family's own head, without its dropout."""

    pooling: Literal["first", "mean", "own"] = Field(
        description="how the graph pools what the head takes; own: as the family has it"
    )
    steps: tuple[HeadStep, ...]
    held: tuple[str, ...] = Field(description="modules that the checkpoint held")
    missing: tuple[str, ...] = Field(description="modules that every adapter must bring")
    labels: int | None = Field(None, description="of the last module, where the checkpoint held it")


class Parity(_Document):
    """What the exporter measured when it ran the graph against `transformers` and `peft`."""

    passed: bool
    texts: int
    adapters: int
    max_probability_error: float
    mean_probability_error: float
    label_agreement: float
    max_embedding_error: float
    max_neighbour_error: float = Field(description="same text alone and beside others")
    tolerance: float


class Measured(_Document):
    """A variant on one provider, against fp32 on the CPU, over a calibration set.

    The adapters that answer were switched in and mixed in shared passes.
    """

    provider: str
    passed: bool = Field(description="whether every figure is within the variant's tolerance")
    data: str = Field(description="the calibration set, or `random`")
    inputs: int
    adapters: int
    max_probability_error: float
    mean_probability_error: float
    label_agreement: float
    max_embedding_error: float = Field(description="relative")
    max_neighbour_error: float = Field(description="same input alone and beside others")
    accuracy: float | None = Field(None, description="None where the set has no labels")
    accuracy_fp32: float | None = None
    calibration_error: float | None = Field(None, description="ECE, debiased")
    calibration_error_fp32: float | None = None
    tokens_per_second: float
    milliseconds: float = Field(description="median latency of one input alone")


Compute = Literal["fp32", "fp16", "bf16", "int8"]


class Variant(_Document):
    """One precision of the graph.

    `fp32` is proven against `transformers` and `peft`; the others against `fp32`, on each provider
    that ran where they were made.
    """

    file: str
    compute: Compute = Field("fp32", description="what a provider is told to multiply in")
    bank: Literal["fp32", "fp16"] = Field("fp32", description="type of the graph's bank inputs")
    parity: Parity | None = Field(None, description="of fp32 alone")
    tokens_per_second: float = Field(description="CPU provider, on the exporting machine")
    measured: dict[str, Measured] = Field(default_factory=dict, description="by provider")

    @property
    def passed(self) -> bool:
        """Return whether its proof holds on every provider that it names, one at least."""
        proofs = [self.parity.passed] if self.parity is not None else []
        proofs += [measured.passed for measured in self.measured.values()]
        return bool(proofs) and all(proofs)


class Refused(_Document):
    """A precision that was made, measured and not shipped; its graph is not in the bundle."""

    reasons: tuple[str, ...] = Field(description="what lay outside its tolerance, and where")
    measured: dict[str, Measured] = Field(description="by provider; none where none runs it")


class ImageInput(_Document):
    """What the graph takes of an image, where the task is `image`."""

    channels: int
    height: int
    width: int
    tokens: int = Field(description="what one image costs in a pass, in tokens of a text")


class Dedicated(_Document):
    """A model that answers by itself: merged or fully fine-tuned, with no bank."""

    labels: tuple[str, ...]
    problem_type: Literal["single_label"] = "single_label"


class Source(_Document):
    """Where the weights came from."""

    name: str
    revision: str
    architecture: str
    files: dict[str, str]


class Manifest(_Document):
    """`bundle.json`."""

    format: int
    source: Source
    family: str
    task: Literal["text", "image"]
    hidden_size: int
    max_length: int = Field(description="tokens of one text, special tokens included")
    position_offset: int = Field(description="the position of a text's first token")
    token_types: bool = Field(description="whether the graph takes `token_types`")
    encoder: str = Field(description="attribute of the classification model: `bert`, `roberta`")
    targets: tuple[Target, ...]
    max_rank: int
    max_labels: int
    head: Head
    image: ImageInput | None = None
    dedicated: Dedicated | None = None
    variants: dict[str, Variant]
    refused: dict[str, Refused] = Field(default_factory=dict, description="precisions, by name")
    files: dict[str, str] = Field(description="every other file of the bundle and its digest")
    licence: str
    exported_at: str
    exported_by: str
    versions: dict[str, str]
    command: str = Field(description="the command that would export this bundle again")

    @property
    def parity(self) -> Parity:
        """Return the proof of fp32 against `transformers` and `peft`, which every bundle has."""
        parity = self.variants["fp32"].parity
        assert parity is not None, "open_bundle refuses a bundle without it"
        return parity


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, ready to be served."""

    path: Path
    digest: str
    manifest: Manifest
    head: Mapping[str, NDArray[np.float32]]  # "<module>.weight" -> float32

    def model_path(self, variant: str) -> Path:
        """Return the path of the variant's graph; raise `InvalidBundle` where there is none."""
        if variant not in self.manifest.variants:
            have = ", ".join(sorted(self.manifest.variants))
            raise InvalidBundle(f"{self.path}: no variant {variant!r}; the bundle has {have}")
        return self.path / self.manifest.variants[variant].file


def canonical(manifest: Manifest) -> bytes:
    """Return the bytes of `bundle.json` for this manifest, which its digest covers."""
    return orjson.dumps(
        manifest.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
    )


def open_bundle(path: Path) -> Bundle:
    """Read and verify the bundle at `path`.

    Raises `InvalidBundle` where the manifest is absent, of another format or malformed, a file is
    missing, outside the directory, or has another digest than the manifest says, or a variant has
    no passed parity report.
    """
    manifest, data = read_manifest(path)
    return bundle_of(path, manifest, data, file_problems(path, manifest))


def bundle_of(path: Path, manifest: Manifest, data: bytes, problems: Iterable[str]) -> Bundle:
    """Return the bundle of a manifest and its bytes, `problems` being those of its files.

    Raises `InvalidBundle` as `open_bundle` does.
    """
    _check_names(path, manifest)
    for problem in problems:
        raise InvalidBundle(f"{path}: {problem}")
    for name, variant in manifest.variants.items():
        if not variant.passed:
            raise InvalidBundle(f"{path}: variant {name!r} did not pass its parity report")
        if variant.file not in manifest.files:
            raise InvalidBundle(f"{path}: variant {name!r}: {variant.file} has no digest")
    if "fp32" not in manifest.variants or manifest.variants["fp32"].parity is None:
        raise InvalidBundle(f"{path}: the manifest names no fp32 variant with a parity report")
    return Bundle(path, digest.of_bytes(data), manifest, _read_head(path, manifest))


def read_manifest(path: Path) -> tuple[Manifest, bytes]:
    """Return the manifest of the bundle at `path`, and its bytes; no other file is looked at.

    Raises `InvalidBundle` where it is absent, of another format or malformed.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise InvalidBundle(f"{path}: no {MANIFEST} there; `tenantry export` writes bundles")
    data = manifest_path.read_bytes()
    try:
        document = orjson.loads(data)
        if isinstance(document, dict) and document.get("format") != FORMAT:
            raise InvalidBundle(
                f"{manifest_path}: format {document.get('format')!r}, this version reads {FORMAT};"
                " export the model again"
            )
        manifest = Manifest.model_validate(document)
    except orjson.JSONDecodeError as error:
        raise InvalidBundle(f"{manifest_path}: not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidBundle(f"{manifest_path}: {where}: {first['msg']}") from error
    return manifest, data


def _read_head(path: Path, manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    try:
        tensors = load_file(path / HEAD_FILE)
    except SafetensorError as error:
        raise InvalidBundle(f"{path}: {HEAD_FILE} cannot be read: {error}") from error
    absent = [m for m in manifest.head.held if f"{m}.weight" not in tensors]
    if absent:
        raise InvalidBundle(f"{path}: {HEAD_FILE} lacks {', '.join(absent)}, which it should hold")
    return tensors


def _check_names(path: Path, manifest: Manifest) -> None:
    if (manifest.task == "image") != (manifest.image is not None):
        raise InvalidBundle(f"{path}: an image bundle says what its graph takes, a text one not")
    first = TOKENIZER_FILE if manifest.task == "text" else PREPROCESSOR_FILE
    for needed in (HEAD_FILE, first):
        if needed not in manifest.files:
            raise InvalidBundle(f"{path}: the manifest names no {needed}")


def file_problems(path: Path, manifest: Manifest) -> Iterator[str]:
    """Read every file that the manifest names; yield each that is not as it says."""
    for name, expected in manifest.files.items():
        file = path / name
        if Path(name).name != name or name in ("", ".", ".."):
            yield f"the file name {name!r} leaves the bundle"
        elif file.is_symlink() or not file.is_file():
            yield f"{name} is missing or not a plain file"
        elif (found := digest.of_file(file)) != expected:
            yield f"{name} has digest {found}, the manifest says {expected}"
