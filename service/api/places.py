"""Places of something costly: so many for all, and never all of them for one tenant."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import QueueFull, TenantLimited

_RETRY_S = 1.0  # nobody knows when a place gets free


class Places:
    """Counts who is inside; for one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._each_max = max(1, count - 1)
        self._inside: Counter[str] = Counter()

    @contextmanager
    def taken(self, tenant: str, what: str) -> Iterator[None]:
        """Hold a place around the block; `what` is done there, for the words of a refusal.

        Raises `QueueFull`, and `TenantLimited` where the last place is another tenant's.
        """
        if self._free == 0:
            raise QueueFull(f"the server takes no more {what} at once; try again")
        if self._inside[tenant] >= self._each_max:
            raise TenantLimited(
                f"this tenant has {self._each_max} {what} under way, as many as it may at once",
                _RETRY_S,
            )
        self._free -= 1
        self._inside[tenant] += 1
        try:
            yield
        finally:
            self._free += 1
            self._inside[tenant] -= 1
            if not self._inside[tenant]:
                del self._inside[tenant]
