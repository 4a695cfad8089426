"""Which requests are recorded: by tenant, at random, and never for the asking alone.

The draw is our own and not a function of the trace id, which an outside caller chooses.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from random import random

Ratio = float


def tenant_ratios(pairs: Iterable[str]) -> dict[str, Ratio]:
    """Return the ratios of `tenant=ratio` pairs; raise `ValueError` for what is none."""
    found: dict[str, Ratio] = {}
    for pair in pairs:
        tenant, _, text = pair.partition("=")
        try:
            ratio = float(text)
        except ValueError:
            ratio = -1.0
        if not tenant or not 0.0 <= ratio <= 1.0:  # NaN is in no range
            raise ValueError(f'must hold pairs such as "acme=0.5", from 0 to 1, and not {pair!r}')
        if tenant in found:
            raise ValueError(f"names the tenant {tenant} twice")
        found[tenant] = ratio
    return found


class Sampling:
    """Decides; for one event loop."""

    def __init__(
        self,
        ratio: Ratio,
        tenants: Mapping[str, Ratio] | None = None,
        *,
        follow: bool = False,
        followed_per_s_max: float = 10.0,
        draw: Callable[[], float] = random,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ratio` is for tenants that `tenants` does not name.

        With `follow`, a caller's own decision holds: what it records is recorded here too, as far
        as `followed_per_s_max` allows, and what it does not is not. Beyond the bound, and for
        requests that belong to no trace of a caller's, the tenant's ratio decides.
        """
        self._ratio = ratio
        self._tenants = dict(tenants or {})
        self._follow = follow
        self._per_s = followed_per_s_max
        self._draw = draw
        self._clock_s = clock_s
        # A whole place must be able to fill up, however slowly; at a rate of 0 there is none.
        self._most = max(1.0, followed_per_s_max)
        self._left = self._most if followed_per_s_max > 0.0 else 0.0
        self._filled_at = clock_s()

    def records(self, tenant: str, caller_records: bool | None = None) -> bool:
        """Return whether to record a request; `caller_records` is None without a caller's trace."""
        if self._follow and caller_records is not None:
            if not caller_records:
                return False
            if self._may_follow():
                return True
        ratio = self._tenants.get(tenant, self._ratio)
        return ratio > 0.0 and (ratio >= 1.0 or self._draw() < ratio)

    def _may_follow(self) -> bool:
        """Take one of the places that fill up at the rate; False where none is left."""
        now_s = self._clock_s()
        self._left = min(self._most, self._left + (now_s - self._filled_at) * self._per_s)
        self._filled_at = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
