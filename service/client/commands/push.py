"""What `tenantry adapters push` does: metadata, backbone, upload, verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from service.client.client import Client
from service.client.commands.rollout import Change, Stays
from service.client.commands.screen import REFUSED, Screen
from service.client.commands.version import show_version
from service.client.documents import Uploaded
from service.client.errors import InvalidCall, NotFound, NotPermitted
from service.client.metadata import bundle_digest, metadata_of


@dataclass(frozen=True, slots=True)
class Given:
    """The metadata that options give; None: not given."""

    labels: Sequence[str] | None
    license: str | None
    owner: str | None
    dataset: str | None
    collected_until: str | None
    calibrated: bool
    temperature: float | None
    dedicated: bool = False

    def metadata(self, source: Path | None) -> dict[str, object]:
        """Return the upload's metadata: what the folder says, and over it what is given."""
        dataset: dict[str, object] | None = None
        if self.dataset is not None:
            dataset = {"id": self.dataset}
            if self.collected_until is not None:
                dataset["collected_until"] = self.collected_until
        elif self.collected_until is not None:
            raise InvalidCall("--collected-until tells of --dataset, which is not given")
        calibrated = self.calibrated or self.temperature is not None
        return metadata_of(
            source if source is not None and source.is_dir() else None,
            {
                "labels": self.labels,
                "license": self.license,
                "owner": self.owner,
                "dataset": dataset,
                "calibrated": calibrated or None,
                "temperature": self.temperature,
                "dedicated": self.dedicated or None,
            },
        )


def backbone_of(client: Client, bundle: Path | None, screen: Screen) -> Mapping[str, object]:
    """Return the digest of the backbone that the adapter is for, as metadata.

    It comes from a bundle's folder or from the service. A key that may not ask the service sends
    none, which is said: the version is then marked as unverified.
    """
    if bundle is not None:
        return {"backbone_digest": bundle_digest(bundle)}
    try:
        return {"backbone_digest": client.backbone().digest}
    except (NotPermitted, NotFound) as error:
        screen.note(
            f"the service does not tell this key its backbone ({error.code}), so the version will"
            " be marked as unverified; --bundle DIR names the backbone"
        )
        return {}


def push_version(
    client: Client,
    screen: Screen,
    model: tuple[str, str],
    source: Path | None,
    metadata: Mapping[str, object],
    timeout_s: float,
    *,
    live: bool,
) -> None:
    """Upload, show the verdict, and let the version answer where that was asked for."""
    tenant, adapter = model
    with screen.uploading(f"{tenant}.{adapter}") as bar:
        uploaded = client.upload(
            tenant, adapter, source, metadata, progress=bar, timeout_s=timeout_s
        )
    version = uploaded.version
    rejected = version.state == "rejected"
    rollout = None
    if live and not rejected:
        before = client.rollout(tenant, adapter)
        wanted = Change(live=version.version, canary=None, shadow=Stays.STAYS, force=None)
        rollout = wanted.put(client, tenant, adapter, before, None)
    if screen.json:
        document = {"created": uploaded.created, "version": version.document}
        if live:
            document["rollout"] = None if rollout is None else rollout.document
        screen.document(document)
    else:
        _tell(screen, uploaded, live=rollout is not None)
    if rejected:
        raise typer.Exit(REFUSED)


def _tell(screen: Screen, uploaded: Uploaded, *, live: bool) -> None:
    version = uploaded.version
    name = f"{version.tenant}.{version.adapter}"
    if not uploaded.created:
        screen.note(f"the same content is version {version.version} already")
    show_version(screen, version)
    if live:
        screen.line(f"version {version.version} of {name} is live")
    elif version.state == "rejected":
        screen.note(
            f"rejected, so no rollout takes it; with a good reason, which is audited:\n"
            f'  tenantry adapters rollout {name} --live {version.version} --force "REASON"'
        )
    elif version.state == "validated":
        screen.note(
            f"it answers nobody yet:\n  tenantry adapters rollout {name} --live {version.version}"
        )
