"""What an adapter takes of memory: the growth of the service from few adapters to many."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bank_population import FULL, Published, ask, publish_part
from benchmarks.bank_times import FEW_SLOTS
from benchmarks.connection import Connection
from benchmarks.rounds import show
from benchmarks.servers import tenantry
from benchmarks.tenancy import Placed
from service.engine.bundle import Bundle, Manifest

_SETTLE_S = 1.0
_CACHE_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the service after an answer of each adapter, none of them evicted."""

    adapters: int  # beyond the first few
    before_bytes: int  # with the first few, every slot written whole
    growth_bytes: int  # from there to all of them
    tensor_bytes: int  # of those beyond the first few, at their own rank, head included

    @property
    def ratio(self) -> float:
        """Return growth over the tensors' own bytes."""
        return self.growth_bytes / self.tensor_bytes


def measure_memory(
    bundle: Bundle, state: Path, provider: str, count: int
) -> tuple[Memory, list[Placed]]:
    """Publish `count` adapters and return what those beyond the first few take, and all of them.

    Both figures are of a fresh process, so what uploading took is in neither.
    """
    few = publish_part(bundle, state, provider, 0, 2 * FULL)
    before = _resident(bundle, state, provider, few.placed)
    more: Published = publish_part(bundle, state, provider, 2 * FULL, count)
    everyone = [*few.placed, *more.placed]
    after = _resident(bundle, state, provider, everyone)
    show(f"memory with {len(few.placed)} and with {len(everyone)} adapters")
    return Memory(len(more.placed), before, after - before, more.tensor_bytes), everyone


def _resident(bundle: Bundle, state: Path, provider: str, placed: Sequence[Placed]) -> int:
    environment = {
        "TENANTRY_BANK_SLOTS": str(FEW_SLOTS),
        "TENANTRY_HOST_CACHE_BYTES_MAX": str(_CACHE_BYTES),
    }
    with tenantry(bundle.path, state, provider, environment) as server:
        connection = Connection(server.port)
        for one in placed:
            ask(connection, one)
        connection.close()
        time.sleep(_SETTLE_S)
        return server.resident_bytes()


def slot_bytes(manifest: Manifest, slots: int) -> int:
    """Return what a bank of so many slots takes once all of them were written whole."""
    floats = sum(target.in_features + target.out_features for target in manifest.targets)
    return (slots + 1) * manifest.max_rank * floats * 4
