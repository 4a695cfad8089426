"""The desk: where tenants' requests wait that are no predictions, a few of one tenant at once.

They read the registry's disk on threads that all tenants share, so that one who asked a thousand
times at once would have everybody wait behind.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import TenantLimited

EACH_MAX = 8

_RETRY_S = 1.0  # nobody knows when a place gets free


class Desk:
    """Counts who stands there; for one event loop."""

    def __init__(self, each_max: int = EACH_MAX) -> None:
        self._each_max = each_max
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def place(self, tenant: str | None) -> Iterator[None]:
        """Hold a place around the block; an operator, whose tenant is None, needs none.

        Raises `TenantLimited`.
        """
        if tenant is None:
            yield
            return
        if self._waiting[tenant] >= self._each_max:
            raise TenantLimited(
                f"{self._each_max} requests of this tenant that are no predictions are under way,"
                " as many as may be at once",
                _RETRY_S,
            )
        self._waiting[tenant] += 1
        try:
            yield
        finally:
            self._waiting[tenant] -= 1
            if not self._waiting[tenant]:
                del self._waiting[tenant]
