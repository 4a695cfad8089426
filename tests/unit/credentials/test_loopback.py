import pytest

from service.credentials.loopback import foreign, is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_a_loopback_name_is_told_from_one_that_looks_like_it(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:1", b"127.0.0.1:8000", b"[::1]:8000"])
def test_a_request_to_a_loopback_name_was_meant_for_this_machine(host: bytes) -> None:
    assert foreign({b"host": host}) is None
    assert foreign({b"host": host, b"origin": b"http://" + host}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"host": b"example.com"},
        {b"host": b"127.0.0.1.example.com"},
        {b"host": b"localhost, example.com"},
        {b"host": b"[::2]:8000"},
    ],
)
def test_a_request_to_another_name_was_not(headers: dict[bytes, bytes]) -> None:
    refusal = foreign(headers)
    assert refusal is not None
    assert "localhost only" in refusal


@pytest.mark.parametrize("origin", [b"http://example.com", b"http://localhost:3000", b"null", b""])
def test_a_request_of_a_foreign_page_was_not(origin: bytes) -> None:
    refusal = foreign({b"host": b"localhost:8000", b"origin": origin})
    assert refusal is not None
    assert "own pages only" in refusal
