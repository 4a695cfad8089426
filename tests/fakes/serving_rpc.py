"""A real server in a process of its own, over HTTP and gRPC, for the clients of others.

    python -m tests.fakes.serving_rpc STATE [SETTING=VALUE ...]

It serves `acme.support` and `globex.support`, needs keys, and prints where it listens and the key
of acme. What the fake batcher does with `slow x x`, `tests.fakes.serving` says.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from service.api.logs import begin_logging
from service.api.server import Server, address_of, listen, server_config
from service.settings import Settings
from tests.fakes.rpc import rpc_server_of
from tests.fakes.service import ADMIN_KEY, make_service
from tests.fakes.serving import SlowBatcher


async def main() -> None:
    state = Path(sys.argv[1])
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    chosen = Settings.model_validate(
        {"bundle": state, "state": state, "port": 0, "admin_key": ADMIN_KEY, **given}
    )
    listening = listen(chosen.host, chosen.port, "port", chosen.connections_backlog)
    batcher = SlowBatcher(state)
    settings = chosen.model_dump(exclude={"bundle", "state"}, exclude_unset=True)
    service = make_service(state, batcher=batcher, **settings)
    service.publish("acme", "support")
    service.publish("globex", "support", seed=1)
    rpc = rpc_server_of(service, **settings)

    async def stop() -> None:
        await batcher.stop(0)
        await rpc.stop(1)

    server = Server(server_config(service.app, chosen), service.lifecycle, chosen.drain_s, stop)
    port = await rpc.start(chosen.host, 0)
    told = {
        "url": address_of(listening),
        "grpc": f"{chosen.host}:{port}",
        "key": service.key("acme", "predict"),
    }
    print(json.dumps(told), flush=True)  # noqa: T201
    await server.serve([listening])


if __name__ == "__main__":
    begin_logging("info", "json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
