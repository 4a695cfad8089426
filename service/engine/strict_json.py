"""JSON from strangers: no duplicate keys, no NaN, bounded in bytes, depth and digits."""

import json
import math

_DIGITS_MAX = 32


class UnreadableJson(ValueError):
    """The text is not JSON, or beyond what is read here; always translated by the caller."""


def parse(data: bytes, *, bytes_max: int, depth_max: int = 16) -> object:
    """Return the value of a UTF-8 JSON text.

    Stricter than `json` and `orjson`, both of which let the last of two equal keys win: raises
    `UnreadableJson` for duplicate keys, NaN and infinities (a number too large for a double among
    them), lone surrogates, integers of more than 32 digits, more than `depth_max` levels, and
    more than `bytes_max` bytes.
    """
    if len(data) > bytes_max:
        raise UnreadableJson(f"{len(data):,} bytes, the limit is {bytes_max:,}")
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short_integer,
        )
    except UnreadableJson:
        raise
    except RecursionError as error:
        raise UnreadableJson("nested too deeply") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are
        raise UnreadableJson(f"not JSON: {error}") from error
    _bound(value, depth_max)
    return value


def parse_object(data: bytes, *, bytes_max: int, depth_max: int = 16) -> dict[str, object]:
    """Return a JSON text's value as `parse` does, refusing what is no object."""
    value = parse(data, bytes_max=bytes_max, depth_max=depth_max)
    if not isinstance(value, dict):
        raise UnreadableJson("not a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise UnreadableJson(f"the key {key[:80]!r} occurs twice")
            seen.add(key)
    return found


def _no_constant(text: str) -> object:
    raise UnreadableJson(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnreadableJson(f"the number {text[:40]} is too large")
    return number


def _short_integer(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise UnreadableJson(f"an integer of {len(text)} digits")
    return int(text)


def _bound(value: object, depth_max: int) -> None:
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict | list):
            if depth > depth_max:
                raise UnreadableJson(f"nested deeper than {depth_max} levels")
            if isinstance(item, dict):
                pending.extend((part, depth + 1) for pair in item.items() for part in pair)
            else:
                pending.extend((part, depth + 1) for part in item)


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadableJson("a text with half of a surrogate pair") from error
