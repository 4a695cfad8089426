from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.api.callers import ANONYMOUS, OPERATOR, Caller, KeyGate, OpenGate, gate_of
from service.credentials.admin_keys import AdminKeys
from service.credentials.scopes import SCOPES, Scope
from service.errors import (
    ForeignHost,
    InvalidSettings,
    NotAuthenticated,
    NotPermitted,
    UnknownTenant,
)
from service.registry.records import KeyRecord
from service.settings import read_settings

KEY = "correct-horse-battery-staple"
TENANT_KEY = "tk_0123456789abcdef_" + "A" * 43
LOCAL = {b"host": b"localhost:8000"}


def record(*scopes: Scope) -> KeyRecord:
    made = datetime(2025, 3, 31, tzinfo=UTC).isoformat()
    return KeyRecord("0123456789abcdef", "acme", frozenset(scopes), made, "admin")


def authenticate(key: str) -> KeyRecord | None:
    return record("predict") if key == TENANT_KEY else None


def no_key(_: str) -> None:
    """Stand for a registry where no tenant has a key."""


def bearer(key: str, scheme: str = "Bearer") -> Mapping[bytes, bytes]:
    return {b"authorization": f"{scheme} {key}".encode()}


def gate(*, key: str = KEY) -> KeyGate:
    return KeyGate(AdminKeys(key, None), authenticate)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_opens_whatever_the_scheme_s_case(scheme: str) -> None:
    caller = gate().admit(bearer(KEY, scheme))
    assert (caller.actor, caller.tenant) == ("admin", None)


def test_a_tenant_s_key_makes_a_caller_of_that_tenant() -> None:
    caller = gate().admit(bearer(TENANT_KEY))
    assert caller == Caller("key:0123456789abcdef@acme", "acme", frozenset({"predict"}))


REFUSED = [
    b"",
    b"Bearer",
    b"Bearer ",
    b"Bearer  \t ",
    KEY.encode(),
    f"Basic {KEY}".encode(),
    f"Bearer {KEY[:-1]}".encode(),
    f"Bearer {KEY}x".encode(),
    f"Bearer x{KEY}".encode(),
    f"Bearer {KEY} {KEY}".encode(),
    f"Bearer {KEY}, Bearer {KEY}".encode(),
    f"Bearer {TENANT_KEY[:-1]}".encode(),
    f"Bearer {TENANT_KEY}A".encode(),
    f"Bearer {TENANT_KEY.upper()}".encode(),
    f"Bearer {TENANT_KEY}\xff".encode("latin-1"),
    "Bearer schlüssel".encode(),
    b"Bearer \xff\xfe\x00",
]


@pytest.mark.parametrize("given", [None, *REFUSED])
def test_nothing_else_opens(given: bytes | None) -> None:
    headers = {} if given is None else {b"authorization": given}
    with pytest.raises(NotAuthenticated) as refused:
        gate().admit(headers)
    assert KEY not in str(refused.value)
    assert TENANT_KEY not in str(refused.value)


def test_every_refusal_of_a_key_has_the_same_words() -> None:
    told = set()
    for given in REFUSED:
        with pytest.raises(NotAuthenticated) as refused:
            gate().admit({b"authorization": given})
        told.add(str(refused.value))
    assert len(told) == 1


def test_a_key_that_is_not_ascii_is_never_looked_up() -> None:
    asked: list[str] = []

    def remember(key: str) -> None:
        asked.append(key)

    with pytest.raises(NotAuthenticated):
        KeyGate(AdminKeys(KEY, None), remember).admit({b"authorization": "Bearer clé".encode()})
    assert asked == []


def test_the_operator_may_do_everything_everywhere() -> None:
    for scope in SCOPES:
        OPERATOR.require(scope, "acme")
    OPERATOR.require_operator()
    assert OPERATOR.sees("acme")


