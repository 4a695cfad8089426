import pytest

from service.api.callers import KeyGate, OpenGate, gate_of
from service.errors import ForeignHost, NotAuthenticated
from service.settings import read_settings

KEY = "correct-horse-battery-staple"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_opens_whatever_the_scheme_s_case(scheme: str) -> None:
    assert KeyGate(KEY).admit({b"authorization": f"{scheme} {KEY}".encode()}).actor == "admin"


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        KEY.encode(),
        f"Basic {KEY}".encode(),
        f"Bearer {KEY[:-1]}".encode(),
        f"Bearer {KEY}x".encode(),
        f"Bearer x{KEY}".encode(),
        "Bearer schlüssel".encode(),
    ],
)
def test_nothing_else_opens(given: bytes | None) -> None:
    headers = {} if given is None else {b"authorization": given}
    with pytest.raises(NotAuthenticated) as refused:
        KeyGate(KEY).admit(headers)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "host", [b"localhost", b"localhost:8000", b"LOCALHOST:1", b"127.0.0.1:8000", b"[::1]:8000"]
)
def test_an_open_server_answers_to_loopback_names(host: bytes) -> None:
    assert OpenGate().admit({b"host": host}).actor == "operator"


@pytest.mark.parametrize(
    "host",
    [
        None,
        b"",
        b"example.com",
        b"example.com:8000",
        b"localhost.example.com",
        b"127.0.0.1.example.com",
        b"10.0.0.1:8000",
        b"[::2]:8000",
        b"localhost@example.com",
    ],
)
def test_an_open_server_answers_to_no_other_name(host: bytes | None) -> None:
    with pytest.raises(ForeignHost):
        OpenGate().admit({} if host is None else {b"host": host})


def test_an_open_server_takes_what_its_own_pages_send() -> None:
    OpenGate().admit({b"host": b"localhost:8000", b"origin": b"http://localhost:8000"})


@pytest.mark.parametrize(
    "origin",
    [
        b"http://example.com",
        b"http://localhost:3000",
        b"http://localhost:8000.example.com",
        b"null",
        b"",
        b"http://[",
    ],
)
def test_an_open_server_takes_nothing_from_other_pages(origin: bytes) -> None:
    with pytest.raises(ForeignHost):
        OpenGate().admit({b"host": b"localhost:8000", b"origin": origin})


def test_the_settings_choose_the_gate() -> None:
    assert isinstance(gate_of(read_settings(bundle="b", state="s")), OpenGate)
    keyed = gate_of(read_settings(bundle="b", state="s", admin_key=KEY))
    assert keyed.admit({b"authorization": f"Bearer {KEY}".encode()}).actor == "admin"
