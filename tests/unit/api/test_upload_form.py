import io

import pytest

from service.api.upload_form import UploadForm
from service.engine.errors import InvalidAdapter
from service.errors import MalformedRequest, WrongMediaType

BOUNDARY = b"----boundary"
TYPE = b"multipart/form-data; boundary=" + BOUNDARY


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    ending = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="{name}"{ending}\r\n\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + data + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"
PACKAGE = bytes(range(256)) * 40 + b"\r\n--" + BOUNDARY[:5]
GOOD = part("package", PACKAGE, "a.zip") + part("metadata", b'{"labels": []}') + END


def take(body: bytes, size: int, metadata_bytes_max: int = 100) -> tuple[bytes, bytes]:
    file = io.BytesIO()
    form = UploadForm(TYPE, file, metadata_bytes_max)
    for start in range(0, len(body), size):
        form.write(body[start : start + size])
    return form.finish(), file.getvalue()


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_both_parts_are_taken_however_the_body_is_cut(size: int) -> None:
    assert take(GOOD, size) == (b'{"labels": []}', PACKAGE)


def test_the_metadata_may_be_a_file_and_come_first() -> None:
    body = part("metadata", b"{}", "metadata.json") + part("package", b"zip", "a.zip") + END
    assert take(body, 100) == (b"{}", b"zip")


@pytest.mark.parametrize(
    "kind",
    [b"", b"application/json", b"multipart/form-data", b"multipart/mixed; boundary=x", b"\xff"],
)
def test_another_type_is_refused(kind: bytes) -> None:
    with pytest.raises(WrongMediaType, match="multipart/form-data"):
        UploadForm(kind, io.BytesIO(), 100)


def test_missing_parts_are_named_together() -> None:
    with pytest.raises(InvalidAdapter) as refused:
        take(END, 100)
    assert [problem.where for problem in refused.value.problems] == ["package", "metadata"]
    with pytest.raises(InvalidAdapter) as refused:
        take(part("package", b"zip") + END, 100)
    assert [problem.where for problem in refused.value.problems] == ["metadata"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "cut off"),
        (GOOD[: -len(END)], "cut off"),
        (GOOD[:100], "cut off"),
        (b"no form at all", "cannot be read"),
        (part("package", b"a") + part("package", b"b") + END, "twice"),
        (part("other", b"a") + END, "'other'"),
        (b"--" + BOUNDARY + b"\r\nA: b\r\n\r\nx\r\n" + END, "''"),
        (b"--" + BOUNDARY + b"\r\n" + b"A: " + b"b" * 100_000 + b"\r\n", "cannot be read"),
    ],
)
def test_a_form_that_cannot_be_is_refused(body: bytes, what: str) -> None:
    with pytest.raises(MalformedRequest, match=what):
        take(body, 50)


def test_metadata_is_never_held_beyond_its_limit() -> None:
    body = part("metadata", b"x" * 101) + part("package", b"zip") + END
    with pytest.raises(InvalidAdapter, match="100 bytes"):
        take(body, 10)


def test_a_boundary_beyond_all_measure_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="boundary"):
        UploadForm(b"multipart/form-data; boundary=" + b"x" * 1000, io.BytesIO(), 100)
