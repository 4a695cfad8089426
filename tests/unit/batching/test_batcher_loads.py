"""The batcher and its adapters: loads that are slow, that fail, that cannot be written."""

import asyncio
import threading

from service.batching.answers import Answer
from service.errors import (
    AdapterUnreadable,
)
from tests.fakes.adapters import digest_of
from tests.fakes.rig import Rig, serve, until
from tests.fakes.runtime import (
    text_of,
)


def test_the_load_of_one_adapter_stalls_no_other() -> None:
    rig = Rig()
    rig.put("warm", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        await r.ask("warm")
        cold = asyncio.ensure_future(r.ask("cold"))
        await until(lambda: digest_of("cold") in r.loads)
        for _ in range(5):
            await r.ask("warm")
        assert not cold.done()
        r.slow[digest_of("cold")].set()
        await cold

    serve(rig, work)


def test_a_failed_load_reaches_those_who_wait_for_it_and_nobody_else() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        jobs = [r.ask("a"), r.ask("missing"), r.ask("missing", text_of(1), text_of(2)), r.ask("a")]
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(x) for x in done] == [Answer, AdapterUnreadable, AdapterUnreadable, Answer]
        r.put("missing")
        await r.ask("missing")

    serve(rig, work)


def test_an_adapter_that_cannot_be_written_fails_its_own_callers_only() -> None:
    rig = Rig()
    rig.put("a", "broken")
    rig.runtime.unwritable[digest_of("broken")] = OSError("the device refused")

    async def work(r: Rig) -> None:
        jobs = [r.ask("a"), r.ask("broken"), r.ask("a")]
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(x) for x in done] == [Answer, OSError, Answer]
        assert r.batcher.ready
        del r.runtime.unwritable[digest_of("broken")]
        await r.ask("broken")

    serve(rig, work)


def test_whoever_came_first_is_not_passed_by_those_whose_load_just_ended() -> None:
    rig = Rig(slots=1)
    rig.put("first", "cold", "last")
    cold = digest_of("cold")
    rig.slow[cold] = threading.Event()
    order: list[str] = []

    async def ask(name: str) -> None:
        await rig.ask(name)
        order.append(name)

    async def work(r: Rig) -> None:
        await r.ask("last")
        await r.ask("first")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("first"))
            await r.passing()
            jobs = [asyncio.ensure_future(ask(name)) for name in ("cold", "last", "cold")]
            await asyncio.sleep(0.02)
        await running
        await jobs[1]  # runs while the others load
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("first"))
            await r.passing()
            jobs += [asyncio.ensure_future(ask("first"))]
            r.slow[cold].set()
            await until(lambda: len(r.batcher._arrivals) == 1)
        await asyncio.gather(running, *jobs)

    serve(rig, work)
    assert order == ["last", "cold", "cold", "first"]
