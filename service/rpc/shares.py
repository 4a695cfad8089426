"""What each tenant may hold of a server's calls, so that some are left for every other one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from weakref import WeakValueDictionary

from service.api.held import RETRY_S, Held
from service.errors import TenantLimited


class Shares:
    """Counts calls that are under way, and gives turns to receive a message; for one event loop.

    An operator's calls count, and have no share of their own: `tenant` is None.
    """

    def __init__(self, calls_max: int, receiving_max: int) -> None:
        self._calls_max = calls_max
        self._held = Held()
        self._receiving = asyncio.Semaphore(receiving_max)
        self._each_max = max(1, receiving_max // 2)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextmanager
    def call(self, tenant: str | None) -> Iterator[None]:
        """Hold a call's place around the block.

        Raises `TenantLimited` where the tenant would hold more calls than are left.
        """
        held = self._held.of(tenant)
        left = self._calls_max - self._held.total
        if tenant is not None and held + 1 > max(1, left - 1):
            raise TenantLimited(
                f"{held} calls of this tenant are under way, as many as it may have now",
                RETRY_S,
            )
        with self._held.more(tenant):
            yield

    @asynccontextmanager
    async def receiving(self, tenant: str | None) -> AsyncIterator[None]:
        """Wait for a turn to receive a message; a tenant has half of the turns, at most."""
        async with self._turn(tenant) or nullcontext(), self._receiving:
            yield

    def _turn(self, tenant: str | None) -> asyncio.Semaphore | None:
        if tenant is None:
            return None
        return self._turns.setdefault(tenant, asyncio.Semaphore(self._each_max))
