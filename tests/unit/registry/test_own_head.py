"""A dedicated bundle's own head in the store: it is the identity alone, and survives a restart."""

from pathlib import Path

import pytest

from service.errors import AdapterUnreadable
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.uploads.limits import UploadLimits
from service.uploads.package import Package, open_package
from tests.fakes.manifests import BACKBONE, dedicated_manifest_of, manifest_of
from tests.fakes.packages import labels_of, zip_of

MANIFEST = dedicated_manifest_of(tuple(labels_of()))


def own_package(bundle: str = BACKBONE) -> Package:
    return open_package(
        zip_of({"README.md": b"# Card"}), b'{"dedicated": true}', MANIFEST, bundle, UploadLimits()
    )


def test_another_bundle_is_another_version_though_the_labels_are_the_same() -> None:
    assert own_package().digest == own_package().digest
    assert own_package().digest != own_package("sha256:" + "c" * 64).digest


def test_it_is_loaded_and_checked_after_a_restart(state: Path) -> None:
    registry = Registry.open(state, BACKBONE)
    registry.put_tenant("acme", TenantSettings(), "test")
    version, _ = registry.publish("acme", "support", own_package(), {}, "test")
    registry.close()
    registry = Registry.open(state, BACKBONE)
    try:
        adapter = registry.load_adapter(version.digest, MANIFEST)
        assert (adapter.rank, adapter.labels) == (0, tuple(labels_of()))
        assert registry.extra_file(version, "README.md") == b"# Card"
        assert list(registry.problems()) == []
        (folder,) = (state / "store" / "adapters").glob("*/*")
        assert [path.name for path in folder.iterdir()] == ["identity.json"]
        with pytest.raises(AdapterUnreadable, match="does not fit this server's bundle"):
            registry.load_adapter(version.digest, manifest_of())
        (folder / "identity.json").write_bytes(b"{}")
        with pytest.raises(AdapterUnreadable, match="was altered"):
            registry.load_adapter(version.digest, MANIFEST)
    finally:
        registry.close()
