"""From the bytes of an upload to a package that can be published, or to all of its problems."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.engine import digest
from service.engine.adapter import Adapter, examine
from service.engine.bundle import Manifest
from service.engine.dedicated import examine_own_head
from service.engine.findings import Findings
from service.engine.lora_config import CONFIG_FILE
from service.engine.safetensors_file import WEIGHTS_FILE, scan_tensors
from service.engine.strict_json import UnreadableJson, parse_object
from service.uploads.archive import HOLDOUT_FILE, read_archive
from service.uploads.holdout import HoldoutRow, check_holdout
from service.uploads.identity import fitted, identity_of, identity_of_own_head
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Metadata, check_windows, is_dedicated, read_metadata
from service.uploads.signature import verify_signature
from service.uploads.terms import Terms, check_license


@dataclass(frozen=True, slots=True)
class Package:
    """A valid upload."""

    digest: str
    identity: Mapping[str, Any]  # the document that `digest` is of
    content: str  # digest of what came; another than `digest` where a temperature was fitted since
    adapter: Adapter
    files: Mapping[str, bytes]  # as they came; config and weights of an adapter, others where sent
    metadata: Metadata
    verified_backbone: bool  # whether the upload named this very bundle
    holdout: tuple[HoldoutRow, ...]
    signed_by: str | None  # the file of the key that verified it, where signatures are asked for
    ignored: tuple[str, ...]  # names of the archive's other files

    @property
    def holdout_digest(self) -> str | None:
        """Return the digest of the hold-out's file, None where there is none."""
        data = self.files.get(HOLDOUT_FILE)
        return None if data is None else digest.of_bytes(data)

    def with_temperature(self, temperature: float) -> "Package":
        """Return the package that it is once its temperature was fitted."""
        assert self.metadata.wants_temperature, "it has one"
        metadata = self.metadata.model_copy(update={"temperature": temperature})
        identity = fitted(self.identity, metadata)
        name = digest.of_document(identity)
        adapter = replace(self.adapter, digest=name, temperature=temperature)
        return replace(self, digest=name, identity=identity, adapter=adapter, metadata=metadata)


def open_package(
    package: bytes | Path,
    metadata: bytes,
    manifest: Manifest,
    bundle_digest: str,
    limits: UploadLimits,
    terms: Terms | None = None,
) -> Package:
    """Return the package of an upload, judged against the bundle that would serve it.

    Raises `InvalidAdapter` with everything that is wrong with archive, metadata, config, tensors,
    hold-out, licence and signature together. Nothing in the upload is executed, fetched, or
    followed.
    """
    terms = terms or Terms()
    findings = Findings()
    dedicated = is_dedicated(metadata, limits)
    contents = read_archive(package, limits, findings, needs_adapter=not dedicated)
    files = contents.files
    has_holdout = HOLDOUT_FILE in files
    read = read_metadata(
        metadata,
        bundle_digest,
        limits,
        findings,
        has_holdout=has_holdout,
        own_labels=None if manifest.dedicated is None else manifest.dedicated.labels,
    )
    config = None if dedicated else _config(files, findings, limits)
    if dedicated:
        weights = examine_own_head(read.labels, manifest, findings)
    else:
        data = files.get(WEIGHTS_FILE)
        tensors = None if data is None else scan_tensors(data, findings)
        weights = examine(config, tensors, read.labels, manifest, findings)
    rows: list[HoldoutRow] = []
    if has_holdout:
        rows = check_holdout(files[HOLDOUT_FILE], read.labels, limits, findings, manifest.task)
    elif terms.holdout_required:
        findings.add(f"package/{HOLDOUT_FILE}", "is missing; this server measures every upload")
    document = read.document
    if document is not None:
        check_license(document, terms.licenses, findings)
        check_windows(document, manifest, findings)
    signed_by = None
    if terms.signing_keys is not None and (files or dedicated):
        signed_by = verify_signature(files, terms.signing_keys, terms.scratch, findings)
    findings.settle()
    assert document is not None, "its absence is a finding"
    if dedicated:
        identity = identity_of_own_head(bundle_digest, files, document)
    else:
        assert config is not None, "its absence is a finding"
        identity = identity_of(config, files, document)
    name = digest.of_document(identity)
    return Package(
        digest=name,
        identity=identity,
        content=name,
        adapter=weights.named(name, document.labels, document.temperature or 1.0),
        files=files,
        metadata=document,
        verified_backbone=document.backbone_digest is not None,
        holdout=tuple(rows),
        signed_by=signed_by,
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
