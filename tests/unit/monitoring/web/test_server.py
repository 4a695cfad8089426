"""The server: where it listens, and that it begins and ends."""

import socket

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from monitoring.errors import InvalidMonitorSettings
from monitoring.web.server import WebServer, listen


async def hello(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_it_answers_from_start_to_stop() -> None:
    server = WebServer(hello, listen("127.0.0.1", 0, keyed=False))
    server.start()
    assert httpx.get(server.address).text == "hello"
    answering = server.alive
    server.stop()
    assert (answering, server.alive) == (True, False)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.address)


def test_it_survives_what_is_no_http() -> None:
    server = WebServer(hello, listen("127.0.0.1", 0, keyed=False))
    server.start()
    host, _, port = server.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 this is no request\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert httpx.get(server.address).text == "hello"
    server.stop()


def test_a_request_that_does_not_come_is_not_waited_for() -> None:
    server = WebServer(hello, listen("127.0.0.1", 0, keyed=False), head_timeout_s=0.2)
    server.start()
    host, _, port = server.address.removeprefix("http://").partition(":")
    for sent in (b"", b"GET / HTTP/1.1\r\nhost: x\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
            assert connection.recv(100) == b"", "it is closed without an answer"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HTTP/1.1\r\n")
        rest = b"".join(iter(lambda: connection.recv(1000), b""))
        assert b"HTTP/1.1" not in rest
    server.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "monitor.example"])
def test_without_an_admin_key_only_loopback_addresses_will_do(host: str) -> None:
    with pytest.raises(InvalidMonitorSettings, match="TENANTRY_ADMIN_KEY"):
        listen(host, 0, keyed=False)


def test_a_port_that_is_taken_is_told_with_its_setting() -> None:
    with listen("127.0.0.1", 0, keyed=False) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidMonitorSettings, match="TENANTRY_MONITOR_PORT"):
            listen("127.0.0.1", port, keyed=True)
