"""The service over a fake batcher, made anew for each test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.fakes.service import FakeService, make_service


class MakeService(Protocol):
    """Makes a service with other settings than the defaults."""

    def __call__(self, **settings: Any) -> FakeService: ...


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of asynchronous tests."""
    return "asyncio"


@pytest.fixture(scope="session")
async def lasting_loop(anyio_backend: str) -> AsyncIterator[None]:  # noqa: ARG001
    """One event loop until the session ends, for tests of gRPC.

    A process has one completion queue for all of grpc.aio; what is in it when a loop is closed
    comes to the next one and fails it.
    """
    yield  # noqa: PT022


@pytest.fixture
def service_with(tmp_path: Path) -> Iterator[MakeService]:
    """Return a maker of services, each over a state of its own."""
    with ExitStack() as stack:

        def make(**settings: Any) -> FakeService:
            state = tmp_path / f"state-{len(list(tmp_path.iterdir()))}"
            state.mkdir()
            made = make_service(state, **settings)
            stack.callback(made.registry.close)
            return made

        yield make


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    """Return a service with the default settings: open, and warm."""
    return service_with()
