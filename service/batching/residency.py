"""Residency: from the store to host memory, and from there into the bank's slots.

Loads from the store run on threads of their own, so a miss stalls nobody; writes into the bank
happen between passes, on the thread that runs them. Host memory keeps loaded adapters at their
own rank, least recently used out first, within a bound in bytes.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from service.batching.jobs import BACKBONE
from service.batching.loads import Loads
from service.batching.slots import Slot, Slots
from service.engine.adapter import Adapter
from service.engine.feed import Lease
from service.engine.forward import Member
from service.engine.runtime import Runtime


class HostCache:
    """Loaded adapters, bounded in bytes; used from several threads."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self._lock = Lock()
        self._adapters: OrderedDict[str, Adapter] = OrderedDict()

    def get(self, digest: str) -> Adapter | None:
        """Return the adapter, which counts as a use, or None."""
        with self._lock:
            adapter = self._adapters.get(digest)
            if adapter is not None:
                self._adapters.move_to_end(digest)
            return adapter

    def put(self, adapter: Adapter) -> None:
        """Keep the adapter; the least recently used leave while there are too many bytes."""
        with self._lock:
            self._remove(adapter.digest)
            self._adapters[adapter.digest] = adapter
            self.bytes += adapter.nbytes
            while self.bytes > self.bytes_max and len(self._adapters) > 1:
                self._remove(next(iter(self._adapters)))

    def discard(self, digest: str) -> None:
        """Forget the adapter, if it is there."""
        with self._lock:
            self._remove(digest)

    def _remove(self, digest: str) -> None:
        adapter = self._adapters.pop(digest, None)
        if adapter is not None:
            self.bytes -= adapter.nbytes


@dataclass(frozen=True, slots=True)
class Resident:
    """An adapter in its slot."""

    slot: Slot
    member: Member


# Slot 0 is never written: rank 0 of it is no LoRA at all.
BARE = Resident(Slot(0, 0, BACKBONE), Member(None, Lease(0, 0)))


class Residency:
    """Brings adapters into slots. All but `HostCache` is for the runtime's thread alone."""

    def __init__(
        self,
        runtime: Runtime,
        cache: HostCache,
        load: Callable[[str], Adapter],
        arrived: Callable[[str, Exception | None], None],
    ) -> None:
        """`load(digest)` reads the store; `arrived(digest, error)` is told, on another thread."""
        self.slots = Slots(runtime.slots)
        self._runtime = runtime
        self._cache = cache
        self._load = load
        self._arrived = arrived
        self._resident: dict[str, Resident] = {}
        self._loads = Loads(self._load_one)
        self.evictions = 0
        self.writes = 0

    def find(self, digest: str) -> Resident | None:
        """Return the adapter's slot, which counts as a use, or None."""
        return self._resident[digest] if self.slots.find(digest) is not None else None

    def bring(self, digest: str, tenant: str = "", *, shadow: bool = False) -> Resident | None:
        """Return the adapter in a slot, writing it there if host memory has it.

        None where it must be loaded first (which this begins, in the tenant's turn) or where every
        slot is in use. Raises what the runtime raises where it cannot be written; then it has no
        slot.
        """
        resident = self.find(digest)
        if resident is not None:
            return resident
        adapter = self._cache.get(digest)
        if adapter is None:
            self._loads.begin(digest, tenant, shadow=shadow)
            return None
        if not self.slots.can_allocate():
            return None
        slot, left = self.slots.allocate(digest)
        if left is not None:
            del self._resident[left]
            self.evictions += 1
        self.writes += 1
        try:
            lease = self._runtime.write(slot.number, adapter)
        except BaseException:
            self.slots.release(digest)
            raise
        resident = Resident(slot, Member(adapter, lease))
        self._resident[digest] = resident
        return resident

    def keep(self, adapter: Adapter) -> None:
        """Put an adapter into host memory that is not in the store yet."""
        self._cache.put(adapter)

    def is_loading(self, digest: str) -> bool:
        """Return whether the adapter is on its way from the store."""
        return digest in self._loads

    def settled(self, digest: str) -> None:
        """Note that a load has ended."""
        self._loads.ended(digest)

    def release(self, digest: str) -> None:
        """Take an adapter out of its slot, if it has one, and out of host memory.

        Only between passes, when no slot is pinned.
        """
        if digest in self._resident:
            self.slots.release(digest)
            del self._resident[digest]
        self._cache.discard(digest)

    def close(self) -> None:
        """Stop the loaders."""
        self._loads.close()

    def _load_one(self, digest: str) -> None:
        try:
            self._cache.put(self._load(digest))
        except Exception as error:  # noqa: BLE001 - the callers who wait for it get it
            self._arrived(digest, error)
        else:
            self._arrived(digest, None)
