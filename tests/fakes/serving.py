"""A real server in a process of its own: real sockets and signals over a fake batcher.

    python -m tests.fakes.serving STATE [SETTING=VALUE ...]

It prints its addresses when it listens. The fake answers `slow x x x` after a tenth of a second for
each x, and everything else at once; it writes `STATE/dropped` when a client leaves it.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from service.api.logs import begin_logging
from service.api.server import Server, address_of, listen, port_of, server_config
from service.batching.answers import Answer
from service.batching.jobs import Job
from service.errors import Stopping
from service.settings import Settings
from tests.fakes.batching import FakeBatcher
from tests.fakes.service import make_service
from tests.fakes.tokens import ids_of, word_of


class SlowBatcher(FakeBatcher):
    """Answers when the text says so, or when it is stopped."""

    def __init__(self, state: Path) -> None:
        super().__init__({})
        self._state = state
        self._stopping = asyncio.Event()

    async def stop(self, drain_s: float) -> None:
        self._stopping.set()
        await super().stop(drain_s)

    async def answer(self, job: Job) -> Answer:
        [ids, *_] = ids_of(job.texts)
        if ids and ids[0] == word_of("slow"):
            try:
                async with asyncio.timeout(float(len(ids) - 1) / 10):
                    await self._stopping.wait()
                raise Stopping("the fake was stopped")
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                (self._state / "dropped").write_text("1")
                raise
        return await super().answer(job)


async def main() -> None:
    state = Path(sys.argv[1])
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    chosen = Settings.model_validate({"bundle": state, "state": state, "port": 0, **given})
    sockets = [listen(chosen.host, chosen.port, "port", chosen.connections_backlog)]
    if chosen.operator_port is not None:
        sockets.append(listen(chosen.host, chosen.operator_port, "operator_port", 10))
    batcher = SlowBatcher(state)
    service = make_service(
        state,
        batcher=batcher,
        listening=port_of(sockets[1]) if len(sockets) > 1 else None,
        **chosen.model_dump(exclude={"bundle", "state"}, exclude_unset=True),
    )
    service.publish("acme", "support")

    async def stop() -> None:
        await batcher.stop(0)

    config = server_config(service.app, chosen)
    server = Server(config, service.lifecycle, chosen.drain_s, stop)
    print(json.dumps([address_of(one) for one in sockets]), flush=True)  # noqa: T201
    await server.serve(sockets)


if __name__ == "__main__":
    begin_logging("info", "json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
