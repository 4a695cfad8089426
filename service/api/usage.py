"""What a tenant used, day by day."""

import asyncio
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response

from service.api.answers import json_response
from service.api.call import call_of
from service.api.names import TenantName
from service.api.openapi import example_of, refusals
from service.api.schemas import UsageDocument
from service.errors import MalformedRequest, UnacceptableRequest, UnknownTenant
from service.registry.records import UsageLine
from service.registry.registry import Registry
from service.usage import UsageBook

TAG = "Tenants"
_DAYS = 31  # shown where nobody says since when
_DAYS_MAX = 1_000


class UsageReport:
    """The route of a tenant's usage."""

    def __init__(self, registry: Registry, book: UsageBook) -> None:
        self._registry = registry
        self._book = book

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route(
            "/v1/tenants/{tenant}/usage",
            self.show,
            methods=["GET"],
            tags=[TAG],
            summary="Show what a tenant used",
            responses={
                200: example_of(UsageDocument, _EXAMPLE),
                **refusals(UnknownTenant, MalformedRequest, UnacceptableRequest),
            },
        )

    async def show(
        self,
        tenant: TenantName,
        request: Request,
        since: Annotated[
            str | None,
            Query(description="the first day, YYYY-MM-DD in UTC; else 30 days before the last"),
        ] = None,
        until: Annotated[
            str | None, Query(description="the last day, YYYY-MM-DD in UTC; else today")
        ] = None,
    ) -> Response:
        """Show what a tenant used: in all, and on each day on which it used anything.

        Each process writes down what it answered every few seconds, and this one before it
        answers here; so what others answered comes a little later, and a crash can lose that
        little.
        """
        last = datetime.now(UTC).date() if until is None else _day("until", until)
        if since is None:
            first = date.fromordinal(max(1, last.toordinal() - _DAYS + 1))
        else:
            first = _day("since", since)
        if first > last:
            raise UnacceptableRequest("since must not be behind until")
        if (last - first).days >= _DAYS_MAX:
            raise UnacceptableRequest(f"at most {_DAYS_MAX} days are shown at once")
        own = call_of(request.scope).admitted.tenant is not None
        await self._book.flush()
        lines = await asyncio.to_thread(self._lines, tenant, first, last, own=own)
        return json_response(
            {
                "tenant": tenant,
                "since": first.isoformat(),
                "until": last.isoformat(),
                "total": _total(lines),
                "days": [asdict(line) for line in lines],
            }
        )

    def _lines(self, tenant: str, first: date, last: date, *, own: bool) -> list[UsageLine]:
        """Return a tenant's days; to itself, none of another one that had its name before it."""
        if own:
            made = datetime.fromisoformat(self._registry.tenant(tenant).created_at)
            first = max(first, made.astimezone(UTC).date())
        return self._registry.usage(tenant, first, last)


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MalformedRequest(f"{name} must be a day as YYYY-MM-DD") from None


def _total(lines: list[UsageLine]) -> dict[str, Any]:
    return {
        "requests": sum(line.requests for line in lines),
        "texts": sum(line.texts for line in lines),
        "tokens": sum(line.tokens for line in lines),
        "compute_s": sum(line.compute_s for line in lines),
        "limited": sum(line.limited for line in lines),
    }


_TOTAL = {"requests": 8140, "texts": 12_310, "tokens": 402_118, "compute_s": 96.4, "limited": 3}
_EXAMPLE = {
    "tenant": "acme",
    "since": "2025-03-30",
    "until": "2025-03-31",
    "total": _TOTAL,
    "days": [{"day": "2025-03-31", **_TOTAL}],
}
