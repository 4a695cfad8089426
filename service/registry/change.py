"""One change of the registry, while its transaction is open."""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, insert

from service.registry import tables


@dataclass(frozen=True, slots=True)
class Change:
    """What is written, its lines in the audit trail, and what is told once it is on disk.

    The lines say what changed: what requests read in memory is read anew for every tenant and
    adapter that one of them names (`view.py`). So whoever writes something that a request can
    see writes a line.
    """

    connection: Connection
    at: str
    actor: str
    backbone: str  # digest of the bundle that is served
    gone: list[str] = field(default_factory=list)  # digests of versions that were deleted
    told: list[Callable[[], object]] = field(default_factory=list)  # called after the commit

    def log(
        self,
        action: str,
        *,
        tenant: str,
        adapter: str | None = None,
        before: object = None,
        after: object = None,
    ) -> None:
        """Add a line; it becomes true with the change that it tells of, or not at all."""
        self.connection.execute(
            insert(tables.audit).values(
                at=self.at,
                actor=self.actor,
                action=action,
                tenant=tenant,
                adapter=adapter,
                before=_encoded(before),
                after=_encoded(after),
            )
        )


def _encoded(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
