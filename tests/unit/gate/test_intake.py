import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import AdapterUnreadable, StoreFull, UnknownAdapter, UnknownVersion
from service.gate.inputs import HoldoutTexts
from service.gate.intake import Intake, OnReference
from service.gate.measure import Measurer
from service.gate.rows import ReferenceRows
from service.gate.upload_gate import UploadGate
from service.gate.verdict import Thresholds
from service.registry.records import TenantSettings, Version
from service.registry.registry import Registry
from service.uploads.package import Package
from tests.fakes.gating import ClassTokeniser, HoldoutFake, holdout_of
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import labels_of, package_of

pytestmark = pytest.mark.anyio

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
LABELS = tuple(labels_of())
NAME = ("acme", "support")
CALIBRATED = {"calibrated": True}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = Registry.open(tmp_path, BACKBONE)
    opened.put_tenant("acme", TenantSettings(), "tests")
    yield opened
    opened.close()


def package(*, rows: int = 60, wrong: int = 6, seed: int = 0, **metadata: Any) -> Package:
    others = {"holdout.jsonl": holdout_of(LABELS, rows, wrong)} if rows else {}
    return package_of(MANIFEST, seed=seed, others=others, **metadata)


def damage(state: Path) -> None:
    (weights,) = state.glob("store/adapters/*/*/adapter_model.safetensors")
    weights.write_bytes(b"damaged")


class Taken:
    """An intake over a registry, and the fake that it runs hold-outs on."""

    def __init__(
        self, registry: Registry, on_reference: OnReference | None = None, **thresholds: Any
    ) -> None:
        self.batcher = HoldoutFake()
        measurer = Measurer(self.batcher, HoldoutTexts(ClassTokeniser()), 5.0)
        gate = UploadGate(registry, measurer, Thresholds(**thresholds), 1000)
        self.intake = Intake(registry, gate, BACKBONE, on_reference)

    async def take(self, package: Package) -> tuple[Version, bool]:
        return await self.intake.take(*NAME, package, 5, "tests")


async def test_the_same_content_again_is_the_same_version_and_is_not_measured_again(
    registry: Registry,
) -> None:
    taken = Taken(registry)
    first, created = await taken.take(package())
    jobs = len(taken.batcher.jobs)
    again, created_again = await taken.take(package())
    assert (created, created_again) == (True, False)
    assert again == first
    assert len(taken.batcher.jobs) == jobs > 0
    assert first.state == "validated"
    assert registry.version(*NAME, 1).report == first.report


@pytest.mark.parametrize("other", [0.85, 0.95])
async def test_a_fitted_version_is_one_version_whatever_the_second_fit_would_be(
    registry: Registry, other: float
) -> None:
    taken = Taken(registry)
    first, _ = await taken.take(package(wrong=20, **CALIBRATED))
    taken.batcher.sure = other  # as if another machine's numbers fitted another temperature
    again, created = await taken.take(package(wrong=20, **CALIBRATED))
    assert not created
    assert again == first
    assert [version.version for version in registry.versions(*NAME)] == [1]


async def test_two_at_once_of_the_same_content_are_one_version(registry: Registry) -> None:
    taken = Taken(registry)
    found = await asyncio.gather(*(taken.take(package(wrong=20, **CALIBRATED)) for _ in range(3)))
    assert sorted(created for _, created in found) == [False, False, True]
    assert {version.version for version, _ in found} == {1}
    assert sum(len(job.texts) for job in taken.batcher.jobs) == 60


async def test_a_fitted_version_is_read_back_with_its_temperature(registry: Registry) -> None:
    version, _ = await Taken(registry).take(package(wrong=20, **CALIBRATED))
    adapter = registry.load_adapter(version.digest, MANIFEST)
    assert adapter.temperature == version.metadata["temperature"]
    assert adapter.temperature > 1.2
    assert version.report["measured"]["temperature"]["applied"] == adapter.temperature
    assert version.report["content"] != version.digest


