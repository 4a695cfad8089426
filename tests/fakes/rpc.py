"""The gRPC server over a fake service, on a real port, and a client without types."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from service.rpc.methods import SERVICE
from service.rpc.server import RpcServer
from service.settings import Settings
from tests.fakes.service import FakeService

Metadata = Sequence[tuple[str, str]]
_M = TypeVar("_M", bound=Message)


def rpc_server_of(service: FakeService, **settings: Any) -> RpcServer:
    """Return a server that answers as the service does over HTTP."""
    shared = service.app.shared
    chosen = Settings(bundle=service.state, state=service.state, **settings)
    return RpcServer(
        shared.predictor,
        service.registry,
        service.lifecycle,
        shared.gate,
        service.metrics,
        chosen,
        bodies=shared.bodies,
        statistics=shared.statistics,
        answers=shared.answers,
        hidden_size=service.bundle.manifest.hidden_size,
        tracing=service.tracing,
    )


@dataclass(frozen=True)
class RpcClient:
    """Calls methods by name."""

    channel: grpc.aio.Channel

    async def call(
        self,
        name: str,
        request: Message,
        answer: type[_M],
        metadata: Metadata = (),
        timeout_s: float | None = 10.0,
    ) -> _M:
        """Return what a method answers; raise `grpc.aio.AioRpcError`."""
        raw = await self.call_raw(name, request.SerializeToString(), metadata, timeout_s)
        return answer.FromString(raw)

    async def call_raw(
        self, name: str, request: bytes, metadata: Metadata = (), timeout_s: float | None = 10.0
    ) -> bytes:
        """Send any bytes to a method."""
        return await self.method(name)(request, metadata=tuple(metadata), timeout=timeout_s)

    def method(self, name: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
        """Return a method to call in ways of one's own."""
        return self.channel.unary_unary(f"/{SERVICE}/{name}")

    def streaming(self, name: str) -> "grpc.aio.StreamUnaryMultiCallable[bytes, bytes]":
        """Return a method to call with any number of messages."""
        return self.channel.stream_unary(f"/{SERVICE}/{name}")


@asynccontextmanager
async def serving_rpc(service: FakeService, **settings: Any) -> AsyncIterator[RpcClient]:
    """Serve a fake service over gRPC for a while; limits are changed as settings, by name."""
    server = rpc_server_of(service, **settings)
    port = await server.start("127.0.0.1", 0)
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]
        ) as channel:
            yield RpcClient(channel)
    finally:
        await server.stop(0)
