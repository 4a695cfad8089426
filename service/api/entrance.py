"""The way in for a tenant's requests, on every wire: within its limits, and counted beyond them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import TenantLimited
from service.limits import Entry, TenantLimits
from service.metrics import Metrics
from service.registry.records import Rates
from service.usage import UsageBook


class Entrance:
    """Lets requests of tenants in."""

    def __init__(self, limits: TenantLimits, metrics: Metrics, usage: UsageBook) -> None:
        self._limits = limits
        self._metrics = metrics
        self._usage = usage

    @contextmanager
    def entered(self, tenant: str, rates: Rates) -> Iterator[Entry]:
        """Let a request in for as long as the block runs; it charges the entry for its tokens.

        Raises `TenantLimited`; where the block does, that is counted as well.
        """
        try:
            entry = self._limits.enter(tenant, rates, time.monotonic())
            try:
                yield entry
            finally:
                entry.leave()
        except TenantLimited:
            self._metrics.limited(tenant)
            self._usage.limited(tenant)
            raise
