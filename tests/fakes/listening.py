"""A fake service on a real socket of this machine, in a thread of this process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from service.api.server import address_of, listen, server_config
from service.settings import Settings
from tests.fakes.service import FakeService


@contextmanager
def listening(service: FakeService, settings: Settings | None = None) -> Iterator[str]:
    """Give the address of a service that answers until the block ends."""
    chosen = settings or Settings(bundle=service.state, state=service.state)
    socket = listen("127.0.0.1", 0, "port", 10)
    server = uvicorn.Server(server_config(service.app, chosen))

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve([socket]))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield address_of(socket)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"