async def test_another_hold_out_fits_another_version(registry: Registry) -> None:
    taken = Taken(registry)
    first, _ = await taken.take(package(wrong=20, **CALIBRATED))
    second, created = await taken.take(package(wrong=30, **CALIBRATED))
    assert created
    assert second.digest != first.digest


async def test_an_upload_that_names_the_fitted_temperature_is_that_version(
    registry: Registry,
) -> None:
    taken = Taken(registry)
    first, _ = await taken.take(package(wrong=20, **CALIBRATED))
    temperature = first.metadata["temperature"]
    again, created = await taken.take(package(wrong=20, **CALIBRATED, temperature=temperature))
    assert not created
    assert again == first


async def test_a_deleted_fitted_version_is_measured_anew(registry: Registry) -> None:
    taken = Taken(registry)
    await taken.take(package(wrong=20, **CALIBRATED))
    registry.delete_version(*NAME, 1, "tests")
    version, created = await taken.take(package(wrong=20, **CALIBRATED))
    assert created
    assert version.version == 2


async def test_a_rejected_version_has_a_number_and_stays_rejected(registry: Registry) -> None:
    taken = Taken(registry, calibration_error_max=0.05)
    version, created = await taken.take(package(wrong=40))
    assert created
    assert version.state == "rejected"
    assert version.report["verdict"] == "rejected"
    again, created = await taken.take(package(wrong=40))
    assert not created
    assert again.state == "rejected"
    without, created = await taken.take(package(rows=0))
    assert not created
    assert without.state == "rejected"  # leaving the hold-out out is no way around the gate


async def test_under_another_bundle_it_is_measured_again(
    registry: Registry, tmp_path: Path
) -> None:
    first, _ = await Taken(registry).take(package())
    registry.close()
    other = "sha256:" + "d" * 64
    moved = Registry.open(tmp_path, other)
    kept: list[int] = []

    def keep(version: Version, _: ReferenceRows) -> None:
        kept.append(version.version)

    try:
        taken = Taken(moved, keep, calibration_error_max=0.0)
        taken.intake._backbone = other
        taken.batcher.sure = 0.5
        again, created = await taken.take(package())
        assert not created
        assert len(taken.batcher.jobs) > 0
        assert again.version == first.version
        assert again.backbone == other
        assert again.report["measured"] != first.report["measured"]
        assert again.state == "rejected"
        assert kept == [1]
    finally:
        moved.close()


async def test_the_reference_of_a_new_version_is_kept_once(registry: Registry) -> None:
    kept: list[tuple[int, int]] = []

    def keep(version: Version, rows: ReferenceRows) -> None:
        with pytest.raises((UnknownAdapter, UnknownVersion)):
            registry.version(*NAME, version.version)  # nobody learns of it before
        kept.append((version.version, len(rows.correct)))

    taken = Taken(registry, keep)
    await taken.take(package())
    await taken.take(package())
    await taken.take(package(rows=0, seed=1))
    await taken.take(package(rows=80, seed=2))
    assert kept == [(1, 60), (3, 80)]


async def test_a_version_whose_reference_cannot_be_kept_is_none(registry: Registry) -> None:
    full = StoreFull("the disk is full")
    failures = [full]

    def keep(_: Version, __: ReferenceRows) -> None:
        if failures:
            raise failures.pop()

    taken = Taken(registry, keep)
    with pytest.raises(StoreFull):
        await taken.take(package())
    with pytest.raises((UnknownAdapter, UnknownVersion)):
        registry.version(*NAME, 1)
    version, created = await taken.take(package())
    assert created
    assert version.version == 1
    assert [line.action for line in registry.audit().lines] == [
        "tenant.created",
        "version.published",
    ]


async def test_a_damaged_file_is_mended_by_the_same_upload(
    registry: Registry, tmp_path: Path
) -> None:
    taken = Taken(registry)
    version, _ = await taken.take(package(wrong=20, **CALIBRATED))
    damage(tmp_path)
    with pytest.raises(AdapterUnreadable):
        registry.load_adapter(version.digest, MANIFEST)
    await taken.take(package(wrong=20, **CALIBRATED))
    assert registry.load_adapter(version.digest, MANIFEST).digest == version.digest
