"""Tokenising long texts: whose threads it takes, and whom it leaves in peace."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.api.tokenising import Tokenising
from service.engine.tokens import Input, Tokens
from service.errors import DeadlinePassed
from tests.fakes.tokens import FakeTokeniser
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

LONG = 1 << 20
STUBBORN = "stubborn"


class Stubborn(FakeTokeniser):
    """Tokenises a text that says so only once it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.threads: list[int] = []
        self.stuck = 0

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        self.threads.append(threading.get_ident())
        if STUBBORN in texts:
            self.stuck += 1
            assert self.go_on.wait(30)
        return super().encode(texts)


def soon() -> float:
    return time.monotonic() + 30


async def test_a_short_text_is_tokenised_and_measured_at_once_and_a_long_one_beside() -> None:
    tokeniser = Stubborn()
    tokenising = Tokenising(tokeniser, threads=1)
    measured: list[int] = []

    def measure(texts: Sequence[Input]) -> int:
        measured.append(threading.get_ident())
        return len(texts)

    short = await tokenising.encode("acme", ["one two"], [None], 20, soon(), measure)
    assert short == await tokenising.encode("acme", ["one two"], [None], LONG, soon(), measure)
    assert short[1] == 1
    here, beside = tokeniser.threads
    assert here == threading.get_ident() != beside
    assert measured == [here, beside]


async def test_work_on_other_threads_does_not_hold_up_long_texts() -> None:
    busy = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    other = asyncio.ensure_future(asyncio.to_thread(busy.wait, 30))
    assert await Tokenising(Stubborn(), threads=1).encode(
        "acme", ["one"], [None], LONG, soon(), len
    )
    busy.set()
    await other


async def test_one_tenant_leaves_threads_to_the_others() -> None:
    tokeniser = Stubborn()
    tokenising = Tokenising(tokeniser, threads=4)
    many = [
        asyncio.ensure_future(tokenising.encode("acme", [STUBBORN], [None], LONG, soon(), len))
        for _ in range(9)
    ]
    await until(lambda: tokeniser.stuck == 2)
    assert await tokenising.encode("globex", ["one"], [None], LONG, soon(), len)
    assert tokeniser.stuck == 2, "half of the threads are for others"
    tokeniser.go_on.set()
    assert len(await asyncio.gather(*many)) == 9


async def test_work_that_nobody_waits_for_keeps_its_turn_until_it_ends() -> None:
    tokeniser = Stubborn()
    tokenising = Tokenising(tokeniser, threads=2)
    first = asyncio.ensure_future(tokenising.encode("acme", [STUBBORN], [None], LONG, soon(), len))
    await until(lambda: tokeniser.stuck == 1)
    first.cancel()
    second = asyncio.ensure_future(tokenising.encode("acme", ["one"], [None], LONG, soon(), len))
    assert await tokenising.encode("globex", ["one"], [None], LONG, soon(), len)
    assert not second.done()
    tokeniser.go_on.set()
    assert await second


async def test_who_waits_for_a_turn_waits_no_longer_than_the_deadline() -> None:
    tokeniser = Stubborn()
    tokenising = Tokenising(tokeniser, threads=1)
    first = asyncio.ensure_future(tokenising.encode("acme", [STUBBORN], [None], LONG, soon(), len))
    await until(lambda: tokeniser.stuck == 1)
    with pytest.raises(DeadlinePassed, match="tokenised"):
        await tokenising.encode("acme", ["one"], [None], LONG, time.monotonic() + 0.01, len)
    tokeniser.go_on.set()
    assert await first
