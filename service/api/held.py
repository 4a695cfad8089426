"""What each tenant holds of something that all share, counted."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

RETRY_S = 1.0  # nobody knows when one is let go


class Held:
    """Counts by tenant and in all; for one event loop. Who holds nothing is forgotten.

    An operator's, whose tenant is None, are counted like everybody's.
    """

    def __init__(self) -> None:
        self.total = 0
        self._by_tenant: Counter[str | None] = Counter()

    def of(self, tenant: str | None) -> int:
        """Return how many a tenant holds."""
        return self._by_tenant[tenant]

    @contextmanager
    def more(self, tenant: str | None, count: int = 1) -> Iterator[None]:
        """Hold so many more around the block."""
        self.total += count
        self._by_tenant[tenant] += count
        try:
            yield
        finally:
            self.total -= count
            self._by_tenant[tenant] -= count
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]
