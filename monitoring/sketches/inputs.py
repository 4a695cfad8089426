"""What is counted about inputs (method f), and the shares that follow."""

from dataclasses import dataclass

import numpy as np

from monitoring.rows import IntArray, Rows

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class InputCounts:
    """Sums over rows; beside what is unknown of some rows stands over how many it was taken."""

    rows: int
    truncated: int
    fingerprinted: int  # rows whose fingerprint is known
    with_characters: int  # rows whose length in characters is known
    empty: int  # of them, those without any
    characters: int  # in them
    with_replaced: int  # rows with known characters and replacement characters
    replaced_rows: int  # of them, those with any replacement character
    replaced: int  # replacement characters (U+FFFD) in them
    replaced_of: int  # characters in them
    with_tokens: int  # rows whose number of tokens is known
    tokens: int  # in them
    with_unknown: int  # rows with known tokens and unknown tokens
    unknown: int  # unknown tokens in them
    unknown_of: int  # tokens in them
    with_bytes: int  # rows with known tokens and bytes, that were not cut
    text_bytes: int  # in them
    bytes_of: int  # tokens in them

    @property
    def truncated_share(self) -> float:
        """Return the share of rows that were cut to the length limit; NaN for none."""
        return _ratio(self.truncated, self.rows)

    @property
    def empty_share(self) -> float:
        """Return the share of rows without a character; NaN where none is known."""
        return _ratio(self.empty, self.with_characters)

    @property
    def unknown_share(self) -> float:
        """Return the share of tokens that the vocabulary lacks; NaN where none is known."""
        return _ratio(self.unknown, self.unknown_of)

    @property
    def bytes_per_token(self) -> float:
        """Return bytes of UTF-8 per token, of rows that were not cut; NaN where none is known."""
        return _ratio(self.text_bytes, self.bytes_of)

    @property
    def replaced_share(self) -> float:
        """Return the share of characters that are U+FFFD; NaN where none is known."""
        return _ratio(self.replaced, self.replaced_of)

    @property
    def replaced_row_share(self) -> float:
        """Return the share of rows with a character U+FFFD; NaN where none is known."""
        return _ratio(self.replaced_rows, self.with_replaced)


# Each count is the sum, over the rows of the first name, of the second.
_SUMS: dict[str, tuple[str, str]] = {
    "rows": ("all", "one"),
    "truncated": ("truncated", "one"),
    "fingerprinted": ("fingerprinted", "one"),
    "with_characters": ("characters", "one"),
    "empty": ("empty", "one"),
    "characters": ("characters", "characters"),
    "with_replaced": ("replaced", "one"),
    "replaced_rows": ("any replaced", "one"),
    "replaced": ("replaced", "replaced"),
    "replaced_of": ("replaced", "characters"),
    "with_tokens": ("tokens", "one"),
    "tokens": ("tokens", "tokens"),
    "with_unknown": ("unknown", "one"),
    "unknown": ("unknown", "unknown"),
    "unknown_of": ("unknown", "tokens"),
    "with_bytes": ("whole bytes", "one"),
    "text_bytes": ("whole bytes", "text bytes"),
    "bytes_of": ("whole bytes", "tokens"),
}
_WHICH = (
    "all",
    "truncated",
    "fingerprinted",
    "characters",
    "empty",
    "replaced",
    "any replaced",
    "tokens",
    "unknown",
    "whole bytes",
)
_WHAT = ("one", "characters", "replaced", "tokens", "unknown", "text bytes")
_PICKED = np.array([_WHICH.index(a) * len(_WHAT) + _WHAT.index(b) for a, b in _SUMS.values()])
INPUT_COUNTS = len(_SUMS)


def count_inputs(rows: Rows) -> IntArray:
    """Return the sums over some rows, [18], in the order of `InputCounts`."""
    ones = np.ones(len(rows), dtype=np.int64)
    what = np.array(
        (ones, rows.characters, rows.replaced, rows.tokens, rows.unknown, rows.text_bytes)
    )
    known = what >= 0
    characters, tokens = known[1], known[3]
    replaced = known[2] & characters
    which = np.array(
        (
            known[0],
            rows.truncated,
            rows.fingerprint != 0,
            characters,
            rows.characters == 0,
            replaced,
            replaced & (rows.replaced > 0),
            tokens,
            known[4] & tokens,
            known[5] & tokens & ~rows.truncated,
        )
    )
    sums: IntArray = (which.astype(np.int64) @ what.T).ravel()[_PICKED]
    return sums


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else NAN
