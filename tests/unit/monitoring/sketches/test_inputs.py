"""Counts of inputs: what is unknown of a row is left out of the figure, not taken for 0."""

import math
from typing import Any

import numpy as np
import pytest

from monitoring.sketches.inputs import INPUT_COUNTS, InputCounts, count_inputs
from tests.unit.monitoring.sketches.made_rows import rows_of


def counts(**columns: list[int] | list[bool]) -> InputCounts:
    size = len(next(iter(columns.values())))
    unknown = {
        name: [-1] * size for name in ("tokens", "unknown", "characters", "text_bytes", "replaced")
    }
    given = {"truncated": [False] * size, "fingerprint": [0] * size, **unknown, **columns}
    arrays: dict[str, Any] = {
        name: np.array(values, dtype=np.bool_ if name == "truncated" else np.int64)
        for name, values in given.items()
    }
    return InputCounts(*count_inputs(rows_of(size, **arrays)).tolist())


def test_every_count_has_its_sum() -> None:
    assert len(InputCounts.__dataclass_fields__) == INPUT_COUNTS


def test_empty_texts_are_those_known_to_have_no_character() -> None:
    found = counts(characters=[0, 5, -1, 0])
    assert (found.rows, found.with_characters, found.empty, found.characters) == (4, 3, 2, 5)
    assert found.empty_share == pytest.approx(2 / 3)


def test_unknown_tokens_are_a_share_of_the_tokens_of_rows_that_count_them() -> None:
    found = counts(tokens=[10, 20, -1, 30], unknown=[1, -1, 2, 3])
    assert (found.with_tokens, found.tokens) == (3, 60)
    assert (found.with_unknown, found.unknown, found.unknown_of) == (2, 4, 40)
    assert found.unknown_share == pytest.approx(0.1)


def test_bytes_per_token_leave_out_texts_that_were_cut() -> None:
    found = counts(
        tokens=[10, 20, 30, -1], text_bytes=[40, 999, -1, 7], truncated=[False, True, False, False]
    )
    assert (found.with_bytes, found.text_bytes, found.bytes_of) == (1, 40, 10)
    assert found.bytes_per_token == 4.0
    assert found.truncated_share == 0.25


def test_replacement_characters_are_counted_by_row_and_by_character() -> None:
    found = counts(characters=[10, 20, -1, 70], replaced=[1, 0, 5, 4])
    assert (found.with_replaced, found.replaced_rows) == (3, 2)
    assert (found.replaced, found.replaced_of) == (5, 100)
    assert found.replaced_share == pytest.approx(0.05)
    assert found.replaced_row_share == pytest.approx(2 / 3)


def test_a_fingerprint_of_0_is_unknown() -> None:
    assert counts(fingerprint=[0, 3, -3, 0]).fingerprinted == 2


def test_shares_of_nothing_known_are_unknown() -> None:
    found = counts(characters=[-1, -1])
    for share in (
        found.empty_share,
        found.unknown_share,
        found.bytes_per_token,
        found.replaced_share,
        found.replaced_row_share,
    ):
        assert math.isnan(share)
    assert found.truncated_share == 0
    assert math.isnan(InputCounts(*[0] * INPUT_COUNTS).truncated_share)
