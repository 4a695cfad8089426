"""The keys of tenants, read from the service's registry and never written.

The registry is SQLite in the same state directory; its table `keys` has a row for each key, with
the hash of it. Where there is no registry (a log alone) no tenant has a key.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.credentials.tenant_keys import find

FILE = "registry.sqlite3"
CHECK_S = 1.0
_BUSY_S = 0.2  # requests wait for it

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A key as it is held in memory."""

    tenant: str
    hash: bytes  # 32 bytes


class TenantKeys:
    """Knows whose a key is, and asks the registry for changes once a second at most.

    A registry that cannot be read has no keys, and that is logged, once: what was revoked in it
    meanwhile would open for ever. Scopes are not looked at: every key of a tenant may see the
    tenant's own report.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = state / FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._check_at_s = clock()
        self._registry: _Registry | None = None
        self._held: dict[str, TenantKey] = {}
        self._failure = ""  # why the registry could not be read the last time

    def tenant_of(self, key: bytes) -> str | None:
        """Return the tenant whose key this is, None for one that is wrong or revoked."""
        with self._lock:
            self._refresh()
            held = self._held
        # Keys are ASCII, and what is not cannot be one.
        found = find(held, key.decode("ascii")) if key.isascii() else None
        return None if found is None else found.tenant

    def close(self) -> None:
        """Close the registry."""
        with self._lock:
            self._drop()

    def _refresh(self) -> None:
        now_s = self._clock()
        if now_s < self._check_at_s:
            return
        self._check_at_s = now_s + CHECK_S
        try:
            self._ask()
        except (OSError, ValueError, sqlite3.Error) as error:
            self._drop()
            self._held = {}
            if str(error) != self._failure:
                logger.warning("the keys of tenants cannot be read: %s", error)
            self._failure = str(error)
        else:
            self._failure = ""

    def _ask(self) -> None:
        inode = self._path.stat().st_ino  # another file may have been put in its place
        if self._registry is None or self._registry.inode != inode:
            self._drop()
            self._registry = _Registry(self._path, inode)
        held = self._registry.changed()
        if held is not None:
            self._held = held

    def _drop(self) -> None:
        if self._registry is not None:
            self._registry.close()
            self._registry = None


class _Registry:
    """One connection to the registry, which knows of the changes that it has seen."""

    def __init__(self, path: Path, inode: int) -> None:
        self.inode = inode
        uri = f"{path.absolute().as_uri()}?mode=ro"
        # Whoever holds the lock above is the only one to use it.
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
        )
        self._seen: int | None = None

    def changed(self) -> dict[str, TenantKey] | None:
        """Return all keys by their ids, None where nobody has committed anything since."""
        # SQLite counts the commits of others for each connection: asking reads no table.
        (found,) = self._connection.execute("PRAGMA data_version").fetchone()
        if found == self._seen:
            return None
        rows = self._connection.execute("SELECT id, tenant, hash FROM keys").fetchall()
        self._seen = found
        return {name: TenantKey(tenant, bytes.fromhex(text)) for name, tenant, text in rows}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
