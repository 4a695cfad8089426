"""`holdout.jsonl`: labelled inputs that an upload brings, one JSON object a line.

A text stands there as it is, an image as a data URL: so the file's digest covers the images too,
and nothing but the file has to be found, bounded and signed.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from service.engine.findings import Findings, shown
from service.engine.strict_json import UnreadableJson, parse_object
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.limits import UploadLimits

LINE_BYTES_MAX: Mapping[Literal["text", "image"], int] = {"text": 1 << 20, "image": 6 << 20}
_LINES_A_ROW = 4  # of the most rows; the others are empty
_FLAWS_MAX = 20  # a file with one flaw often has it in every row


@dataclass(frozen=True, slots=True)
class HoldoutRow:
    """An input and the label that is right for it."""

    input: str  # a text, or an image's data URL
    label: str
    line: int = field(default=0, compare=False)  # of the file, from 1


def check_holdout(
    data: bytes,
    labels: Sequence[str] | None,
    limits: UploadLimits,
    findings: Findings,
    task: Literal["text", "image"] = "text",
) -> list[HoldoutRow]:
    """Return the rows, in their order; add what is wrong to the findings.

    Every row is `{"text", "label"}`, of a backbone that reads images `{"image", "label"}`; where
    the labels are not known (None), they are not compared.
    The rows are all there only where there are no findings.
    """
    known = None if labels is None else frozenset(labels)
    found: list[HoldoutRow] = []
    rows = flaws = 0
    # Line by line: a file of line feeds alone would make as many objects as it has bytes.
    for number, line in enumerate(io.BytesIO(data), start=1):
        if number > _LINES_A_ROW * limits.holdout_rows_max:
            most = _LINES_A_ROW * limits.holdout_rows_max
            findings.add(HOLDOUT_FILE, f"has more than {most:,} lines, those without a row too")
            return found
        if not line.strip():
            continue
        rows += 1
        if rows > limits.holdout_rows_max:
            findings.add(HOLDOUT_FILE, f"has more than {limits.holdout_rows_max:,} rows")
            return found
        row = _row(line, number, known, task)
        if isinstance(row, HoldoutRow):
            found.append(row)
            continue
        flaws += 1
        findings.add(f"{HOLDOUT_FILE}/{number}", row)
        if flaws == _FLAWS_MAX:
            findings.add(HOLDOUT_FILE, "was read no further, since many rows have flaws")
            return found
    if rows == 0:
        findings.add(HOLDOUT_FILE, "has no rows; leave it out if there are none")
    return found


def _row(
    line: bytes, number: int, known: frozenset[str] | None, task: Literal["text", "image"]
) -> HoldoutRow | str:
    """Return a line's row, or what is wrong with it."""
    try:
        row = parse_object(line, bytes_max=LINE_BYTES_MAX[task], depth_max=3)
    except UnreadableJson as error:
        return f"cannot be read: {error}"
    if set(row) != {task, "label"}:
        return f"must have exactly {task} and label, found {shown(', '.join(row))}"
    given, label = row[task], row["label"]
    if not isinstance(given, str) or not given.strip():
        return f"{task} must be a text that is not empty"
    if task == "image" and not given.startswith("data:image/"):
        return f"image must be a data URL, data:image/png;base64,..., found {shown(repr(given))}"
    if not isinstance(label, str) or (known is not None and label not in known):
        return f"label {shown(repr(label))} is not among the metadata's labels"
    return HoldoutRow(given, label, number)
