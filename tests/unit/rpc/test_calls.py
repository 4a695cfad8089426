import asyncio

import pytest

from service.api.callers import OpenGate
from service.errors import MalformedRequest
from service.rpc.calls import OneMessage, call_of_metadata

pytestmark = pytest.mark.anyio


def test_metadata_becomes_headers_but_for_what_would_mean_something_else() -> None:
    call = call_of_metadata(
        [
            ("Authorization", "Bearer k"),
            ("x-request-id", "mine"),
            ("grpc-trace-bin", b"\x00\x01"),
            ("content-encoding", "gzip"),
            ("content-length", "9"),
            ("host", "evil.example"),
            ("origin", "https://evil.example"),
        ],
        None,
    )
    assert call.headers == {
        b"host": b"localhost",
        b"authorization": b"Bearer k",
        b"x-request-id": b"mine",
    }
    assert call.request_id == "mine"
    assert (b"x-request-id", b"mine") in call.answer_headers


def test_a_repeated_key_is_no_key() -> None:
    call = call_of_metadata([("authorization", "Bearer a"), ("authorization", "Bearer b")], None)
    assert call.headers[b"authorization"] == b"Bearer a, Bearer b"


def test_an_open_server_takes_a_call_as_one_that_was_meant_for_it() -> None:
    assert OpenGate(lambda _: None).admit(call_of_metadata([], None).headers).actor == "operator"


@pytest.mark.parametrize(
    ("given", "left_s", "timeout"),
    [
        (None, None, None),
        (None, 2.5, b"2500"),
        (None, 0.0, b"1"),
        (None, 1e30, b"1000000000000"),
        ("700", 2.5, b"700"),
        ("7000", 2.5, b"2500"),
        ("soon", 2.5, b"soon"),
    ],
)
def test_the_shorter_of_two_deadlines_holds(
    given: str | None, left_s: float | None, timeout: bytes | None
) -> None:
    metadata = [] if given is None else [("x-timeout-ms", given)]
    call = call_of_metadata(metadata, left_s)
    assert call.headers.get(b"x-timeout-ms") == timeout
    if timeout == b"soon":
        with pytest.raises(MalformedRequest):
            call.deadline_s(60)


async def test_a_message_comes_once_and_then_nothing() -> None:
    receive = OneMessage(b"abc")
    assert await receive() == {"type": "http.request", "body": b"abc", "more_body": False}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(), 0.05)
