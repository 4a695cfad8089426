"""The metadata document of an upload."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from service.engine.bundle import Manifest
from service.engine.findings import Findings, shown
from service.engine.strict_json import UnreadableJson, parse_object
from service.engine.windows import WINDOWS_MAX, Windows
from service.uploads.limits import UploadLimits

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"

_LABELS_MAX = 65_536  # the class index of a prediction id has two bytes
_Short = Annotated[str, Field(min_length=1, max_length=256)]


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date or a time in ISO 8601, as 2025-03-31") from None
    return text


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Dataset(_Document):
    """What the adapter was trained on."""

    id: _Short = Field(description="name or address of the data set")
    collected_until: Annotated[_Short, AfterValidator(_moment)] | None = Field(
        None, description="when its newest row was collected: a date or time in ISO 8601"
    )


class WindowsDocument(_Document):
    """How texts beyond the backbone's length limit are cut."""

    overlap: int = Field(
        ge=0,
        description="tokens that a window repeats of the one before it; less than half of the"
        " backbone's length limit",
    )
    max: int = Field(
        ge=2,
        le=WINDOWS_MAX,
        description="windows of one text; what lies behind them is cut, and the answer says so",
    )


class Metadata(_Document):
    """`metadata` of an upload."""

    labels: tuple[str, ...] = Field(
        strict=False, max_length=_LABELS_MAX, description="names of the classes, in their order"
    )
    problem_type: Literal["single_label"] = Field(
        "single_label", description="one class a text: the softmax over all"
    )
    license: _Short | None = Field(None, description="SPDX identifier, or a name")
    dataset: Dataset | None = Field(None, description="what the adapter was trained on")
    owner: _Short | None = Field(None, description="who answers for the adapter")
    card: Annotated[str, Field(max_length=65_536)] | None = Field(
        None, description="model card, Markdown; the archive's README.md where it is absent"
    )
    backbone_digest: str | None = Field(
        None,
        pattern=DIGEST_PATTERN,
        description="digest of the bundle that the adapter was trained for",
    )
    dedicated: bool = Field(
        False,
        description="publishes the own classifier of a dedicated bundle: the package holds no"
        " adapter, and `labels` may be left out",
    )
    calibrated: bool = Field(
        False,
        description="whether scores are calibrated: by `temperature`, or, where that is absent,"
        " by one that is fitted on `holdout.jsonl`",
    )
    temperature: float | None = Field(
        None,
        ge=0.01,
        le=100.0,
        allow_inf_nan=False,
        description="divides the logits; only with `calibrated`",
    )
    windows: WindowsDocument | None = Field(
        None,
        description="reads texts beyond the backbone's length limit in windows; without it they"
        " are cut at the limit",
    )

    @property
    def cuts(self) -> Windows | None:
        """Return how long texts are cut, as the tokeniser takes it."""
        return None if self.windows is None else Windows(self.windows.overlap, self.windows.max)

    @property
    def wants_temperature(self) -> bool:
        """Say whether a temperature must be fitted before anything can be answered."""
        return self.calibrated and self.temperature is None

    def answering(self) -> dict[str, Any]:
        """Return what of the document changes answers."""
        document: dict[str, Any] = {
            "labels": list(self.labels),
            "problem_type": self.problem_type,
            "calibrated": self.calibrated,
        }
        if self.temperature is not None:
            document["temperature"] = self.temperature
        if self.windows is not None:
            document["windows"] = self.windows.model_dump()
        return document


@dataclass(frozen=True, slots=True)
class ReadMetadata:
    """What could be read: the labels may be there where the rest has a problem."""

    document: Metadata | None = None
    labels: tuple[str, ...] | None = None


def is_dedicated(data: bytes, limits: UploadLimits) -> bool:
    """Say whether a document asks for the bundle's own classifier; one that is unreadable no."""
    try:
        document = parse_object(data, bytes_max=limits.metadata_bytes_max, depth_max=6)
    except UnreadableJson:
        return False
    return document.get("dedicated") is True


def read_metadata(
    data: bytes,
    bundle_digest: str,
    limits: UploadLimits,
    findings: Findings,
    *,
    has_holdout: bool = False,
    own_labels: Sequence[str] | None = None,
) -> ReadMetadata:
    """Return the document, None where it has a problem; add all its problems to the findings.

    The labels themselves are judged with the adapter (`lora_tensors.check_labels`). Without a
    hold-out a temperature cannot be fitted, and must be given. `own_labels` are those of a
    dedicated bundle, which its own classifier has where the document names none.
    """
    try:
        document = parse_object(data, bytes_max=limits.metadata_bytes_max, depth_max=6)
    except UnreadableJson as error:
        findings.add("metadata", f"cannot be read: {error}")
        return ReadMetadata()
    if own_labels is not None and document.get("dedicated") is True:
        document = {"labels": list(own_labels), **document}
    before = len(findings)
    _check_together(document, bundle_digest, findings, has_holdout=has_holdout)
    try:
        metadata = Metadata.model_validate(document)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            where = "/".join(["metadata", *map(str, problem["loc"])])
            findings.add(where, _what(problem, document))
        labels = document.get("labels")
        if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
            return ReadMetadata(labels=tuple(labels[:_LABELS_MAX]))
        return ReadMetadata()
    return ReadMetadata(metadata if len(findings) == before else None, metadata.labels)


def check_windows(metadata: Metadata, manifest: Manifest, findings: Findings) -> None:
    """Find windows that the bundle cannot cut."""
    if metadata.windows is None:
        return
    if manifest.task == "image":
        findings.add("metadata/windows", "is for texts, and this server's backbone takes images")
    elif 2 * metadata.windows.overlap >= manifest.max_length:
        findings.add(
            "metadata/windows/overlap",
            f"is {metadata.windows.overlap}, and must be less than half of the"
            f" {manifest.max_length} tokens that the backbone reads",
        )


def _check_together(
    document: Mapping[str, object], bundle_digest: str, findings: Findings, *, has_holdout: bool
) -> None:
    """Find what no field is alone at fault for."""
    calibrated = document.get("calibrated") is True
    given = document.get("temperature") is not None
    if calibrated and not given and not has_holdout:
        findings.add(
            "metadata/temperature",
            "is missing, and `calibrated` is true: give one, or send holdout.jsonl to fit it on",
        )
    if given and not calibrated:
        findings.add("metadata/temperature", "is given, so `calibrated` must be true")
    backbone = document.get("backbone_digest")
    if (
        isinstance(backbone, str)
        and re.fullmatch(DIGEST_PATTERN, backbone)
        and backbone != bundle_digest
    ):
        findings.add(
            "metadata/backbone_digest", f"is {backbone}, and this server serves {bundle_digest}"
        )


def _what(problem: Any, document: Mapping[str, object]) -> str:  # pydantic's ErrorDetails
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = ", ".join(Metadata.model_fields)
        return f"is not a field of the document; there are {known}"
    if problem["loc"] == ("problem_type",):
        return f"{shown(repr(document['problem_type']))} is not served, only 'single_label'"
    if problem["type"] == "missing":
        return "is missing"
    return f"{message}; found {shown(repr(problem['input']))}" if problem["loc"] else message
