from pathlib import Path

import pytest

from service.tracing.headers import InvalidHeaders, read_headers


def test_headers_stand_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("# of the collector\n\nAuthorization: Bearer a:b c\n x-scope : one \n")
    assert read_headers(file) == {"authorization": "Bearer a:b c", "x-scope": "one"}


@pytest.mark.parametrize(
    "raw", [b"secret", b"x y: secret", b"x:", b"x: secret\x00", b"x: secret\xc3\xa4", b": secret"]
)
def test_what_is_no_header_is_refused_and_not_repeated(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "headers"
    file.write_bytes(raw)
    with pytest.raises(InvalidHeaders) as refused:
        read_headers(file)
    assert "secret" not in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidHeaders, match="headers cannot be read: No such file"):
        read_headers(tmp_path / "headers")


def test_a_file_has_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_bytes(b"#" * 70_000)
    with pytest.raises(InvalidHeaders, match="larger than"):
        read_headers(file)
