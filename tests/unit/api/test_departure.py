import asyncio

import pytest

from service.api import departure
from service.api.call import ClientLeft
from service.api.departure import unless_left
from tests.fakes.asgi import FakeReceive

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "PATIENCE_S", 0.01)


async def work(begun: asyncio.Event, cancelled: list[bool], seconds: float = 30.0) -> str:
    begun.set()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled.append(True)
        raise
    return "done"


async def test_the_work_s_value_comes_back() -> None:
    assert await unless_left(work(asyncio.Event(), [], 0.05), FakeReceive([])) == "done"


async def test_fast_work_never_looks_at_the_connection() -> None:
    receive = FakeReceive([])
    assert await unless_left(work(asyncio.Event(), [], 0), receive) == "done"
    await asyncio.sleep(0.05)
    assert receive.calls == 0


async def test_the_work_s_error_comes_back() -> None:
    async def fail() -> None:
        raise ValueError("the work failed")

    with pytest.raises(ValueError, match="the work failed"):
        await unless_left(fail(), FakeReceive([]))


async def test_work_for_a_client_that_left_is_cancelled() -> None:
    receive, begun, cancelled = FakeReceive([]), asyncio.Event(), list[bool]()
    task = asyncio.create_task(unless_left(work(begun, cancelled), receive))
    await begun.wait()
    receive.left.set()
    with pytest.raises(ClientLeft):
        await task
    assert cancelled == [True]


async def test_a_client_that_left_before_the_watch_began_is_noticed_too() -> None:
    receive = FakeReceive([])
    receive.left.set()
    with pytest.raises(ClientLeft):
        await unless_left(work(asyncio.Event(), []), receive)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    begun, cancelled = asyncio.Event(), list[bool]()
    task = asyncio.create_task(unless_left(work(begun, cancelled), FakeReceive([])))
    await begun.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == [True]


async def test_no_watcher_outlives_its_request() -> None:
    before = len(asyncio.all_tasks())
    await unless_left(work(asyncio.Event(), [], 0.05), FakeReceive([]))
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before
