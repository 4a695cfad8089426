import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from service.engine import digest
from service.engine.errors import InvalidAdapter
from service.uploads.holdout import HoldoutRow
from service.uploads.limits import UploadLimits
from service.uploads.package import Package, open_package
from service.uploads.terms import Terms
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import (
    CONFIG,
    WEIGHTS,
    config_of,
    files_of,
    labels_of,
    metadata_of,
    tar_of,
    tensors_of,
    zip_of,
)

MANIFEST = manifest_of("bert")


def opened(
    package: bytes | Path, metadata: bytes | None = None, terms: Terms | None = None
) -> Package:
    return open_package(
        package,
        metadata_of() if metadata is None else metadata,
        MANIFEST,
        BACKBONE,
        UploadLimits(),
        terms,
    )


def problems_of(package: bytes, metadata: bytes | None = None) -> dict[str, str]:
    with pytest.raises(InvalidAdapter) as caught:
        opened(package, metadata)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_an_upload_becomes_a_package() -> None:
    files = files_of(MANIFEST)
    package = opened(zip_of({**files, "merges.txt": b""}))
    assert package.files == files
    assert package.ignored == ("merges.txt",)
    assert package.adapter.digest == package.digest
    assert package.digest == digest.of_document(package.identity)
    assert package.adapter.labels == tuple(labels_of())
    assert package.adapter.temperature == 1.0
    assert not package.verified_backbone
    assert package.content == package.digest
    assert package.holdout == ()
    assert package.holdout_digest is None
    assert package.signed_by is None


def test_a_calibrated_package_has_its_temperature() -> None:
    package = opened(zip_of(files_of(MANIFEST)), metadata_of(calibrated=True, temperature=1.5))
    assert package.adapter.temperature == 1.5
    assert package.metadata.calibrated


def test_an_upload_that_names_this_bundle_is_verified() -> None:
    assert opened(
        zip_of(files_of(MANIFEST)), metadata_of(backbone_digest=BACKBONE)
    ).verified_backbone


def test_an_upload_for_another_bundle_is_refused_with_both_named() -> None:
    other = "sha256:" + "0" * 64
    what = problems_of(zip_of(files_of(MANIFEST)), metadata_of(backbone_digest=other))
    assert other in what["metadata/backbone_digest"]
    assert BACKBONE in what["metadata/backbone_digest"]


def test_a_holdout_is_read_and_kept() -> None:
    rows = b'{"text": "a", "label": "label 0"}\n{"text": "b", "label": "label 2"}\n'
    package = opened(zip_of({**files_of(MANIFEST), "holdout.jsonl": rows}))
    assert package.holdout == (HoldoutRow("a", "label 0"), HoldoutRow("b", "label 2"))
    assert package.holdout_digest == digest.of_bytes(rows)
    assert package.files["holdout.jsonl"] == rows


def test_a_temperature_that_is_to_be_fitted_is_named_by_its_holdout_until_it_is_there() -> None:
    one, other = (b'{"text": "a", "label": "label 0"}', b'{"text": "b", "label": "label 0"}')
    files = files_of(MANIFEST)

    def sent(rows: bytes, **metadata: Any) -> Package:
        return opened(zip_of({**files, "holdout.jsonl": rows}), metadata_of(**metadata))

    package = sent(one, calibrated=True)
    assert package.metadata.wants_temperature
    assert package.adapter.temperature == 1.0
    assert package.digest != sent(other, calibrated=True).digest
    assert package.digest == sent(one, calibrated=True, owner="me").digest
    assert sent(one).digest == sent(other).digest == opened(zip_of(files)).digest

    fitted = package.with_temperature(1.75)
    given = sent(one, calibrated=True, temperature=1.75)
    assert fitted.content == package.digest
    assert fitted.digest == digest.of_document(fitted.identity) == given.digest
    assert fitted.adapter.digest == fitted.digest
    assert fitted.adapter.temperature == fitted.metadata.temperature == 1.75
    assert not fitted.metadata.wants_temperature


def test_a_temperature_cannot_be_fitted_without_a_holdout() -> None:
    found = problems_of(zip_of(files_of(MANIFEST)), metadata_of(calibrated=True))
    assert "send holdout.jsonl to fit it on" in found["metadata/temperature"]


def test_an_operator_may_ask_for_a_holdout() -> None:
    terms = Terms(holdout_required=True)
    row = b'{"text": "a", "label": "label 0"}'
    files = files_of(MANIFEST)
    with pytest.raises(InvalidAdapter) as caught:
        opened(zip_of(files), terms=terms)
    (problem,) = caught.value.problems
    assert problem.where == "package/holdout.jsonl"
    assert opened(zip_of({**files, "holdout.jsonl": row}), terms=terms).holdout


