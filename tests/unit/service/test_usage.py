import asyncio
import threading
from datetime import date

import pytest

from service.errors import StoreFull
from service.registry.records import Usage
from service.usage import Rows, UsageBook
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

MONDAY, TUESDAY = date(2025, 3, 31), date(2025, 4, 1)


class Ledger:
    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.full = False
        self.written = asyncio.Event()
        self.calls = 0
        self.held = threading.Event()  # while it is clear, writing takes its time
        self.held.set()
        self.loop = asyncio.get_running_loop()

    def add_usage(self, rows: Rows) -> None:
        self.calls += 1
        assert self.held.wait(20)
        if self.full:
            raise StoreFull("the registry cannot be written")
        self.rows.append(rows)
        self.loop.call_soon_threadsafe(self.written.set)


class Failures:
    def __init__(self) -> None:
        self.count = 0

    def usage_failed(self) -> None:
        self.count += 1


class Book:
    def __init__(self) -> None:
        self.day = MONDAY
        self.ledger = Ledger()
        self.failures = Failures()
        self.usage = UsageBook(self.ledger, self.failures, lambda: self.day)


async def test_usage_is_added_up_by_tenant_and_day_and_written_once() -> None:
    book = Book()
    book.usage.answered("acme", 2, 10, 0.5)
    book.usage.answered("acme", 1, 5, 0.25)
    book.usage.limited("acme")
    book.usage.answered("zeta", 1, 1, 0.125)
    book.day = TUESDAY
    book.usage.answered("acme", 1, 7, 0.5)
    await book.usage.flush()
    await book.usage.flush()
    assert book.ledger.rows == [
        {
            ("acme", MONDAY): Usage(2, 3, 15, 0.75, 1),
            ("zeta", MONDAY): Usage(1, 1, 1, 0.125, 0),
            ("acme", TUESDAY): Usage(1, 1, 7, 0.5, 0),
        }
    ]


async def test_what_cannot_be_written_is_kept_and_comes_with_the_next_step() -> None:
    book = Book()
    book.ledger.full = True
    book.usage.answered("acme", 2, 10, 0.5)
    await book.usage.flush()
    assert book.failures.count == 1
    book.usage.answered("acme", 1, 5, 0.25)
    book.ledger.full = False
    await book.usage.flush()
    assert book.ledger.rows == [{("acme", MONDAY): Usage(2, 3, 15, 0.75, 0)}]


async def test_those_who_come_while_the_ledger_is_waited_for_do_not_wait_for_it_in_turn() -> None:
    book = Book()
    book.ledger.full = True
    book.ledger.held.clear()
    book.usage.answered("acme", 1, 5, 0.25)
    flushes = [asyncio.create_task(book.usage.flush()) for _ in range(5)]
    await until(lambda: book.ledger.calls > 0)
    book.ledger.held.set()
    await asyncio.gather(*flushes)
    assert book.ledger.calls == 1, "one of them asked, and told the others"
    book.ledger.full = False
    await asyncio.gather(*(book.usage.flush() for _ in range(5)))
    assert book.ledger.rows == [{("acme", MONDAY): Usage(1, 1, 5, 0.25, 0)}]


async def test_it_is_written_again_and_again_until_it_is_cancelled() -> None:
    book = Book()
    flushing = asyncio.create_task(book.usage.keep_flushing(0.001))
    for _ in range(2):
        book.usage.answered("acme", 1, 1, 0.0)
        async with asyncio.timeout(10):
            await book.ledger.written.wait()
        book.ledger.written.clear()
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
