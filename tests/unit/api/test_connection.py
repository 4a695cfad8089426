"""Patience and numbers of connections, on a clock that is moved by hand."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.api.connection import SURPLUS, Connection

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


class Timer:
    def __init__(self, at_s: float, call: Callable[[], object]) -> None:
        self.at_s = at_s
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """The little of an event loop that a connection needs."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[Timer] = []
        self.tasks: list[Coroutine[Any, Any, None]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[..., object], *args: object) -> Timer:
        timer = Timer(self.now_s + delay_s, lambda: call(*args))
        self.timers.append(timer)
        return timer

    def create_task(self, work: Coroutine[Any, Any, None], **_: object) -> "asyncio.Future[None]":
        self.tasks.append(work)
        return asyncio.Future()

    def pass_s(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := [one for one in self.timers if not one.cancelled and one.at_s <= end_s]:
            first = min(due, key=lambda one: one.at_s)
            self.timers.remove(first)
            self.now_s = first.at_s
            first.call()
        self.now_s = end_s


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0  # bytes that the client did not take
        self._end: str | None = None

    def ended(self) -> str | None:
        return self._end

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self._end is not None

    def close(self) -> None:
        self._end = self._end or "closed"

    def abort(self) -> None:
        self._end = "aborted"

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    status = 503 if SURPLUS in scope else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Few(Connection):
    head_timeout_s = 20.0
    body_timeout_s = 30.0
    connections_max = 2
    surplus_max = 1


class Server:
    """Whose connections are made by hand."""

    def __init__(self) -> None:
        self.loop = Loop()
        self._config = uvicorn.Config(app, http=Few, log_config=None)
        self._state = ServerState()

    def connect(self) -> tuple[Few, Transport]:
        made = Few(self._config, self._state, {}, _loop=self.loop)
        transport = Transport()
        made.connection_made(transport)
        return made, transport


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Server:
    return Server()


pytestmark = pytest.mark.anyio


async def test_a_body_whose_next_piece_does_not_come_ends_the_connection(server: Server) -> None:
    connection, transport = server.connect()
    connection.data_received(HEAD)
    server.loop.pass_s(29)
    connection.data_received(b"x")
    server.loop.pass_s(29)
    assert transport.ended() is None
    server.loop.pass_s(2)
    assert transport.ended() == "closed"
    for work in server.loop.tasks:
        work.close()


@pytest.mark.parametrize(("piece", "lasts"), [(b"x" * 1000, False), (b"x" * 30_000, True)])
async def test_a_body_may_be_slow_for_ten_times_that_and_must_then_have_a_pace(
    server: Server, piece: bytes, lasts: bool
) -> None:
    connection, transport = server.connect()
    connection.data_received(HEAD)
    for _ in range(14):
        server.loop.pass_s(20)
        connection.flow.resume_reading()
        connection.data_received(piece)
    assert transport.ended() is None, "280 seconds"
    for _ in range(3):
        if transport.ended() is None:
            server.loop.pass_s(20)
            connection.flow.resume_reading()
            connection.data_received(piece)
    assert (transport.ended() is None) == lasts
    for work in server.loop.tasks:
        work.close()


async def test_while_we_do_not_read_nobody_is_slow(server: Server) -> None:
    connection, transport = server.connect()
    connection.data_received(HEAD)
    for _ in range(40):
        connection.flow.pause_reading()
        server.loop.pass_s(29)
        connection.data_received(b"x")
    assert transport.ended() is None
    for work in server.loop.tasks:
        work.close()


async def test_an_answer_that_is_not_taken_ends_the_connection_without_waiting_for_it(
    server: Server,
) -> None:
    connection, transport = server.connect()
    connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    transport.waiting = 10_000_000
    connection.pause_writing()
    for left in (9_000_000, 8_000_000, 7_000_000):  # slowly, but it goes on
        transport.waiting = left
        server.loop.pass_s(30)
    assert transport.ended() is None
    server.loop.pass_s(30)
    assert transport.ended() == "aborted"
    for work in server.loop.tasks:
        work.close()


async def test_an_answer_that_is_taken_at_last_ends_the_watch(server: Server) -> None:
    connection, transport = server.connect()
    transport.waiting = 1_000_000
    connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection.pause_writing()
    server.loop.pass_s(29)
    connection.resume_writing()
    server.loop.pass_s(100)
    assert transport.ended() is None
    for work in server.loop.tasks:
        work.close()


async def test_what_is_left_of_an_answer_keeps_no_idle_connection_open(server: Server) -> None:
    connection, transport = server.connect()
    transport.waiting = 10_000  # too little for `pause_writing`
    connection.timeout_keep_alive_handler()
    assert transport.ended() == "closed"
    server.loop.pass_s(31)
    assert transport.ended() == "aborted"


async def test_of_several_requests_on_a_lost_connection_each_is_told(server: Server) -> None:
    connection, _ = server.connect()
    connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
    [first] = server.loop.tasks
    connection.connection_lost(None)
    await first  # an answer that could not be sent would be an error
    assert connection.cycle.disconnected


class Wire(Transport):
    """A transport that takes what is written, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        assert self._end is None, "nothing is written behind the end"
        self.written += bytes(data)


async def test_beyond_the_limit_a_connection_is_good_for_one_request_and_then_none(
    server: Server,
) -> None:
    for _ in range(2):
        connection, transport = server.connect()
        assert transport.ended() is None
    connection, _ = server.connect()
    wire = Wire()
    connection.transport = wire
    connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    [answer] = server.loop.tasks
    await answer
    assert wire.written.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close\r\n" in wire.written
    assert wire.ended() == "closed"
    _, refused = server.connect()
    assert refused.ended() == "aborted"


async def test_a_connection_beyond_the_limit_must_say_soon_what_it_wants(server: Server) -> None:
    server.connect()
    _, usual = server.connect()
    _, surplus = server.connect()
    server.loop.pass_s(3)
    assert (usual.ended(), surplus.ended()) == (None, "closed")
