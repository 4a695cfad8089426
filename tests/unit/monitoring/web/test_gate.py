from pathlib import Path

import pytest

from monitoring.errors import InvalidMonitorSettings, UnknownWatched
from monitoring.web.gate import OPERATOR, Caller, KeyGate, OpenGate, gate_of
from monitoring.web.problems import ForeignHost, NotAuthenticated, NotPermitted

ADMIN = "correct-horse-battery-staple"
TENANT = b"the key of acme"
LOCAL = {b"host": b"localhost:8001"}


class Keys:
    def tenant_of(self, key: bytes) -> str | None:
        return "acme" if key == TENANT else None


def bearer(key: bytes) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key}


def test_the_admin_key_opens_everything() -> None:
    caller = gate_of(ADMIN, None, Keys()).admit(bearer(ADMIN.encode()))
    assert caller is OPERATOR
    caller.require_operator()
    caller.require_sight("anyone")


def test_a_tenant_s_key_opens_that_tenant() -> None:
    caller = gate_of(ADMIN, None, Keys()).admit(bearer(TENANT))
    assert caller == Caller("acme")
    caller.require_sight("acme")
    with pytest.raises(UnknownWatched, match="'globex'"):
        caller.require_sight("globex")
    with pytest.raises(NotPermitted):
        caller.require_operator()


@pytest.mark.parametrize(
    "headers", [{}, bearer(b"wrong"), bearer(b""), {b"authorization": b"Basic " + TENANT}, LOCAL]
)
def test_nobody_else_comes_in_where_there_is_an_admin_key(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(NotAuthenticated):
        gate_of(ADMIN, None, Keys()).admit(headers)


def test_an_open_sidecar_takes_who_calls_it_on_this_machine_for_the_operator() -> None:
    gate = gate_of(None, None, Keys())
    assert isinstance(gate, OpenGate)
    assert gate.admit(LOCAL) is OPERATOR
    assert gate.admit({b"host": b"[::1]:8001"}) is OPERATOR


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"host": b"monitor.example"},
        LOCAL | {b"origin": b"http://evil.example"},
        LOCAL | {b"origin": b"null"},
        {b"host": b"localhost, evil.example"},
    ],
)
def test_an_open_sidecar_answers_nobody_else(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(ForeignHost):
        gate_of(None, None, Keys()).admit(headers)


def test_who_shows_a_key_to_an_open_sidecar_is_who_the_key_says() -> None:
    gate = gate_of(None, None, Keys())
    assert gate.admit(LOCAL | bearer(TENANT)) == Caller("acme")
    with pytest.raises(NotAuthenticated):
        gate.admit(LOCAL | bearer(b"wrong"))


def test_a_file_of_admin_keys_is_a_key_too(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# for the operator\n{ADMIN}\n")
    path.chmod(0o600)
    gate = gate_of(None, path, Keys())
    assert isinstance(gate, KeyGate)
    assert gate.admit(bearer(ADMIN.encode())) is OPERATOR


def test_a_file_of_admin_keys_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidMonitorSettings, match="cannot be read"):
        gate_of(None, tmp_path / "missing", Keys())
