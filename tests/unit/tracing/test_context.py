import pytest

from service.tracing.context import (
    Incoming,
    new_span_id,
    new_trace_id,
    parse_traceparent,
    parse_tracestate,
    traceparent_of,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def test_what_a_caller_sends_is_read_with_its_state() -> None:
    header = f"00-{TRACE}-{PARENT}-01".encode()
    assert parse_traceparent(header, b"a=1") == Incoming(TRACE, PARENT, True, b"a=1")


def test_a_header_of_ours_reads_as_what_it_was_made_of() -> None:
    header = traceparent_of(TRACE, PARENT, sampled=False)
    assert parse_traceparent(header) == Incoming(TRACE, PARENT, False)


def test_new_ids_differ_and_have_their_length() -> None:
    assert {len(new_trace_id()) for _ in range(100)} == {32}
    assert len({new_span_id() for _ in range(100)}) == 100
    assert {len(new_span_id()) for _ in range(100)} == {16}


@pytest.mark.parametrize(
    ("header", "members"),
    [
        (b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", ["rojo", "congo"]),
        (b" rojo=1 ,\tcongo=2,,", ["rojo", "congo"]),
        (b"fw529a3039@dt=FfAAAA,a-b_c*d/e=x y", ["fw529a3039@dt", "a-b_c*d/e"]),
        (b"", []),
        (b"Rojo=1", []),
        (b"rojo", []),
        (b"rojo=", []),
        (b"rojo=a=b", []),
        (b"rojo=1,rojo=2", []),
        (b"rojo=\xff", []),
        (b"rojo=1\n", []),
        (b"rojo=" + b"x" * 508, []),
    ],
)
def test_a_state_is_taken_whole_or_not_at_all(header: bytes, members: list[str]) -> None:
    assert [name for name, _ in parse_tracestate(header)] == members


def test_a_state_has_at_most_32_members() -> None:
    state = ",".join(f"k{number}=v" for number in range(33))
    assert parse_tracestate(state.encode()) == []
    assert len(parse_tracestate(state.rpartition(",")[0].encode())) == 32
