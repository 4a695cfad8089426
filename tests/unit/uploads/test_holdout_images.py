import json

import pytest

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.uploads.holdout import HoldoutRow, check_holdout
from service.uploads.limits import UploadLimits
from tests.fakes.images import picture, url_of

URL = url_of(picture())


def check(*rows: object) -> tuple[list[HoldoutRow], list[str]]:
    data = "\n".join(json.dumps(row) for row in rows).encode()
    findings = Findings()
    found = check_holdout(data, ["a", "b"], UploadLimits(), findings, "image")
    problems: list[str] = []
    if len(findings):
        with pytest.raises(InvalidAdapter) as caught:
            findings.settle()
        problems = [str(problem) for problem in caught.value.problems]
    return found, problems


def test_rows_of_images_are_data_urls_and_know_their_line() -> None:
    found, problems = check({"image": URL, "label": "a"}, {"image": URL, "label": "b"})
    assert not problems
    assert [(row.input, row.label, row.line) for row in found] == [(URL, "a", 1), (URL, "b", 2)]


def test_what_is_no_row_of_an_image_is_named() -> None:
    _, problems = check(
        {"text": "a", "label": "a"},
        {"image": "shelf.jpg", "label": "a"},
        {"image": "", "label": "a"},
        {"image": URL, "label": "c"},
    )
    assert [problem.split(":")[0] for problem in problems] == [
        f"holdout.jsonl/{line}" for line in (1, 2, 3, 4)
    ]
    assert "must have exactly image and label" in problems[0]
    assert "data URL" in problems[1]


def test_a_line_of_an_image_may_be_longer_than_one_of_a_text() -> None:
    long = "data:image/png;base64," + "A" * (2 << 20)
    found, problems = check({"image": long, "label": "a"})
    assert not problems
    assert len(found) == 1
    _, problems = check({"image": "data:image/png;base64," + "A" * (7 << 20), "label": "a"})
    assert len(problems) == 1
