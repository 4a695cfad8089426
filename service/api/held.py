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
    def one(self, tenant: str | None) -> Iterator[None]:
        """Hold one more around the block."""
        self.total += 1
        self._by_tenant[tenant] += 1
        try:
            yield
        finally:
            self.total -= 1
            self._by_tenant[tenant] -= 1
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]
