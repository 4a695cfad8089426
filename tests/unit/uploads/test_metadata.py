import json
from typing import Any

import pytest

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.engine.windows import Windows
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Metadata, ReadMetadata, read_metadata
from tests.fakes.manifests import BACKBONE

OTHER = "sha256:" + "c" * 64


def read(data: bytes, findings: Findings | None = None) -> ReadMetadata:
    own = Findings() if findings is None else findings
    found = read_metadata(data, BACKBONE, UploadLimits(), own)
    if findings is None:
        own.settle()
    return found


def document_of(**fields: Any) -> Metadata:
    document = read(json.dumps({"labels": ["a", "b"], **fields}).encode()).document
    assert document is not None
    return document


def problems_of(data: bytes) -> dict[str, str]:
    with pytest.raises(InvalidAdapter) as caught:
        read(data)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_labels_are_enough() -> None:
    document = document_of()
    assert document.labels == ("a", "b")
    assert document.problem_type == "single_label"
    assert not document.calibrated
    assert document.answering() == {
        "labels": ["a", "b"],
        "problem_type": "single_label",
        "calibrated": False,
    }


def test_every_field_is_kept() -> None:
    fields = {
        "problem_type": "single_label",
        "license": "Apache-2.0",
        "dataset": {"id": "tickets", "collected_until": "2025-03-31"},
        "owner": "support",
        "card": "# Card",
        "backbone_digest": BACKBONE,
        "dedicated": True,
        "calibrated": True,
        "temperature": 2,
        "windows": {"overlap": 64, "max": 8},
    }
    document = document_of(**fields)
    assert document.model_dump(mode="json") == {"labels": ["a", "b"], **fields}
    assert document.answering()["temperature"] == 2.0
    assert document.answering()["windows"] == {"overlap": 64, "max": 8}
    assert document.cuts == Windows(64, 8)


@pytest.mark.parametrize("moment", ["2025-03-31", "2025-03-31T12:00:00Z", "20250331"])
def test_a_date_or_a_time_says_until_when_rows_were_collected(moment: str) -> None:
    dataset = document_of(dataset={"id": "x", "collected_until": moment}).dataset
    assert dataset is not None
    assert dataset.collected_until == moment


@pytest.mark.parametrize(
    ("fields", "where", "reason"),
    [
        ({"labels": None}, "labels", "tuple"),
        ({"labels": "a,b"}, "labels", "tuple"),
        ({"labels": ["a", 1]}, "labels/1", "string"),
        ({"labels": {"a": 1}}, "labels", "tuple"),
        ({"problem_type": "multi_label"}, "problem_type", "'multi_label' is not served"),
        ({"problem_type": "regression"}, "problem_type", "only 'single_label'"),
        ({"license": ""}, "license", "at least 1"),
        ({"owner": "x" * 300}, "owner", "at most 256"),
        ({"dataset": "x"}, "dataset", "dictionary"),
        ({"dataset": {}}, "dataset/id", "missing"),
        ({"dataset": {"id": "x", "size": 1}}, "dataset/size", "not a field"),
        (
            {"dataset": {"id": "x", "collected_until": "yesterday"}},
            "dataset/collected_until",
            "ISO 8601",
        ),
        ({"dataset": {"id": "x", "collected_until": 5}}, "dataset/collected_until", "string"),
        ({"card": "x" * 70_000}, "card", "at most 65536"),
        ({"backbone_digest": "abc"}, "backbone_digest", "pattern"),
        ({"backbone_digest": OTHER}, "backbone_digest", f"is {OTHER}, and this server serves"),
        ({"calibrated": "yes"}, "calibrated", "boolean"),
        ({"calibrated": True}, "temperature", "`calibrated` is true"),
        ({"temperature": 1.5}, "temperature", "`calibrated` must be true"),
        ({"calibrated": True, "temperature": 0}, "temperature", "greater"),
        ({"calibrated": True, "temperature": 1e6}, "temperature", "less"),
        ({"calibrated": True, "temperature": "2"}, "temperature", "number"),
        ({"lables": ["a"]}, "lables", "is not a field of the document; there are labels"),
    ],
)
def test_a_field_that_cannot_be_is_refused(fields: Any, where: str, reason: str) -> None:
    found = problems_of(json.dumps({"labels": ["a", "b"], **fields}).encode())
    assert list(found) == [f"metadata/{where}"]
    assert reason in found[f"metadata/{where}"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"labels": ["a"], "labels": ["b"]}', "'labels' occurs twice"),
        (b'{"labels": ["\\ud800", "b"]}', "surrogate"),
        (b'{"labels": [' + b"[" * 20 + b"]" * 20 + b"]}", "deeper than 6"),
        (b'{"labels": ["' + b"a" * (1 << 20) + b'"]}', "the limit is"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, reason: str) -> None:
    found = problems_of(data)
    assert list(found) == ["metadata"]
    assert reason in found["metadata"]


def test_all_problems_come_at_once_and_the_labels_are_still_read() -> None:
    findings = Findings()
    fields = {"labels": ["a", "a"], "x": 1, "calibrated": True, "backbone_digest": OTHER}
    found = read(json.dumps(fields).encode(), findings)
    assert found.labels == ("a", "a")
    assert found.document is None
    with pytest.raises(InvalidAdapter) as caught:
        findings.settle()
    assert {problem.where for problem in caught.value.problems} == {
        "metadata/x",
        "metadata/temperature",
        "metadata/backbone_digest",
    }


def test_a_temperature_may_be_fitted_where_there_is_a_hold_out() -> None:
    findings = Findings()
    data = json.dumps({"labels": ["a", "b"], "calibrated": True}).encode()
    document = read_metadata(data, BACKBONE, UploadLimits(), findings, has_holdout=True).document
    findings.settle()
    assert document is not None
    assert document.wants_temperature
    assert not document_of(calibrated=True, temperature=1.5).wants_temperature
    assert not document_of().wants_temperature


def test_labels_are_missing() -> None:
    assert problems_of(b"{}") == {"metadata/labels": "is missing"}


@pytest.mark.parametrize(
    ("windows", "where"),
    [
        ({"overlap": 64}, "metadata/windows/max"),
        ({"max": 8}, "metadata/windows/overlap"),
        ({"overlap": -1, "max": 8}, "metadata/windows/overlap"),
        ({"overlap": 64, "max": 1}, "metadata/windows/max"),
        ({"overlap": 64, "max": 65}, "metadata/windows/max"),
        ({"overlap": 64.5, "max": 8}, "metadata/windows/overlap"),
        ({"overlap": 64, "max": 8, "pool": "max"}, "metadata/windows/pool"),
        ([64, 8], "metadata/windows"),
    ],
)
def test_windows_that_cannot_be_are_named(windows: object, where: str) -> None:
    data = json.dumps({"labels": ["a", "b"], "windows": windows}).encode()
    assert problems_of(data).keys() == {where}
