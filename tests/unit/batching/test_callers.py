"""Callers: what becomes of tickets when a caller leaves at the moment of its answer."""

import asyncio
import threading

import numpy as np

from service.batching.answers import Answer
from service.batching.callers import Callers, Waiter
from service.batching.jobs import Job, Shadow, Ticket
from service.batching.queue import Queue
from tests.fakes.metrics import FakeBatchMetrics
from tests.fakes.runtime import text_of


def complete(ticket: Ticket) -> None:
    """Give a ticket of one text its answer."""
    ticket.digests.add(ticket.job.digest)
    ticket.started_at = ticket.queued_at
    ticket.probabilities[0] = np.ones(2, dtype=np.float32)
    ticket.embeddings[0] = np.ones(2, dtype=np.float32)
    ticket.missing = 0


def test_a_caller_that_leaves_as_its_answer_comes_takes_its_shadows_along() -> None:
    metrics, seen = FakeBatchMetrics(), list[Answer]()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        queue, lock = Queue(100, 1_000), threading.Condition()
        callers = Callers(queue, lock, metrics)
        shadow = Shadow("new", seen.append)
        waiter = Waiter(loop, loop.create_future())
        ticket = Ticket(Job("live", [text_of(1)], shadows=(shadow,)), 0.0)
        with lock:
            callers.enter(ticket, waiter)
        for entry in queue.take(100, 1_000):
            complete(entry.ticket)
        callers.tell_answered([*waiter.shadows, ticket])
        waiter.future.cancel()
        await asyncio.sleep(0.01)
        assert not len(callers)
        assert not callers._observers

    asyncio.run(run())
    assert seen == []
    assert metrics.shadows == {"dropped": 1}
