import json

import pytest

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.uploads.holdout import HoldoutRow, check_holdout
from service.uploads.limits import UploadLimits

LABELS = ("refund", "other")


def rows_of(data: bytes, limits: UploadLimits | None = None) -> list[HoldoutRow]:
    findings = Findings()
    rows = check_holdout(data, LABELS, limits or UploadLimits(), findings)
    findings.settle()
    return rows


def problems_of(data: bytes, limits: UploadLimits | None = None) -> dict[str, str]:
    with pytest.raises(InvalidAdapter) as caught:
        rows_of(data, limits)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_rows_are_read_in_their_order_and_blank_lines_are_not() -> None:
    first = json.dumps({"text": "give it back", "label": "refund"}).encode()
    second = json.dumps({"text": "größer?", "label": "other"}).encode()
    expected = [HoldoutRow("give it back", "refund"), HoldoutRow("größer?", "other")]
    assert rows_of(first + b"\r\n\n" + second + b"\n") == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"{", "cannot be read"),
        (b'"text"', "not a JSON object"),
        (b'{"text": "a", "text": "b", "label": "other"}', "occurs twice"),
        (b'{"text": "a"}', "must have exactly text and label, found text"),
        (b'{"text": "a", "label": "other", "id": 1}', "must have exactly"),
        (b'{"text": "", "label": "other"}', "not empty"),
        (b'{"text": 1, "label": "other"}', "not empty"),
        (b'{"text": "a", "label": "Refund"}', "'Refund' is not among"),
        (b'{"text": "a", "label": 0}', "0 is not among"),
    ],
)
def test_a_row_with_a_flaw_is_named_by_its_line(row: bytes, reason: str) -> None:
    found = problems_of(b'{"text": "a", "label": "other"}\n' + row + b"\n")
    assert list(found) == ["holdout.jsonl/2"]
    assert reason in found["holdout.jsonl/2"]


def test_where_the_labels_are_not_known_they_are_not_compared() -> None:
    findings = Findings()
    rows = check_holdout(b'{"text": "a", "label": "x"}', None, UploadLimits(), findings)
    assert rows == [HoldoutRow("a", "x")]
    assert len(findings) == 0


def test_a_file_of_flaws_is_not_read_to_its_end() -> None:
    found = problems_of(b"{}\n" * 1_000)
    assert len(found) == 21
    assert "no further" in found["holdout.jsonl"]


def test_the_number_of_rows_is_bounded() -> None:
    limits = UploadLimits(holdout_rows_max=3)
    row = b'{"text": "a", "label": "other"}\n'
    assert len(rows_of(row * 3, limits)) == 3
    assert problems_of(row * 4, limits) == {"holdout.jsonl": "has more than 3 rows"}


def test_the_number_of_lines_is_bounded_too() -> None:
    row = b'{"text": "a", "label": "other"}\n'
    limits = UploadLimits(holdout_rows_max=2)
    assert len(rows_of(row + b"\n" * 6 + row, limits)) == 2
    assert problems_of(row + b"\n" * 7 + row, limits) == {
        "holdout.jsonl": "has more than 8 lines, those without a row too"
    }


def test_an_empty_file_is_refused() -> None:
    assert "no rows" in problems_of(b"\n")["holdout.jsonl"]
