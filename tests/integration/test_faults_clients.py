"""Clients that mean harm or are many: slow ones, bombs, ten thousand connections.

Over a fake batcher the same server is tried in `test_server.py`: clients that say nothing, bodies
and heads beyond their limits, bombs for predictions.
"""

import asyncio
import gzip
import io
import json
import resource
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from service.engine.bundle import Bundle
from tests.fakes.faults import (
    ADAPTER,
    TENANT,
    TEXT,
    Service,
    accepted,
    ask,
    id_of,
    label,
    publish,
    serving,
    upload,
)
from tests.fakes.patience import until

OTHER = "/v1/tenants/globex/adapters/mail"
MANY = 10_000
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.fixture(scope="module")
def impatient(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str, str]]:
    """A service of little patience and small limits, and keys of two tenants."""
    settings = {
        "head_timeout_s": 1.0,
        "body_timeout_s": 0.3,
        "max_body_bytes": 100_000,
        "bodies_bytes_max": 400_000,
        "max_upload_bytes": 16 << 20,
        "max_unpacked_bytes": 32 << 20,
        "uploads_max": 2,
    }
    state = tmp_path_factory.mktemp("impatient") / "state"
    with serving(bundle, state, settings=settings) as service, service.client() as client:
        publish(client, bundle)
        publish(client, bundle, 2, OTHER)
        keys = [
            client.post(f"{tenant}/keys", json={"scopes": ["predict", "publish"]}).json()["key"]
            for tenant in (TENANT, "/v1/tenants/globex")
        ]
        yield service, keys[0], keys[1]


def head_of(path: str, key: str, length: int, kind: str = "application/json") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def opened(stack: ExitStack, service: Service) -> socket.socket:
    return stack.enter_context(socket.create_connection(service.address, timeout=20))


def status_of(connection: socket.socket) -> int:
    """Return the status of the answer that is there, 0 where the connection was closed."""
    with suppress(ConnectionError):
        begun = connection.recv(65536)
        return int(begun.split(b" ", 2)[1]) if begun else 0
    return 0


def is_closed(connection: socket.socket) -> bool:
    """Say whether the other end has closed the connection, without waiting."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


# --- slow clients


@pytest.mark.parametrize(
    "begun",
    [b"POST ", head_of(f"{ADAPTER}/predict", "KEY", 50_000)],
    ids=["heads", "bodies"],
)
def test_a_hundred_clients_that_send_a_byte_now_and_then_are_closed_and_hold_up_nobody(
    impatient: tuple[Service, str, str], begun: bytes
) -> None:
    service, key, _ = impatient
    begun = begun.replace(b"KEY", key.encode())
    with ExitStack() as stack, service.client() as client:
        slow = [opened(stack, service) for _ in range(100)]
        for connection in slow:
            connection.sendall(begun)
        left = slow
        end = time.monotonic() + 20
        while left:
            assert time.monotonic() < end, f"{len(left)} of them are still open"
            assert ask(client, adapter=OTHER).status_code == 200
            for connection in left:
                with suppress(OSError):
                    connection.send(b"x")
            left = [connection for connection in left if not is_closed(connection)]
            time.sleep(0.05)


@contextmanager
def going_on(connections: Sequence[socket.socket]) -> Iterator[None]:
    """Send on all of them, just fast enough to be waited for."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            for connection in connections:
                with suppress(OSError):
                    connection.send(b" " * 100)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_bodies_that_one_tenant_leaves_unfinished_leave_room_for_another_one(
    impatient: tuple[Service, str, str],
) -> None:
    service, key, other_key = impatient
    with ExitStack() as stack, service.client(other_key) as client:
        unfinished = [opened(stack, service) for _ in range(8)]
        for connection in unfinished:
            connection.sendall(head_of(f"{ADAPTER}/predict", key, 90_000) + bytes(80_000))
        stack.enter_context(going_on(unfinished))
        statuses = [status_of(connection) for connection in unfinished[3:]]
        assert 429 in statuses, "no tenant may hold more than there is room left"
        assert set(statuses) <= {429, 0}
        large = {"inputs": [TEXT * 100] * 8}
        for _ in range(20):
            answer = client.post(f"{OTHER}/predict", json=large)
            assert answer.status_code == 200, answer.text


def test_uploads_that_one_tenant_leaves_unfinished_leave_a_place_for_another_one(
    bundle: Bundle, impatient: tuple[Service, str, str]
) -> None:
    service, key, other_key = impatient
    head = head_of(f"{ADAPTER}/versions", key, 90_000, "multipart/form-data; boundary=b")
    with ExitStack() as stack, service.client(other_key) as client:
        first, second = opened(stack, service), opened(stack, service)
        first.sendall(head + b"--b\r\nX-Slow: ")
        with going_on([first]):
            second.sendall(head)
            assert status_of(second) == 429
            assert upload(client, bundle, 3, OTHER).status_code == 201
            assert not is_closed(first)


def test_a_client_that_does_not_take_its_answers_is_cut_off(
    impatient: tuple[Service, str, str],
) -> None:
    service, _, _ = impatient
    before = service.open_files()
    with ExitStack() as stack, service.client() as client:
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
        deaf = [stack.enter_context(socket.socket()) for _ in range(20)]
        for connection in deaf:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(service.address)
            connection.sendall(asked)
        assert ask(client).status_code == 200
        until(lambda: service.open_files() <= before + 1)
        assert not [line for line in service.lines() if line["level"] == "error"]


# --- bombs


