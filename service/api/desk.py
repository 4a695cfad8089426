"""The desk: where tenants' requests wait that are no predictions, a few of one tenant at once.

They read the registry's disk on threads that all tenants share, so that one who asked a thousand
times at once would have everybody wait behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from service.api.held import RETRY_S, Held
from service.errors import TenantLimited

EACH_MAX = 8


class Desk:
    """Counts who stands there; for one event loop."""

    def __init__(self, each_max: int = EACH_MAX) -> None:
        self._each_max = each_max
        self._held = Held()

    @contextmanager
    def place(self, tenant: str | None) -> Iterator[None]:
        """Hold a place around the block; an operator, whose tenant is None, needs none.

        Raises `TenantLimited`.
        """
        if tenant is None:
            yield
            return
        if self._held.of(tenant) >= self._each_max:
            raise TenantLimited(
                f"{self._each_max} requests of this tenant that are no predictions are under way,"
                " as many as may be at once",
                RETRY_S,
            )
        with self._held.more(tenant):
            yield
