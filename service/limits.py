"""Limits of one tenant: requests a second, tokens a second, requests at once.

Token buckets that hold one second of their rate, or one request where that is more. Pure: the
caller says what time it is. Used from the event loop alone; there is no lock.

A bucket is kept as the time at which it will be full again (the generic cell rate algorithm, ITU-T
I.371), which is one number and makes the wait exact. What a request costs in tokens is known
only once its texts have been read, so a bucket may go into debt: whoever comes while it is not
in debt goes in, however much it takes, and the next one waits until that is paid for.
"""

from service.errors import TenantLimited
from service.registry.records import Rates

_BURST_S = 1.0
_CROWDED_RETRY_S = 1.0  # no limit of a rate: nobody knows when a request ends
_ROUNDING_S = 1e-6  # whoever waited as long as told goes in
_TENANTS_KEPT = 64  # before the first look for those that can be forgotten


class _Bucket:
    """A rate, and when all that was taken from it is paid for."""

    __slots__ = ("full_at", "rate")

    def __init__(self) -> None:
        self.rate = 0.0
        self.full_at = float("-inf")

    def wait_s(self, rate: float | None, least: float, now: float) -> float:
        """Return how long until the bucket holds `least` at that rate; 0 where it does."""
        if rate is None:  # nothing is owed for a time without a limit
            self.rate = 0.0
            self.full_at = float("-inf")
            return 0.0
        if rate != self.rate and self.rate:  # a changed rate changes what is owed in seconds
            self.full_at = now + max(0.0, self.full_at - now) * self.rate / rate
        self.rate = rate
        size_s = max(_BURST_S, least / rate)
        wait = self.full_at + least / rate - size_s - now
        return wait if wait > _ROUNDING_S else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take so much, after `wait_s` said 0."""
        if self.rate:
            self.full_at = max(self.full_at, now) + amount / self.rate


class _Tenant:
    __slots__ = ("inside", "requests", "tokens")

    def __init__(self) -> None:
        self.inside = 0
        self.requests = _Bucket()
        self.tokens = _Bucket()

    def is_idle(self, now: float) -> bool:
        """Return whether nothing would change if it were forgotten."""
        full_at = max(self.requests.full_at, self.tokens.full_at)
        return not self.inside and full_at <= now

    def wait_s(self, rates: Rates, now: float) -> tuple[float, str]:
        """Return how long until the rates let another request in, and what keeps it out."""
        return max(
            (
                self.requests.wait_s(rates.requests_per_s, 1.0, now),
                f"{rates.requests_per_s or 0:g} requests a second",
            ),
            (
                self.tokens.wait_s(rates.tokens_per_s, 0.0, now),
                f"{rates.tokens_per_s or 0:g} tokens a second",
            ),
        )


class Entry:
    """One request that was let in."""

    __slots__ = ("_inside", "_rates", "_tenant")

    def __init__(self, tenant: _Tenant, rates: Rates) -> None:
        self._tenant = tenant
        self._rates = rates
        self._inside = True
        tenant.inside += 1

    def charge(self, tokens: int, now: float) -> None:
        """Take the request's tokens, once they are known; before its texts are answered.

        Raises `TenantLimited` where requests that came in at the same time have used up the rate;
        then nothing is taken.
        """
        wait, _ = self._tenant.wait_s(self._rates, now)
        owed = self._tenant.tokens.wait_s(self._rates.tokens_per_s, 0.0, now)
        if owed:
            raise _limited(f"{self._rates.tokens_per_s:g} tokens a second", wait)
        self._tenant.tokens.take(tokens, now)

    def leave(self) -> None:
        """End the request, answered or not; a second time changes nothing."""
        if self._inside:
            self._inside = False
            self._tenant.inside -= 1


class TenantLimits:
    """Every tenant's buckets; one that is full again, with nobody inside, is forgotten."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}
        self._sweep_at = _TENANTS_KEPT

    def __len__(self) -> int:
        return len(self._tenants)

    def enter(self, tenant: str, rates: Rates, now: float) -> Entry:
        """Let a request in at `now` seconds of the monotonic clock.

        Raises `TenantLimited`, which says when the same request would be let in if nobody else
        came; for requests at once that is a guess. A refused request costs nothing.
        """
        found = self._tenants.get(tenant)
        if found is None:
            if len(self._tenants) >= self._sweep_at:
                self._sweep(now)
            found = self._tenants[tenant] = _Tenant()
        wait, what = found.wait_s(rates, now)
        most = rates.concurrent_requests
        if most is not None and found.inside >= most:
            raise _limited(f"{most} requests at once", max(wait, _CROWDED_RETRY_S))
        if wait:
            raise _limited(what, wait)
        found.requests.take(1.0, now)
        return Entry(found, rates)

    def _sweep(self, now: float) -> None:
        for name in [name for name, found in self._tenants.items() if found.is_idle(now)]:
            del self._tenants[name]
        self._sweep_at = max(_TENANTS_KEPT, 2 * len(self._tenants))


def _limited(what: str, wait_s: float) -> TenantLimited:
    return TenantLimited(
        f"beyond this tenant's limit of {what}; try again in {wait_s:.3g} s", wait_s
    )
