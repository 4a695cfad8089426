"""One change of the registry, while its transaction is open."""

from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, insert

from service.registry import tables
from service.registry.routes import Routes, read_adapter_routes


@dataclass(slots=True)
class Change:
    """What is written, its lines in the audit trail, and the routes that hold after it."""

    connection: Connection
    at: str
    actor: str
    backbone: str  # digest of the bundle that is served
    routes: Routes

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

    def reroute(self, tenant: str, adapter: str) -> None:
        """Let the routes follow what was written of an adapter."""
        routes = read_adapter_routes(self.connection, tenant, adapter, self.backbone)
        self.routes = self.routes.with_adapter(tenant, adapter, routes)


def _encoded(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
