"""Usage: what each tenant asked of this process, gathered in memory and written down in steps.

The hot path only adds numbers. What is not written down yet is lost with the process: at most the
last step, which is a setting. What could not be written is kept, and comes with the next step.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from service.engine.errors import TenantryError
from service.registry.records import Usage

logger = logging.getLogger(__name__)

Rows = Mapping[tuple[str, date], Usage]


class Ledger(Protocol):
    """Where usage is written down; the registry is one."""

    def add_usage(self, rows: Rows) -> None:
        """Add to what is there, all or nothing; raise a `TenantryError` where it cannot."""
        ...


class Failures(Protocol):
    """Who is told of steps that failed; `service/metrics.py` has the real one."""

    def usage_failed(self) -> None:
        """Count a step that could not be written down."""
        ...


@dataclass(slots=True)
class _Sum:
    requests: int = 0
    texts: int = 0
    tokens: int = 0
    compute_s: float = 0.0
    limited: int = 0


def _today() -> date:
    return datetime.now(UTC).date()


class UsageBook:
    """Adds up usage by tenant and day; for one event loop."""

    def __init__(
        self, ledger: Ledger, failures: Failures, today: Callable[[], date] = _today
    ) -> None:
        self._ledger = ledger
        self._failures = failures
        self._today = today
        self._sums: dict[tuple[str, date], _Sum] = {}
        self._turn = asyncio.Lock()
        self._failing = False

    def answered(self, tenant: str, texts: int, tokens: int, compute_s: float) -> None:
        """Add an answered request."""
        found = self._sum(tenant)
        found.requests += 1
        found.texts += texts
        found.tokens += tokens
        found.compute_s += compute_s

    def limited(self, tenant: str) -> None:
        """Add a request that a limit of its tenant refused."""
        self._sum(tenant).limited += 1

    def _sum(self, tenant: str) -> _Sum:
        key = (tenant, self._today())
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum()
        return found

    async def flush(self) -> None:
        """Write down what was added since the last time; what cannot be written is kept.

        One at a time: whoever comes while another waits for the ledger, which may take seconds,
        waits for that one, and tries itself only where that one got through.
        """
        waits = self._turn.locked()
        async with self._turn:
            if not (waits and self._failing):
                await self._write_down()

    async def _write_down(self) -> None:
        sums, self._sums = self._sums, {}
        if not sums:
            return
        rows = {
            key: Usage(own.requests, own.texts, own.tokens, own.compute_s, own.limited)
            for key, own in sums.items()
        }
        try:
            await asyncio.to_thread(self._ledger.add_usage, rows)
        except TenantryError as error:
            self._failing = True
            self._failures.usage_failed()
            logger.warning("usage could not be written down and is kept: %s", error)
            self._take_back(sums)
        else:
            self._failing = False

    def _take_back(self, sums: dict[tuple[str, date], _Sum]) -> None:
        for key, own in sums.items():
            found = self._sums.setdefault(key, _Sum())
            found.requests += own.requests
            found.texts += own.texts
            found.tokens += own.tokens
            found.compute_s += own.compute_s
            found.limited += own.limited

    async def keep_flushing(self, every_s: float) -> None:
        """Write down at intervals, until cancelled; whoever cancels flushes once more."""
        while True:
            await asyncio.sleep(every_s)
            await self.flush()