def test_the_same_adapter_packed_in_any_way_is_one_digest(tmp_path: Path) -> None:
    files = files_of(MANIFEST)
    path = tmp_path / "package.zip"
    path.write_bytes(zip_of(files, 0))
    other_order = dict(reversed(list(config_of(MANIFEST).items())))
    respelt = json.dumps({**other_order, "peft_version": "9", "lora_alpha": 8.0}, indent=2)
    packages: list[bytes | Path] = [
        zip_of(files),
        path,
        tar_of({f"top/{name}": data for name, data in files.items()}),
        zip_of({**files, CONFIG: respelt.encode(), "README.md": b"# other"}),
    ]
    digests = {opened(package).digest for package in packages}
    digests.add(opened(zip_of(files), metadata_of(owner="me", card="#", license="MIT")).digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("config", "metadata"),
    [
        ({"lora_alpha": 4}, {}),
        ({"use_rslora": True}, {}),
        ({"alpha_pattern": {"query": 4}}, {}),
        ({}, {"labels": ["label 1", "label 0", "label 2"]}),
        ({}, {"labels": ["label 0", "label 1", "other"]}),
        ({}, {"calibrated": True, "temperature": 1.0}),
        ({}, {"calibrated": True, "temperature": 2.0}),
    ],
)
def test_what_changes_answers_changes_the_digest(
    config: dict[str, Any], metadata: dict[str, Any]
) -> None:
    plain = opened(zip_of(files_of(MANIFEST)))
    other = opened(zip_of(files_of(MANIFEST, **config)), metadata_of(**metadata))
    assert other.digest != plain.digest


def test_one_changed_weight_changes_the_digest() -> None:
    tensors = tensors_of(MANIFEST)
    next(iter(tensors.values())).flat[0] += np.float32(1e-3)
    files = {**files_of(MANIFEST), WEIGHTS: save(tensors)}
    assert opened(zip_of(files)).digest != opened(zip_of(files_of(MANIFEST))).digest


def test_problems_of_every_part_come_together() -> None:
    tensors = tensors_of(MANIFEST)
    name = next(iter(tensors))
    tensors[name] = np.full_like(tensors[name], np.nan)
    package = zip_of(
        {
            CONFIG: json.dumps(config_of(MANIFEST, use_dora=True)).encode(),
            WEIGHTS: save(tensors),
            "optimizer.pt": b"",
            "holdout.jsonl": b'{"text": "a", "label": "nobody"}',
        }
    )
    other = "sha256:" + "0" * 64
    metadata = metadata_of(owner=1, labels=["a", "a", "b"], backbone_digest=other)
    assert set(problems_of(package, metadata)) == {
        "package/optimizer.pt",
        "metadata/owner",
        "metadata/backbone_digest",
        "metadata/labels/1",
        "adapter_config.json/use_dora",
        f"adapter_model.safetensors/{name}",
        "holdout.jsonl/1",
    }


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"r": 1, "r": 2}', "'r' occurs twice"),
        (b'{"r": NaN}', "NaN"),
    ],
)
def test_an_unreadable_config_is_refused_and_the_tensors_judged(config: bytes, reason: str) -> None:
    files = files_of(MANIFEST, labels=4)
    found = problems_of(zip_of({**files, CONFIG: config}))
    assert reason in found["adapter_config.json"]
    assert "adapter_model.safetensors/base_model.model.classifier.weight" in found


def test_an_archive_that_cannot_be_read_does_not_hide_problems_of_the_metadata() -> None:
    assert set(problems_of(b"nothing", b"{}")) == {"package", "metadata/labels"}


def test_windows_are_a_part_of_the_identity() -> None:
    package = zip_of(files_of(MANIFEST))
    plain = opened(package)
    own, other = (
        opened(package, metadata_of(windows={"max": 8, "overlap": overlap})) for overlap in (4, 5)
    )
    assert len({plain.digest, own.digest, other.digest}) == 3
    assert "windows" not in plain.identity["metadata"]  # or older versions would be others
    assert own.identity["metadata"]["windows"] == {"overlap": 4, "max": 8}


def test_windows_that_overlap_too_far_for_the_backbone_are_refused() -> None:
    half = MANIFEST.max_length // 2
    package = zip_of(files_of(MANIFEST))
    opened(package, metadata_of(windows={"overlap": half - 1, "max": 8}))
    problems = problems_of(package, metadata_of(windows={"overlap": half, "max": 8}))
    assert problems.keys() == {"metadata/windows/overlap"}
    assert str(MANIFEST.max_length) in problems["metadata/windows/overlap"]
