"""Loads: adapters on their way from the store, on threads of their own, tenants in turn.

A tenant that asks for a thousand cold adapters gets them one by one in turn with everybody else's;
what shadows need is read when no caller waits for anything.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

_LOADERS = 2

_Lanes = OrderedDict[str, deque[str]]  # digests by tenant; the first tenant is next


class Loads:
    """Begins loads and says which are under way. `begin` and `ended` are for one thread alone."""

    def __init__(self, load: Callable[[str], None], loaders: int = _LOADERS) -> None:
        """`load(digest)` does the work, on one of the loaders' threads, and does not raise."""
        self._load = load
        self._loading: set[str] = set()
        self._lock = Lock()
        self._callers: _Lanes = OrderedDict()
        self._shadows: _Lanes = OrderedDict()
        self._shadow_of: dict[str, str] = {}  # digests in `_shadows`, and whose turn they take
        self._pool = ThreadPoolExecutor(loaders, thread_name_prefix="tenantry-load")

    def __contains__(self, digest: str) -> bool:
        return digest in self._loading

    def begin(self, digest: str, tenant: str, *, shadow: bool) -> None:
        """Begin a load, unless it was begun already; one for a caller overtakes shadows'."""
        if digest in self._loading:
            if not shadow:
                self._hasten(digest, tenant)
            return
        self._loading.add(digest)
        with self._lock:
            if shadow:
                self._shadow_of[digest] = tenant
            _append(self._shadows if shadow else self._callers, tenant, digest)
        self._pool.submit(self._load_next)

    def ended(self, digest: str) -> None:
        """Note that a load has ended."""
        self._loading.discard(digest)

    def close(self) -> None:
        """Stop the loaders."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hasten(self, digest: str, tenant: str) -> None:
        """Let a load that a shadow asked for count as a caller's, if it has not begun."""
        with self._lock:
            owner = self._shadow_of.pop(digest, None)
            if owner is None:
                return
            lane = self._shadows[owner]
            lane.remove(digest)
            if not lane:
                del self._shadows[owner]
            _append(self._callers, tenant, digest)

    def _load_next(self) -> None:
        with self._lock:
            lanes = self._callers or self._shadows
            tenant, lane = lanes.popitem(last=False)
            digest = lane.popleft()
            self._shadow_of.pop(digest, None)
            if lane:
                lanes[tenant] = lane  # behind all others
        self._load(digest)


def _append(lanes: _Lanes, tenant: str, digest: str) -> None:
    lanes.setdefault(tenant, deque()).append(digest)