def test_bombs_for_the_upload_route_are_refused_and_nobody_else_notices(
    impatient: tuple[Service, str, str],
) -> None:
    service, _, _ = impatient
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("adapter_model.safetensors")
        member.size = 200 << 20
        tar.addfile(member, _Zeros())
    form = {"package": ("a.tar.gz", archive.getvalue())}
    folder = sorted(service.state.rglob("*"))
    peak = service.peak_bytes()
    with service.client() as client:
        bombs = [
            threading.Thread(target=client.post, args=(f"{ADAPTER}/versions",), kwargs=kwargs)
            for kwargs in (
                {"files": form, "data": {"metadata": "{}"}},
                {
                    "content": gzip.compress(bytes(200 << 20), 9),
                    "headers": {
                        "content-encoding": "gzip",
                        "content-type": "multipart/form-data; boundary=b",
                    },
                },
            )
        ]
        for bomb in bombs:
            bomb.start()
        while any(bomb.is_alive() for bomb in bombs):
            assert ask(client, adapter=OTHER).status_code == 200
        refused = client.post(f"{ADAPTER}/versions", files=form, data={"metadata": "{}"})
        assert refused.status_code == 422
        assert "larger" in refused.text or "unpack" in refused.text, refused.text
    assert service.peak_bytes() - peak < 100 << 20
    left = [path for path in sorted(service.state.rglob("*")) if path not in folder]
    assert all("events" in path.parts for path in left), left


class _Zeros(io.RawIOBase):
    """As many zeros as one likes."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


# --- very many connections


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """Let this process open so many files, or skip the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"the hard limit of open files is {hard}; {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Connections that are kept open, in this process."""

    def __init__(self, service: Service) -> None:
        self._address = service.address
        self.all: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def grow(self, count: int) -> None:
        at_once = asyncio.Semaphore(500)

        async def one() -> None:
            async with at_once:
                self.all.append(await asyncio.open_connection(*self._address))

        await asyncio.gather(*(one() for _ in range(count)))

    async def all_live(self) -> None:
        """Ask something on each connection."""
        for start in range(0, len(self.all), 500):
            some = self.all[start : start + 500]
            answers = await asyncio.gather(*(self._send(at, LIVE) for at in some))
            assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}

    async def ask(self, at: Sequence[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        """Ask for predictions."""
        body = json.dumps({"inputs": [TEXT]}).encode()
        head = (
            f"POST {ADAPTER}/predict HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answers = await asyncio.gather(*(self._send(one, head.encode() + body) for one in at))
        assert all(b'"label"' in answer for answer in answers)

    async def _send(
        self, at: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes
    ) -> bytes:
        reader, writer = at
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        [length] = [line for line in lines if line.startswith(b"content-length: ")]
        return head + await reader.readexactly(int(length.split()[1]))

    def leave(self) -> None:
        """Close everything at once, so that no port of this machine stays taken for a minute."""
        for _, writer in self.all:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


async def in_a_crowd(service: Service) -> float:
    """Try what is asked among very many connections; return the bytes that each of them takes."""
    crowd = Crowd(service)
    before = service.memory_bytes()
    try:
        await crowd.grow(MANY)
        await crowd.all_live()
        each = (service.memory_bytes() - before) / MANY
        await crowd.ask(crowd.all[:: MANY // 50])
        fresh = Crowd(service)
        await fresh.grow(10)
        await fresh.ask(fresh.all)
        fresh.leave()
        with service.client() as client:
            answer = await asyncio.to_thread(ask, client)
            assert await asyncio.to_thread(accepted_one, client, answer)
        assert service.open_files() >= MANY
    finally:
        crowd.leave()
    return each


def accepted_one(client: httpx.Client, answer: httpx.Response) -> bool:
    return accepted(label(client, id_of(answer))) == 1


def test_ten_thousand_connections_are_held_and_answered(
    bundle: Bundle, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with many_files(MANY + 500), serving(bundle, tmp_path / "state") as service:
        with service.client() as client:
            publish(client, bundle)
            idle = service.open_files()
            each = asyncio.run(in_a_crowd(service))
            record_property("bytes_a_connection", each)
            assert each < 40_000
            until(lambda: service.open_files() <= idle + 2)
            assert ask(client).status_code == 200
        assert service.stop() == 0


def test_beyond_what_the_system_allows_new_connections_are_refused_and_files_can_be_opened(
    bundle: Bundle, tmp_path: Path
) -> None:
    """256 files, of which 128 are kept for other things than connections."""
    few = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"]
    with serving(bundle, tmp_path / "state", prefix=few) as service, service.client() as client:
        assert any("ulimit -n" in line["message"] for line in service.lines())
        publish(client, bundle)
        idle = service.open_files()
        with ExitStack() as stack:
            crowd = [opened(stack, service) for _ in range(127)]
            until(lambda: service.open_files() == idle + 127)
            assert ask(client).status_code == 200
            # One more: it is told, unless it only wants to know whether the server lives.
            with service.client() as late:
                refused = ask(late)
                assert (refused.status_code, refused.json()["code"]) == (503, "queue-full")
                assert refused.headers["retry-after"]
                assert refused.headers["connection"] == "close"
                assert late.get("/livez").status_code == 200
                assert late.get("/metrics").status_code == 200
            # And very many more: those that cannot even be told are closed at once.
            surplus = [opened(stack, service) for _ in range(400)]
            until(lambda: sum(map(is_closed, surplus)) >= 300)
            until(lambda: service.open_files() < 256 - 40)
            before = service.cpu_s()
            time.sleep(1.0)
            assert service.cpu_s() - before < 0.5, "it does not spin"
            for seed in (2, 3):
                assert upload(client, bundle, seed).status_code == 201
                assert accepted_one(client, ask(client))
            until(lambda: all(map(is_closed, surplus)))
            assert not any(map(is_closed, crowd))
        until(lambda: service.open_files() <= idle + 2)
        with service.client() as late:
            assert ask(late).status_code == 200
        assert service.stop() == 0
