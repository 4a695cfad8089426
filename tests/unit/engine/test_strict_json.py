import pytest

from service.engine.strict_json import UnreadableJson, parse, parse_object


def test_plain_json_is_read() -> None:
    text = b'{"a": [1, -2.5, null, true, "\\u00e4", {"b": {}}]}'
    assert parse(text, bytes_max=100) == {"a": [1, -2.5, None, True, "ä", {"b": {}}]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b'{"x": [{"a": 1, "a": 2}]}', "'a' occurs twice"),
        (b"[NaN]", "NaN is not"),
        (b"[-Infinity]", "-Infinity is not"),
        (b"[1e400]", "too large"),
        (b"[" + b"1" * 5000 + b"]", "5000 digits"),
        (b"[" * 40 + b"]" * 40, "deeper than 16"),
        (b"[" * 100_000, "too deeply"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b"\xff\xfe[\x00]\x00", "not JSON"),  # UTF-16, which `json.loads` would guess
        (b'{"a": 1', "not JSON"),
        (b"", "not JSON"),
        (b" " * 200_001, "200,001 bytes"),
    ],
)
def test_what_could_be_read_in_two_ways_or_costs_too_much_is_refused(
    text: bytes, reason: str
) -> None:
    with pytest.raises(UnreadableJson, match=reason):
        parse(text, bytes_max=200_000)


def test_where_an_object_is_needed_nothing_else_is_taken() -> None:
    assert parse_object(b'{"a": 1}', bytes_max=10) == {"a": 1}
    with pytest.raises(UnreadableJson, match="not a JSON object"):
        parse_object(b"[1]", bytes_max=10)
