"""Places of something costly: so many for all, and never all of them for one tenant."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.api.held import RETRY_S, Held
from service.errors import QueueFull, TenantLimited


class Places:
    """Counts who is inside; for one event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._each_max = max(1, count - 1)
        self._held = Held()

    @contextmanager
    def taken(self, tenant: str, what: str) -> Iterator[None]:
        """Hold a place around the block; `what` is done there, for the words of a refusal.

        Raises `QueueFull`, and `TenantLimited` where the last place is another tenant's.
        """
        if self._held.total == self._count:
            raise QueueFull(f"the server takes no more {what} at once; try again")
        if self._held.of(tenant) >= self._each_max:
            raise TenantLimited(
                f"this tenant has {self._each_max} {what} under way, as many as it may at once",
                RETRY_S,
            )
        with self._held.more(tenant):
            yield
