"""The audit trail, page by page."""

import asyncio
import re
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Query, Response

from service.api.answers import json_response
from service.api.openapi import example_of, refusals
from service.api.schemas import AuditDocument
from service.errors import MalformedRequest
from service.registry.registry import Registry

TAG = "Operation"
_CURSOR = re.compile("[0-9]{1,18}")


class Audit:
    """The route of the audit trail."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route(
            "/v1/audit",
            self.lines,
            methods=["GET"],
            tags=[TAG],
            summary="Show who changed what",
            responses={200: example_of(AuditDocument, _EXAMPLE), **refusals(MalformedRequest)},
        )

    async def lines(
        self,
        tenant: Annotated[str | None, Query(description="only this tenant's lines")] = None,
        since: Annotated[
            str | None, Query(description="only lines from this time on, ISO 8601")
        ] = None,
        cursor: Annotated[str | None, Query(description="as the page before gave it")] = None,
    ) -> Response:
        """Show changes, oldest first: who, what, when, and the state before and after."""
        moment = None
        if since is not None:
            try:
                moment = datetime.fromisoformat(since)
            except ValueError:
                raise MalformedRequest("since must be a time in ISO 8601") from None
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise MalformedRequest("cursor must be as the page before gave it")
        page = await asyncio.to_thread(
            self._registry.audit, tenant, moment, None if cursor is None else int(cursor)
        )
        return json_response(
            {"lines": [asdict(line) for line in page.lines], "cursor": page.cursor}
        )


_EXAMPLE = {
    "lines": [
        {
            "id": 17,
            "at": "2025-03-31T09:32:11.040Z",
            "actor": "admin",
            "action": "rollout",
            "tenant": "acme",
            "adapter": "support",
            "before": {"live": 2},
            "after": {"live": 3},
        }
    ],
    "cursor": None,
}
