"""What came and what became of it, in SQLite: written down before the sender is told that it came.

An event's id is the key, so one that comes twice is one job.
"""

import sqlite3
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,       -- tenant.adapter
    event TEXT NOT NULL,         -- as it came
    received_s REAL NOT NULL,
    state TEXT NOT NULL,         -- waiting, running, done, failed
    exit_status INTEGER
)
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A training job that an event asked for."""

    id: str
    subject: str
    event: str
    state: str
    exit_status: int | None


class Ledger:
    """The jobs; may be used by any thread."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(_TABLE)
        # Of a receiver that died: its jobs did not end, as far as anybody knows.
        self._connection.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")

    def add(self, event_id: str, subject: str, event: str, received_s: float) -> bool:
        """Write an event down, on the disk when this returns; return False for one that is there.

        >>> ledger = Ledger(Path(":memory:"))
        >>> ledger.add("a", "acme.router", "{}", 0.0), ledger.add("a", "acme.router", "{}", 1.0)
        (True, False)
        """
        with self._lock:
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, ?, 'waiting', NULL)",
                (event_id, subject, event, received_s),
            )
            return cursor.rowcount == 1

    def take(self, busy: Collection[str]) -> Job | None:
        """Return the oldest job that waits and whose adapter is not busy, now as running."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, subject, event FROM jobs WHERE state = 'waiting' ORDER BY received_s"
            )
            for event_id, subject, event in rows.fetchall():
                if subject not in busy:
                    self._connection.execute(
                        "UPDATE jobs SET state = 'running' WHERE id = ?", (event_id,)
                    )
                    return Job(event_id, subject, event, "running", None)
        return None

    def end(self, event_id: str, exit_status: int) -> None:
        """Write down how a job ended; 0 is well."""
        state = "done" if exit_status == 0 else "failed"
        with self._lock:
            self._connection.execute(
                "UPDATE jobs SET state = ?, exit_status = ? WHERE id = ?",
                (state, exit_status, event_id),
            )

    def jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, subject, event, state, exit_status FROM jobs ORDER BY received_s"
            )
            return [Job(*row) for row in rows.fetchall()]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
