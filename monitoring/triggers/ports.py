"""What the delivery of triggers needs of the world around it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection

from monitoring.triggers.retries import Outcome


class Database(Protocol):
    """The sidecar's one database."""

    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one moment of the database."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """Give a connection that alone may write; commit at the end, roll back on an error."""
        ...


class Clock(Protocol):
    """The wall clock: what signatures and delays go by."""

    def now_s(self) -> float:
        """Return the seconds since 1970."""
        ...


class Poster(Protocol):
    """Sends a body to the receiver."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Return what came of it, within a bounded time; never raise for what the network does."""
        ...
