"""The audit trail, page by page."""

import asyncio
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from service.api.answers import json_response
from service.api.call import call_of
from service.api.openapi import example_of, refusals
from service.api.schemas import AuditDocument
from service.errors import MalformedRequest, UnknownTenant
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
            responses={
                200: example_of(AuditDocument, _EXAMPLE),
                **refusals(MalformedRequest, UnknownTenant),
            },
        )

    async def lines(
        self,
        request: Request,
        tenant: Annotated[str | None, Query(description="only this tenant's lines")] = None,
        since: Annotated[
            str | None, Query(description="only lines from this time on, ISO 8601")
        ] = None,
        cursor: Annotated[str | None, Query(description="as the page before gave it")] = None,
    ) -> Response:
        """Show changes, oldest first: who, what, when, and the state before and after.

        A tenant's key shows the lines of its tenant, since that was made; an admin key all lines.
        """
        moment = None if since is None else _moment(since)
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise MalformedRequest("cursor must be as the page before gave it")
        caller = call_of(request.scope).admitted
        number = None if cursor is None else int(cursor)
        if caller.tenant is None:
            page = await asyncio.to_thread(self._registry.audit, tenant, moment, number)
        else:
            own = caller.tenant
            caller.require("admin", own if tenant is None else tenant)
            page = await asyncio.to_thread(self._registry.audit, own, moment, number, own=True)
        return json_response(
            {"lines": [asdict(line) for line in page.lines], "cursor": page.cursor}
        )


def _moment(text: str) -> datetime:
    """Return a time in UTC, which it is where it does not say otherwise.

    The plus of an offset arrives as a space where somebody put a line's `at` into an address as
    it is.
    """
    try:
        given = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedRequest("since must be a time in ISO 8601") from None


_EXAMPLE = {
    "lines": [
        {
            "id": 17,
            "at": "2025-03-31T09:32:11.040000+00:00",
            "actor": "admin",
            "action": "rollout.set",
            "tenant": "acme",
            "adapter": "support",
            "before": {"revision": 4, "live": 2},
            "after": {"revision": 5, "live": 3},
        }
    ],
    "cursor": None,
}
