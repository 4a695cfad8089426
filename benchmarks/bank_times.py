"""How long it takes to write a slot, to answer with an adapter from the disk, and to start."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import page_cache
from benchmarks.bank_population import FULL, adapter_of, ask
from benchmarks.connection import Connection
from benchmarks.engine import variant_on
from benchmarks.rounds import show
from benchmarks.servers import tenantry
from benchmarks.spread import Spread
from benchmarks.tenancy import Placed
from service.engine.bundle import Bundle
from service.engine.runtime import OnnxRuntime

SLOTS = 128  # the service's default
FEW_SLOTS = 16  # so that adapters have to leave

_MS = 1e3
_DIFFERENT = 200  # adapters; together more than the processor's caches hold


@dataclass(frozen=True, slots=True)
class SlotWrites:
    """Writes of adapters of ranks 4 to 16 into slots, in the engine's own process."""

    fresh: Spread  # into slots that were never written, whose memory the system has yet to give
    over: Spread  # over other adapters


def slot_writes(bundle: Bundle, provider: str, count: int) -> SlotWrites:
    """Write `count` adapters over others, after one into each slot."""
    runtime = OnnxRuntime(bundle, provider, slots=SLOTS, variant=variant_on(bundle, provider))
    adapters = [adapter_of(bundle.manifest, FULL + number) for number in range(_DIFFERENT)]
    times = []
    for turn in range(SLOTS + count):
        adapter = adapters[turn % _DIFFERENT]
        start = time.perf_counter()
        runtime.write(1 + turn % SLOTS, adapter)
        times.append(_MS * (time.perf_counter() - start))
    show(f"{count} slot writes")
    return SlotWrites(Spread(times[:SLOTS]), Spread(times[SLOTS:]))


@dataclass(frozen=True, slots=True)
class ColdLoads:
    """Lone requests to adapters in no slot and not in host memory, less the same ones warm."""

    warm: Spread
    beyond_disk: Spread  # files not in the page cache
    beyond_cached: Spread  # files in the page cache
    disk_bytes: int  # that the service has read from the disk meanwhile


def cold_loads(
    bundle: Bundle, state: Path, provider: str, placed: Sequence[Placed], rounds: int
) -> ColdLoads:
    """Ask each adapter cold, then warm; all in turn, so that each was evicted by the others.

    The page cache is emptied of the adapters' files before every other round.
    """
    environment = {"TENANTRY_BANK_SLOTS": str(FEW_SLOTS), "TENANTRY_HOST_CACHE_BYTES_MAX": "0"}
    warm: list[float] = []
    beyond: dict[bool, list[float]] = {True: [], False: []}
    with tenantry(bundle.path, state, provider, environment) as server:
        connection = Connection(server.port)
        for one in placed[-FEW_SLOTS:]:
            ask(connection, one)
        before = server.disk_bytes()
        for number in range(2 * rounds):
            from_disk = number % 2 == 0
            if from_disk:
                page_cache.forget(state, "*.safetensors")
            for one in placed:
                cold = _timed(connection, one)
                usual = float(np.median([_timed(connection, one) for _ in range(3)]))
                warm.append(usual)
                beyond[from_disk].append(cold - usual)
            show(f"cold loads: round {number + 1} of {2 * rounds}", last=number + 1 == 2 * rounds)
        read = server.disk_bytes() - before
        connection.close()
    return ColdLoads(Spread(warm), Spread(beyond[True]), Spread(beyond[False]), read)


def _timed(connection: Connection, placed: Placed) -> float:
    start = time.perf_counter()
    ask(connection, placed)
    return _MS * (time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class Starts:
    """Seconds from the start of the process to `/readyz`."""

    first: float  # with an empty state: `auto` measures the providers
    remembered: list[float]  # with the whole population, the choice remembered


def starts(bundle: Bundle, fresh: Path, state: Path, wanted: str, count: int) -> Starts:
    """Start the service on an empty state, and often on one that remembers."""
    with tenantry(bundle.path, fresh, wanted) as server:
        first = server.ready_s
    with tenantry(bundle.path, state, wanted):
        pass  # chooses, if this state never did
    remembered = []
    for turn in range(1, count + 1):
        with tenantry(bundle.path, state, wanted) as server:
            remembered.append(server.ready_s)
        show(f"start {turn} of {count}", last=turn == count)
    return Starts(first, remembered)
