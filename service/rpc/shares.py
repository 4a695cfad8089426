"""What each tenant may hold of a server's calls, so that some are left for every other one."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from weakref import WeakValueDictionary

from service.errors import TenantLimited

_RETRY_S = 1.0  # nobody knows when a call ends


class Shares:
    """Counts calls that are under way, and gives turns to receive a message; for one event loop.

    An operator's calls count, and have no share of their own: `tenant` is None.
    """

    def __init__(self, calls_max: int, receiving_max: int) -> None:
        self._left = calls_max
        self._held: Counter[str | None] = Counter()
        self._receiving = asyncio.Semaphore(receiving_max)
        self._each_max = max(1, receiving_max // 2)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextmanager
    def call(self, tenant: str | None) -> Iterator[None]:
        """Hold a call's place around the block.

        Raises `TenantLimited` where the tenant would hold more calls than are left.
        """
        held = self._held[tenant] + 1
        if tenant is not None and held > max(1, self._left - 1):
            raise TenantLimited(
                f"{held - 1} calls of this tenant are under way, as many as it may have now",
                _RETRY_S,
            )
        self._left -= 1
        self._held[tenant] = held
        try:
            yield
        finally:
            self._left += 1
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]

    @asynccontextmanager
    async def receiving(self, tenant: str | None) -> AsyncIterator[None]:
        """Wait for a turn to receive a message; a tenant has half of the turns, at most."""
        async with self._turn(tenant) or nullcontext(), self._receiving:
            yield

    def _turn(self, tenant: str | None) -> asyncio.Semaphore | None:
        if tenant is None:
            return None
        return self._turns.setdefault(tenant, asyncio.Semaphore(self._each_max))
