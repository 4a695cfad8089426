"""The texts of a distillation: `{"text": ..., "label": ...}` a line, the label optional.

Texts are held out by what they say and not by where they stand: a text falls to one side by a hash
of it with the seed. So the same text never lies on both sides, and lines that are added later move
no other.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import UnusableData
from service.engine.findings import shown
from service.engine.strict_json import UnreadableJson, parse_object

LINE_BYTES_MAX = 1 << 20
ROWS_MAX = 10_000_000
BYTES_MAX = 16 << 30

_FLAWS_MAX = 20  # a file with one flaw often has it in every row
_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Example:
    """A text, and the number of the class that is right for it, where that is known."""

    text: str
    label: int | None


@dataclass(frozen=True, slots=True)
class Split:
    """What is trained on, and what is measured on."""

    training: tuple[Example, ...]
    held_out: tuple[Example, ...]


def read_examples(path: Path, labels: Sequence[str]) -> list[Example]:
    """Return the examples of a file, in its order; empty lines are passed over.

    Raises `UnusableData` with every flaw (20 at most) by its line: what is no JSON object, has
    other keys, has an empty text, or a label that is none of the teacher's.
    """
    known = {label: number for number, label in enumerate(labels)}
    found: list[Example] = []
    flaws: list[str] = []
    for number, line in _lines(path):
        if len(found) == ROWS_MAX:
            raise UnusableData(f"{path} has more than {ROWS_MAX:,} rows")
        read = _example(line, known)
        if isinstance(read, Example):
            found.append(read)
            continue
        flaws.append(f"line {number}: {read}")
        if len(flaws) == _FLAWS_MAX:
            flaws.append("and so on: it was read no further")
            break
    if flaws:
        raise UnusableData(f"{path}: " + "; ".join(flaws))
    if not found:
        raise UnusableData(f'{path} has no rows; it holds one {{"text": ...}} a line')
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        if path.stat().st_size > BYTES_MAX:
            raise UnusableData(f"{path} has more than {BYTES_MAX:,} bytes")
        with path.open("rb") as file:
            number = 0
            # A line without an end is read no further than the longest that is taken.
            while line := file.readline(LINE_BYTES_MAX + 2):
                number += 1
                if len(line.rstrip(b"\r\n")) > LINE_BYTES_MAX:
                    raise UnusableData(
                        f"{path}: line {number}: has more than {LINE_BYTES_MAX:,} bytes"
                    )
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UnusableData(f"{path} cannot be read: {error.strerror}") from error


def _example(line: bytes, known: dict[str, int]) -> Example | str:
    """Return a line's example, or what is wrong with it."""
    try:
        row = parse_object(line, bytes_max=LINE_BYTES_MAX + 2, depth_max=3)
    except UnreadableJson as error:
        return f"cannot be read: {error}"
    others = set(row) - {"text", "label"}
    if "text" not in row or others:
        listed = shown(", ".join(row)) or "nothing"
        return f"must have text, and may have label; found {listed}"
    text, label = row["text"], row.get("label")
    if not isinstance(text, str) or not text.strip():
        return "text must be a text that is not empty"
    if label is None:
        return Example(text, None)
    if not isinstance(label, str) or label not in known:
        return f"label {shown(repr(label))} is none of the teacher's"
    return Example(text, known[label])


def split(examples: Sequence[Example], share: float, seed: int) -> Split:
    """Hold out about a `share` of the texts, the same ones for a seed.

    Raises `UnusableData` where one side would be empty.
    """
    bound = int(share * 2 ** (8 * _HASH_BYTES))
    training: list[Example] = []
    held_out: list[Example] = []
    for example in examples:
        (held_out if _position(example.text, seed) < bound else training).append(example)
    if not training or not held_out:
        raise UnusableData(
            f"{len(examples)} rows are too few to hold out a share of {share:g}: give more, or a"
            " file of their own with --held-out"
        )
    return Split(tuple(training), tuple(held_out))


def apart(examples: Sequence[Example], held_out: Sequence[Example]) -> Split:
    """Return the examples that no held-out text repeats, and the held-out ones.

    Raises `UnusableData` where none is left.
    """
    known = {example.text for example in held_out}
    training = tuple(example for example in examples if example.text not in known)
    if not training:
        raise UnusableData("every text is held out too, so there is none to train on")
    return Split(training, tuple(held_out))


def _position(text: str, seed: int) -> int:
    key = seed.to_bytes(8, "big", signed=True)
    found = hashlib.blake2b(text.encode("utf-8"), digest_size=_HASH_BYTES, key=key)
    return int.from_bytes(found.digest(), "big")
