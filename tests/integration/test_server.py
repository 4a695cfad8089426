"""The server as a process: signals, connections that break, and what only real sockets show."""

import asyncio
import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PREDICT = "/v1/tenants/acme/adapters/support/predict"
FAST: dict[str, Any] = {"inputs": ["fast"]}


def slow(tenths: int) -> dict[str, Any]:
    """Return a request that the fake answers after so many tenths of a second."""
    return {"inputs": ["slow" + " x" * tenths]}


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    addresses: list[str]
    state: Path

    @property
    def url(self) -> str:
        return self.addresses[0]

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def log(self) -> list[dict[str, Any]]:
        """Wait for the end, and return the log's lines."""
        _, errors = self.process.communicate(timeout=20)
        return [json.loads(line) for line in errors.splitlines()]


@contextmanager
def running(state: Path, *settings: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.serving", str(state), *settings],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        made = Running(process, json.loads(said), state)
        assert httpx.get(made.url + "/livez").status_code == 200, "it answers, so it listens"
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A server that a test may end."""
    with running(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that takes small bodies, and goes on."""
    with running(tmp_path_factory.mktemp("small"), "max_body_bytes=100000") as made:
        yield made


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of half a second's patience."""
    settings = ("head_timeout_s=0.5", "body_timeout_s=0.5")
    with running(tmp_path_factory.mktemp("patient"), *settings) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that goes on."""
    with running(tmp_path_factory.mktemp("shared")) as made:
        yield made


def exchange(address: tuple[str, int], *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes as they are, and return everything that comes back until the end."""
    with socket.create_connection(address, timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def in_background(request: Any) -> tuple[threading.Thread, list[httpx.Response]]:
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(request()))
    thread.start()
    return thread, answers


# --- draining


def test_sigterm_answers_what_was_accepted_refuses_what_is_new_and_ends_with_0(
    server: Running,
) -> None:
    thread, answers = in_background(
        lambda: httpx.post(server.url + PREDICT, json=slow(10), timeout=10)
    )
    with httpx.Client(base_url=server.url) as client:
        assert client.post(PREDICT, json=FAST).status_code == 200
        time.sleep(0.2)
        server.signal(signal.SIGTERM)
        time.sleep(0.2)
        refused = client.post(PREDICT, json=FAST)
        assert (refused.status_code, refused.json()["code"]) == (503, "stopping")
        assert refused.headers["retry-after"] == "1"
    fresh = httpx.post(server.url + PREDICT, json=FAST)
    assert fresh.status_code == 503, "a new connection is told, too"
    assert httpx.get(server.url + "/readyz").status_code == 503
    assert httpx.get(server.url + "/livez").status_code == 200
    thread.join()
    assert [answer.status_code for answer in answers] == [200]
    assert server.process.wait(timeout=10) == 0
    assert [line["message"] for line in server.log()] == ["draining", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(server: Running, number: int) -> None:
    begun = time.monotonic()
    server.signal(number)
    assert server.process.wait(timeout=10) == 0
    assert time.monotonic() - begun < 2


def test_a_drain_ends_when_its_time_is_up_and_tells_who_still_waited(tmp_path: Path) -> None:
    with running(tmp_path, "drain_s=0.5") as server:
        thread, answers = in_background(
            lambda: httpx.post(server.url + PREDICT, json=slow(14), timeout=20)
        )
        time.sleep(0.3)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0
        assert 0.4 < time.monotonic() - begun < 6
        thread.join()
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (503, "stopping")
    ]


def test_a_second_signal_ends_the_process_at_once(server: Running) -> None:
    in_background(lambda: _ignore_errors(server.url + PREDICT, slow(14)))
    time.sleep(0.3)
    server.signal(signal.SIGTERM)
    time.sleep(0.3)
    server.signal(signal.SIGTERM)
    assert server.process.wait(timeout=5) == -signal.SIGTERM


def _ignore_errors(url: str, body: dict[str, Any]) -> httpx.Response:
    try:
        return httpx.post(url, json=body, timeout=20)
    except httpx.HTTPError:
        return httpx.Response(599)


# --- clients that leave


def test_the_work_of_a_client_that_left_is_dropped(shared: Running) -> None:
    body = json.dumps(slow(100)).encode()
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(shared.address) as connection:
        connection.sendall(head.encode() + body)
        time.sleep(0.3)
    end = time.monotonic() + 5
    while not (shared.state / "dropped").exists():
        assert time.monotonic() < end, "the job was not dropped"
        time.sleep(0.02)
    route = f'route="POST {PREDICT.replace("acme", "{tenant}").replace("support", "{adapter}")}"'
    metrics = httpx.get(shared.url + "/metrics").text
    assert f'tenantry_requests_total{{{route},status="left"}} 1.0' in metrics


def test_a_client_that_leaves_is_no_error_in_the_log(server: Running) -> None:
    with socket.create_connection(server.address) as connection:
        connection.sendall(
            f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n".encode()
        )
        time.sleep(0.1)
    time.sleep(0.1)
    server.signal(signal.SIGTERM)
    assert [line["level"] for line in server.log()] == ["info", "info"]


# --- bodies


def test_a_declared_length_beyond_the_limit_is_answered_before_the_body_comes(
    shared: Running,
) -> None:
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Length: {1 << 40}\r\n\r\n"
    )
    with socket.create_connection(shared.address, timeout=10) as connection:
        begun = time.monotonic()
        connection.sendall(head.encode())
        answer = connection.recv(65536)
        assert time.monotonic() - begun < 1
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("ended", [True, False])
def test_a_chunked_body_is_stopped_at_the_limit_and_its_sender_told(
    small: Running, *, ended: bool
) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    ending = b"0\r\n\r\n" if ended else b""
    answer = exchange(small.address, head.encode(), *[chunk] * 20, ending, pause_s=0.01)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body-too-large"' in answer


