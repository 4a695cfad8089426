"""What a comparison says, and with which metadata a version is sent on."""

from typing import Any

import pytest

from service.engine.findings import Findings
from service.gate.figures import Figure
from service.migration.comparison import Finding, does_not_fit, not_measured, status_of
from service.migration.judging import metadata_to_send, packed, was_fitted
from service.registry.records import Version
from service.uploads.archive import read_archive
from service.uploads.limits import UploadLimits

OLD = "sha256:" + "a" * 64
OTHER = "sha256:" + "c" * 64


def version_of(report: dict[str, Any] | None = None, **metadata: Any) -> Version:
    document = {"labels": ["a", "b"], "license": None, "backbone_digest": OLD, **metadata}
    return Version(
        "acme", "mail", 3, OLD, OLD, "live", ("a", "b"), document, report or {}, {}, 1, "2026-11-22"
    )


@pytest.mark.parametrize(
    ("lower", "upper", "status"),
    [
        (-0.2, -0.1, "worse"),
        (-0.2, 0.0, "no difference shown"),
        (-0.1, 0.1, "no difference shown"),
        (0.0, 0.1, "no difference shown"),
        (0.1, 0.2, "better"),
    ],
)
def test_a_difference_is_shown_where_its_interval_leaves_out_zero(
    lower: float, upper: float, status: str
) -> None:
    assert status_of(Figure((lower + upper) / 2, lower, upper)) == status


def test_what_is_not_defined_is_not_measured() -> None:
    assert status_of(None) == "not measured"
    assert status_of(Figure(None, None, None)) == "not measured"


def test_only_what_the_gate_would_take_moves() -> None:
    found: list[Finding] = [
        does_not_fit(version_of(), "live", ("its rank is 8",)),
        not_measured(version_of(), "live"),
    ]
    assert [one.moves for one in found] == [False, False]
    assert [one.document()["version"] for one in found] == [3, 3]


def test_a_version_is_sent_without_the_bundle_that_it_was_trained_for() -> None:
    sent = metadata_to_send(version_of(owner="ann", windows={"overlap": 8, "max": 4}))
    assert sent["owner"] == "ann"
    assert sent["windows"] == {"overlap": 8, "max": 4}
    assert "backbone_digest" not in sent
    assert "license" not in sent


def test_a_temperature_that_the_server_fitted_is_fitted_anew_and_a_given_one_stays() -> None:
    calibrated = {"calibrated": True, "temperature": 1.7}
    given = version_of({"content": OLD}, **calibrated)
    fitted = version_of({"content": OTHER}, **calibrated)
    assert not was_fitted(given)
    assert was_fitted(fitted)
    assert metadata_to_send(given)["temperature"] == 1.7
    assert "temperature" not in metadata_to_send(fitted)
    assert metadata_to_send(fitted)["calibrated"] is True


def test_files_are_packed_as_an_upload_takes_them() -> None:
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x", "README.md": b"#"}
    findings = Findings()
    assert read_archive(packed(files), UploadLimits(), findings).files == files
    findings.settle()
    assert packed(files) == packed(dict(reversed(files.items())))