def caller_with(*scopes: Scope) -> Caller:
    return Caller("key:1@acme", "acme", frozenset(scopes))


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        (("predict",), {"predict"}),
        (("publish",), {"publish"}),
        (("predict", "publish"), {"predict", "publish"}),
        (("admin",), {"predict", "publish", "admin"}),
    ],
)
def test_a_key_covers_its_scopes_and_admin_covers_all(
    held: tuple[Scope, ...], allowed: set[Scope]
) -> None:
    caller = caller_with(*held)
    for scope in SCOPES:
        if scope in allowed:
            caller.require(scope, "acme")
        else:
            with pytest.raises(NotPermitted, match=f"scope {scope}; this one has {held[0]}"):
                caller.require(scope, "acme")


@pytest.mark.parametrize("tenant", ["globex", "nobody", "", "ACME", "acme ", "x" * 200, "a'b"])
def test_another_tenant_is_not_there_whatever_the_scopes(tenant: str) -> None:
    for caller in (caller_with("admin"), caller_with("predict"), ANONYMOUS):
        if caller.tenant == tenant:
            continue
        assert not caller.sees(tenant)
        with pytest.raises(UnknownTenant) as refused:
            caller.require("admin", tenant)
        assert str(refused.value) == f"there is no tenant {tenant[:80]!r}"


def test_no_scope_of_a_tenant_makes_an_operator() -> None:
    for caller in (caller_with(*SCOPES), ANONYMOUS):
        with pytest.raises(NotPermitted, match="operator"):
            caller.require_operator()


@pytest.mark.parametrize(
    "host", [b"localhost", b"localhost:8000", b"LOCALHOST:1", b"127.0.0.1:8000", b"[::1]:8000"]
)
def test_an_open_server_answers_to_loopback_names(host: bytes) -> None:
    assert OpenGate(no_key).admit({b"host": host}) is OPERATOR


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
        OpenGate(no_key).admit({} if host is None else {b"host": host})


def test_an_open_server_takes_what_its_own_pages_send() -> None:
    OpenGate(no_key).admit({b"host": b"localhost:8000", b"origin": b"http://localhost:8000"})


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
        OpenGate(no_key).admit({b"host": b"localhost:8000", b"origin": origin})


def test_an_open_server_honours_a_tenant_s_key() -> None:
    caller = OpenGate(authenticate).admit({**LOCAL, **bearer(TENANT_KEY)})
    assert caller.tenant == "acme"


@pytest.mark.parametrize("given", REFUSED)
def test_an_open_server_refuses_a_wrong_key_rather_than_pass_over_it(given: bytes) -> None:
    with pytest.raises(NotAuthenticated):
        OpenGate(authenticate).admit({**LOCAL, b"authorization": given})


def test_a_key_does_not_open_an_open_server_from_elsewhere() -> None:
    with pytest.raises(ForeignHost):
        OpenGate(authenticate).admit({b"host": b"example.com", **bearer(TENANT_KEY)})


def test_the_settings_choose_the_gate(tmp_path: Path) -> None:
    assert isinstance(gate_of(read_settings(bundle="b", state="s"), authenticate), OpenGate)
    keyed = gate_of(read_settings(bundle="b", state="s", admin_key=KEY), authenticate)
    assert keyed.admit(bearer(KEY)).actor == "admin"
    assert keyed.admit(bearer(TENANT_KEY)).tenant == "acme"
    path = tmp_path / "keys"
    path.write_text("from-the-file\n")
    path.chmod(0o600)
    filed = gate_of(read_settings(bundle="b", state="s", admin_key_file=path), authenticate)
    assert filed.admit(bearer("from-the-file")).actor == "admin"
    with pytest.raises(NotAuthenticated):
        filed.admit(bearer(KEY))


def test_a_file_of_admin_keys_that_holds_none_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# nothing yet\n")
    settings = read_settings(bundle="b", state="s", admin_key_file=path)
    with pytest.raises(InvalidSettings, match="holds no key"):
        gate_of(settings, authenticate)
