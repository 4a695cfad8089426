import re

import pytest
from starlette.types import Scope

from service.api.call import Call, begin_call, call_of
from service.api.callers import Caller
from service.errors import MalformedRequest
from tests.fakes.asgi import call_with

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def begin(*headers: tuple[bytes, bytes]) -> Call:
    scope: Scope = {"type": "http", "headers": list(headers)}
    call = begin_call(scope)
    assert call_of(scope) is call
    return call


def answered(call: Call) -> dict[bytes, bytes]:
    return dict(call.answer_headers)


@pytest.mark.parametrize("given", [b"req-1", b"a" * 128, b"Root=1-67:ab/c+d@e~f._"])
def test_a_short_plain_request_id_is_kept(given: bytes) -> None:
    call = begin((b"x-request-id", given))
    assert call.request_id == given.decode()
    assert answered(call)[b"x-request-id"] == given


@pytest.mark.parametrize(
    "given", [b"", b"a" * 129, b"two words", b"<script>", b"a\nb", b"\xff", b'a"b', b"{}"]
)
def test_any_other_request_id_is_replaced(given: bytes) -> None:
    call = begin((b"x-request-id", given))
    assert re.fullmatch("[0-9a-f]{24}", call.request_id)


def test_new_request_ids_differ() -> None:
    assert len({begin().request_id for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("version", "flags", "more", "sampled"),
    [
        ("00", "01", "", "01"),
        ("00", "00", "", "00"),
        ("00", "ff", "", "01"),
        ("7f", "03", "-x", "01"),
    ],
)
def test_a_trace_is_continued_with_a_new_span(
    version: str, flags: str, more: str, sampled: str
) -> None:
    call = begin((b"traceparent", f"{version}-{TRACE}-{PARENT}-{flags}{more}".encode()))
    assert call.trace_id == TRACE
    form = re.fullmatch(
        f"00-{TRACE}-([0-9a-f]{{16}})-{sampled}", answered(call)[b"traceparent"].decode()
    )
    assert form
    assert form[1] not in (PARENT, "0" * 16)


@pytest.mark.parametrize(
    "given",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_an_invalid_trace_is_ignored(given: str) -> None:
    call = begin((b"traceparent", given.encode()))
    assert call.trace_id is None
    assert b"traceparent" not in answered(call)


def test_the_deadline_is_the_services_own_unless_the_caller_wants_a_nearer_one() -> None:
    assert call_with().deadline_s(60.0) == 160.0
    assert call_with([(b"x-timeout-ms", b"1500")]).deadline_s(60.0) == 101.5
    assert call_with([(b"x-timeout-ms", b"999999999")]).deadline_s(60.0) == 160.0


@pytest.mark.parametrize("given", [b"0", b"-1", b"1.5", b"soon", b"", b"9" * 16, b"000"])
def test_a_deadline_that_is_no_positive_number_is_refused(given: bytes) -> None:
    with pytest.raises(MalformedRequest, match="X-Timeout-Ms"):
        call_with([(b"x-timeout-ms", given)]).deadline_s(60.0)


def test_a_header_that_comes_twice_is_a_list_which_no_single_value_is_read_from() -> None:
    call = begin(
        (b"authorization", b"Bearer one"),
        (b"host", b"localhost"),
        (b"authorization", b"Bearer two"),
        (b"x-timeout-ms", b"10"),
        (b"x-timeout-ms", b"20"),
        (b"x-request-id", b"a"),
        (b"x-request-id", b"b"),
    )
    assert call.headers[b"authorization"] == b"Bearer one, Bearer two"
    assert call.headers[b"host"] == b"localhost"
    assert re.fullmatch("[0-9a-f]{24}", call.request_id)
    with pytest.raises(MalformedRequest):
        call.deadline_s(60.0)


def test_who_was_let_in_is_who_the_audit_trail_names() -> None:
    call = begin()
    call.caller = Caller("key:1@acme", "acme", frozenset({"predict"}))
    assert call.admitted is call.caller
    assert call.actor == "key:1@acme"
