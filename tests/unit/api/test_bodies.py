import gzip
import zlib
from collections.abc import Sequence

import pytest

from service.api.bodies import Bodies
from service.api.call import Call, ClientLeft
from service.api.callers import Caller
from service.errors import (
    BodyTooLarge,
    MalformedRequest,
    QueueFull,
    TenantLimited,
    WrongMediaType,
)
from tests.fakes.asgi import FakeReceive, call_with

pytestmark = pytest.mark.anyio

LIMIT = 1000
GZIP = [(b"content-encoding", b"gzip")]


def bodies(bytes_max: int = 10_000) -> Bodies:
    return Bodies(bytes_max)


async def read(
    pieces: Sequence[bytes], headers: Sequence[tuple[bytes, bytes]] = (), limit: int = LIMIT
) -> bytes:
    return await bodies().read(call_with(headers), FakeReceive(pieces), limit)


async def test_a_body_is_read_whole_from_its_pieces() -> None:
    assert await read([b"one"]) == b"one"
    assert await read([b"one", b"", b"two"]) == b"onetwo"
    assert await read([b""]) == b""


async def test_a_declared_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    receive = FakeReceive([b"x"])
    with pytest.raises(BodyTooLarge, match="1000"):
        await bodies().read(call_with([(b"content-length", b"1001")]), receive, LIMIT)
    assert receive.calls == 0


async def test_a_length_that_is_no_number_is_refused() -> None:
    with pytest.raises(MalformedRequest):
        await read([b"x"], [(b"content-length", b"-1")])


@pytest.mark.parametrize("pieces", [[b"x" * 1001], [b"x" * 600, b"x" * 401]])
async def test_bytes_are_counted_whatever_was_declared(pieces: list[bytes]) -> None:
    with pytest.raises(BodyTooLarge):
        await read(pieces)
    with pytest.raises(BodyTooLarge):
        await read(pieces, [(b"content-length", b"1")])


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert len(await read([b"x" * 1000])) == 1000


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (b"gzip", gzip.compress(b"text " * 100, mtime=0)),
        (b"x-gzip", gzip.compress(b"text " * 100, mtime=0)),
        (b"GZIP", gzip.compress(b"text " * 100, mtime=0)),
        (b"deflate", zlib.compress(b"text " * 100)),
        (b"deflate", zlib.compress(b"text " * 100)[2:-4]),
        (b"identity", b"text " * 100),
    ],
)
async def test_a_compressed_body_is_decompressed(encoding: bytes, data: bytes) -> None:
    headers = [(b"content-encoding", encoding)]
    assert await read([data], headers) == b"text " * 100
    split = [data[:3], data[3:10], data[10:]]
    assert await read(split, headers) == b"text " * 100


async def test_a_bomb_is_refused_at_the_limit_and_never_unpacked() -> None:
    bomb = gzip.compress(bytes(200 << 20))
    assert len(bomb) < 1 << 20
    shared = bodies(bytes_max=10 << 20)
    call = call_with(GZIP)
    with pytest.raises(BodyTooLarge):
        await shared.read(call, FakeReceive([bomb]), 1 << 20)
    assert call.body_bytes <= 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        b"not gzip at all",
        b"",
        gzip.compress(b"cut off", mtime=0)[:-3],
        gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0),
        gzip.compress(b"one", mtime=0) + b"rest",
    ],
)
async def test_a_stream_that_is_not_one_whole_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        await read([data], GZIP)


async def test_an_encoding_that_is_not_known_is_refused() -> None:
    with pytest.raises(WrongMediaType, match="gzip"):
        await read([b"x"], [(b"content-encoding", b"br")])


async def test_all_bodies_together_are_bounded_until_they_are_released() -> None:
    shared = bodies(bytes_max=1500)
    first, second = call_with(), call_with()
    await shared.read(first, FakeReceive([b"x" * 1000]), LIMIT)
    with pytest.raises(QueueFull):
        await shared.read(second, FakeReceive([b"x" * 1000]), LIMIT)
    shared.release(second)
    shared.release(first)
    assert shared.held_bytes == 0
    assert await shared.read(Call({}, 0.0, "", []), FakeReceive([b"x" * 1000]), LIMIT)


def call_of_tenant(name: str) -> Call:
    call = call_with()
    call.caller = Caller(f"key:{name}", name)
    return call


async def test_what_one_tenant_holds_leaves_room_for_others() -> None:
    shared = bodies(bytes_max=2500)
    first, second, other = call_of_tenant("acme"), call_of_tenant("acme"), call_of_tenant("globex")
    await shared.read(first, FakeReceive([b"x" * 1000]), LIMIT)
    with pytest.raises(TenantLimited) as refused:
        await shared.read(second, FakeReceive([b"x" * 251]), LIMIT)
    assert refused.value.retry_after_s == 1.0
    await shared.read(second, FakeReceive([b"x" * 125, b"x" * 125]), LIMIT)
    assert len(await shared.read(other, FakeReceive([b"x" * 1000]), LIMIT)) == 1000
    for call in (first, second, other):
        shared.release(call)
    assert shared.held_bytes == 0
    assert await shared.read(second, FakeReceive([b"x" * 1000]), LIMIT), "all of it came back"


async def test_a_tenant_s_first_body_may_fill_all_the_room_and_so_may_the_operator_s() -> None:
    shared = bodies(bytes_max=1000)
    call = call_of_tenant("acme")
    assert await shared.read(call, FakeReceive([b"x" * 400, b"x" * 600]), LIMIT)
    shared.release(call)
    shared = bodies(bytes_max=2000)
    for _ in range(2):
        assert await shared.read(call_with(), FakeReceive([b"x" * 1000]), LIMIT)


async def test_a_refused_body_holds_nothing_after_its_release() -> None:
    shared = bodies()
    call = call_with()
    with pytest.raises(BodyTooLarge):
        await shared.read(call, FakeReceive([b"x" * 600, b"x" * 600]), LIMIT)
    shared.release(call)
    assert shared.held_bytes == 0


async def test_a_client_that_leaves_in_the_middle_is_noticed() -> None:
    receive = FakeReceive([b"begun"], whole=False)
    receive.left.set()
    with pytest.raises(ClientLeft):
        await bodies().read(call_with(), receive, LIMIT)


async def test_a_stream_comes_in_bounded_pieces_and_holds_no_memory() -> None:
    shared = bodies()
    data = gzip.compress(bytes(5 << 20))
    sizes = [
        len(piece) async for piece in shared.stream(call_with(GZIP), FakeReceive([data]), 6 << 20)
    ]
    assert sum(sizes) == 5 << 20
    assert max(sizes) <= 1 << 20
    assert shared.held_bytes == 0


async def test_a_stream_stops_at_its_limit() -> None:
    sizes: list[int] = []

    async def take() -> None:
        bomb = FakeReceive([gzip.compress(bytes(50 << 20))])
        async for piece in bodies().stream(call_with(GZIP), bomb, 3 << 20):
            sizes.append(len(piece))  # noqa: PERF401 - what came before the refusal counts too

    with pytest.raises(BodyTooLarge):
        await take()
    assert sum(sizes) <= 3 << 20
