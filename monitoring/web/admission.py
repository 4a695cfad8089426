"""Which tenants have series of their own: the first ones, for as long as they are watched."""

from collections.abc import Iterable


class Admission:
    """Admits tenants up to a bound, and keeps those it has admitted until they are gone.

    Not thread-safe: the collector holds its lock.
    """

    def __init__(self, tenants_max: int) -> None:
        self._tenants_max = tenants_max
        self._admitted: set[str] = set()
        self._turned_away: set[str] = set()
        self.dropped = 0  # times that a tenant found no place

    def admit(self, tenants: Iterable[str]) -> frozenset[str]:
        """Return those of the watched tenants that have a place; earlier ones go first.

        A tenant that is not among them any more gives its place up at once.
        """
        waiting = list(tenants)
        present = set(waiting)
        self._admitted &= present
        self._turned_away &= present
        for tenant in waiting:
            if tenant in self._admitted:
                continue
            if len(self._admitted) < self._tenants_max:
                self._admitted.add(tenant)
                self._turned_away.discard(tenant)
            elif tenant not in self._turned_away:
                self._turned_away.add(tenant)
                self.dropped += 1
        return frozenset(self._admitted)
