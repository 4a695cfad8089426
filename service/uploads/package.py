"""From the bytes of an upload to a package that can be published, or to all of its problems."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.engine import digest
from service.engine.adapter import Adapter, examine
from service.engine.bundle import Manifest
from service.engine.findings import Findings
from service.engine.lora_config import CONFIG_FILE
from service.engine.safetensors_file import WEIGHTS_FILE, scan_tensors
from service.engine.strict_json import UnreadableJson, parse_object
from service.uploads.archive import HOLDOUT_FILE, read_archive
from service.uploads.holdout import check_holdout
from service.uploads.identity import identity_of
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Metadata, read_metadata


@dataclass(frozen=True, slots=True)
class Package:
    """A valid upload."""

    digest: str
    identity: Mapping[str, Any]  # the document that `digest` is of
    adapter: Adapter
    files: Mapping[str, bytes]  # as they came; config and weights always, others where sent
    metadata: Metadata
    verified_backbone: bool  # whether the upload named this very bundle
    holdout_rows: int
    ignored: tuple[str, ...]  # names of the archive's other files


def open_package(
    package: bytes | Path,
    metadata: bytes,
    manifest: Manifest,
    bundle_digest: str,
    limits: UploadLimits,
) -> Package:
    """Return the package of an upload, judged against the bundle that would serve it.

    Raises `InvalidAdapter` with everything that is wrong with archive, metadata, config, tensors
    and hold-out together. Nothing in the upload is executed, fetched, or followed.
    """
    findings = Findings()
    contents = read_archive(package, limits, findings)
    read = read_metadata(metadata, bundle_digest, limits, findings)
    config = _config(contents.files, findings, limits)
    data = contents.files.get(WEIGHTS_FILE)
    tensors = None if data is None else scan_tensors(data, findings)
    weights = examine(config, tensors, read.labels, manifest, findings)
    rows = 0
    if HOLDOUT_FILE in contents.files:
        rows = check_holdout(contents.files[HOLDOUT_FILE], read.labels, limits, findings)
    findings.settle()
    document = read.document
    assert document is not None, "its absence is a finding"
    assert config is not None, "its absence is a finding"
    assert data is not None, "its absence is a finding"
    identity = identity_of(config, data, document)
    name = digest.of_document(identity)
    return Package(
        digest=name,
        identity=identity,
        adapter=weights.named(name, document.labels, document.temperature or 1.0),
        files=contents.files,
        metadata=document,
        verified_backbone=document.backbone_digest is not None,
        holdout_rows=rows,
        ignored=contents.ignored,
    )


def _config(
    files: Mapping[str, bytes], findings: Findings, limits: UploadLimits
) -> dict[str, object] | None:
    if CONFIG_FILE not in files:
        return None
    try:
        return parse_object(files[CONFIG_FILE], bytes_max=limits.config_bytes_max)
    except UnreadableJson as error:
        findings.add(CONFIG_FILE, f"cannot be read: {error}")
        return None