def test_a_refused_body_does_not_break_the_connection(small: Running) -> None:
    with httpx.Client(base_url=small.url) as client:
        for _ in range(3):
            refused = client.post(PREDICT, content=b"x" * 1_000_000)
            assert refused.status_code == 413
            assert client.post(PREDICT, json=FAST).status_code == 200


def test_a_chunked_body_within_the_limit_is_taken(shared: Running) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"inputs": '
        yield b'["in pieces"]}'

    headers = {"content-type": "application/json"}
    answer = httpx.post(shared.url + PREDICT, content=pieces(), headers=headers)
    assert answer.status_code == 200


def test_a_bomb_is_refused_and_the_server_stays_small(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 30), compresslevel=9)
    with running(tmp_path) as server:
        before = _memory_bytes(server)
        for _ in range(3):
            answer = httpx.post(
                server.url + PREDICT, content=bomb, headers={"content-encoding": "gzip"}
            )
            assert answer.status_code == 413
        assert _memory_bytes(server) - before < 100 << 20


def _memory_bytes(server: Running) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


# --- heads and connections


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * (1 << 20),
        b"GET /" + b"x" * (1 << 20),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: x\r\n" * 100_000,
    ],
    ids=["one long header", "a long path", "many headers"],
)
def test_a_head_beyond_all_measure_is_refused(shared: Running, head: bytes) -> None:
    with socket.create_connection(shared.address, timeout=10) as connection:
        answer = b""
        try:
            for start in range(0, len(head), 16384):
                connection.sendall(head[start : start + 16384])
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionError:
            pass  # closed while we still sent
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert httpx.get(shared.url + "/livez").status_code == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /livez HTTP/1.1\r\nHost: lo",
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n".encode(),
        f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{{".encode(),
    ],
    ids=["nothing", "half a head", "no body", "half a body"],
)
def test_a_client_that_takes_its_time_loses_its_connection(patient: Running, begun: bytes) -> None:
    started = time.monotonic()
    with socket.create_connection(patient.address, timeout=10) as connection:
        connection.sendall(begun)
        assert connection.recv(65536) == b""
    assert 0.4 < time.monotonic() - started < 3


def test_a_client_that_is_slow_but_goes_on_is_waited_for(patient: Running) -> None:
    def pieces() -> Iterator[bytes]:
        for piece in (b'{"inputs":', b' ["in', b' pieces"', b"]}"):
            time.sleep(0.3)
            yield piece

    headers = {"content-type": "application/json"}
    answer = httpx.post(patient.url + PREDICT, content=pieces(), headers=headers)
    assert answer.status_code == 200


def test_a_client_that_waits_for_its_answer_is_not_hurried(patient: Running) -> None:
    assert httpx.post(patient.url + PREDICT, json=slow(12)).status_code == 200


def test_what_is_no_http_is_a_problem_too(shared: Running) -> None:
    answer = exchange(shared.address, b"HELLO\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert b"x-request-id" in head
    assert json.loads(body)["code"] == "malformed"


def test_requests_on_one_connection_are_answered_in_their_order(shared: Running) -> None:
    def request(body: dict[str, Any], *, close: bool = False) -> bytes:
        data = json.dumps(body).encode()
        ending = "Connection: close\r\n" if close else ""
        head = (
            f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"{ending}Content-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    sent = request(slow(3)) + request({}) + request(FAST, close=True)
    answer = exchange(shared.address, sent)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"422", b"200"]


def test_the_server_does_not_name_itself(shared: Running) -> None:
    assert "server" not in httpx.get(shared.url + "/livez").headers


# --- the operator's port


def test_the_operator_s_port_is_a_socket_of_its_own(tmp_path: Path) -> None:
    key = "correct-horse-battery-staple"
    with running(tmp_path, "operator_port=0", f"admin_key={key}") as server:
        public, operator = server.addresses
        assert httpx.get(operator + "/metrics").status_code == 200
        assert httpx.get(operator + "/v1/tenants").status_code == 404
        assert httpx.get(public + "/metrics").status_code == 401
        headers = {"authorization": f"Bearer {key}"}
        assert httpx.get(public + "/metrics", headers=headers).status_code == 200


# --- many at once


@pytest.mark.anyio
async def test_many_clients_at_once_each_get_their_own_answer(shared: Running) -> None:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=shared.url, limits=limits) as client:
        alone = {
            text: (await client.post(PREDICT, json={"inputs": [text]})).json()["predictions"][0]
            for text in (f"text {number}" for number in range(20))
        }
        answers = await asyncio.gather(
            *(client.post(PREDICT, json={"inputs": [text]}) for text in list(alone) * 10)
        )
    for text, answer in zip(list(alone) * 10, answers, strict=True):
        assert answer.json()["predictions"][0]["scores"] == alone[text]["scores"]
