"""An answer as it came, and the error that it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from service.client import errors
from service.client.errors import TenantryClientError, UnreadableAnswer, problems_of
from service.client.reading import Document, Reader

_SHOWN = 200
_CLASSES: Mapping[int, type[TenantryClientError]] = {
    400: errors.BadRequest,
    401: errors.KeyRefused,
    403: errors.NotPermitted,
    404: errors.NotFound,
    405: errors.BadRequest,
    409: errors.Conflict,
    412: errors.Changed,
    413: errors.BadRequest,
    415: errors.BadRequest,
    422: errors.BadRequest,
    429: errors.TenantLimited,
    502: errors.ServerBusy,
    503: errors.ServerBusy,
    504: errors.TimePassed,
}
_ADVICE = {
    "not-authenticated": "give a key that it knows: `key` of the client; `--key-file` or"
    " TENANTRY_KEY of the commands, which do not read TENANTRY_ADMIN_KEY",
    "not-permitted": "ask whoever runs the server for a key that covers it",
    "foreign-host": "call it as 127.0.0.1 on its own machine, or start it with an admin key",
    "unknown-path": "is the address right, and the server as new as this client?",
    "unknown-tenant": "`tenantry tenants list` shows those that your key may see",
    "unknown-adapter": "`tenantry adapters list TENANT` shows what there is",
    "unknown-version": "`tenantry adapters show TENANT.ADAPTER` shows what there is",
    "unknown-key": "`tenantry tenants keys list TENANT` shows what there is",
    "no-live-version": "`tenantry adapters rollout TENANT.ADAPTER --live N` makes one answer",
    "revision-mismatch": "look at the current one, and decide again",
    "adapter-quarantined": "roll back, or upload a sound version",
    "body-too-large": "send less at once",
    "deadline-passed": "give it more time (`timeout_s`, `--timeout`), or ask for less at once",
    "store-full": "whoever runs the server must make room",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's value; raise `UnreadableAnswer`."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise self._unreadable("is not JSON") from error

    def object(self) -> Document:
        """Return the body's JSON object; raise `UnreadableAnswer`."""
        return Reader(self.json(), "the document").document

    def text(self) -> str:
        """Return the body's text; raise `UnreadableAnswer`."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._unreadable("is no text in UTF-8") from error

    def _unreadable(self, flaw: str) -> UnreadableAnswer:
        return UnreadableAnswer(
            f"the server's answer {flaw}",
            status=self.status,
            request_id=self.headers.get("x-request-id"),
            advice="is the address that of a Tenantry server?",
        )

    @property
    def succeeded(self) -> bool:
        """Return whether the server did what it was asked for."""
        return 200 <= self.status < 300

    @property
    def is_own(self) -> bool:
        """Return whether a Tenantry server said so, and not something before it."""
        return "code" in self._problem()

    def _problem(self) -> Document:
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    def error(self, asked: str) -> TenantryClientError:
        """Return the error that the answer to a request is."""
        if 300 <= self.status < 400:
            return UnreadableAnswer(
                f"{asked} was answered with a redirect to {self.headers.get('location')!r}",
                status=self.status,
                advice="it is not followed, or the key would go there too: give that address",
            )
        told = self._problem()
        kind = _CLASSES.get(self.status, errors.ServerFailed)
        code = told.get("code")
        request_id = told.get("request_id") or self.headers.get("x-request-id")
        retry_after_s = self.retry_after_s()
        advice = _ADVICE.get(code) if isinstance(code, str) else None
        if advice is None and retry_after_s is not None:
            advice = f"come again in {retry_after_s:g} s"
        if advice is None and kind is errors.ServerFailed:
            advice = f"the server's log tells more under the request id {request_id}"
        return kind(
            self._detail(asked, told),
            status=self.status,
            code=code if isinstance(code, str) else None,
            problems=problems_of(told.get("problems")),
            request_id=request_id if isinstance(request_id, str) else None,
            retry_after_s=retry_after_s,
            advice=advice,
        )

    def _detail(self, asked: str, told: Document) -> str:
        detail = told.get("detail")
        if isinstance(detail, str) and detail:
            return detail
        shown = " ".join(self.body[:_SHOWN].decode("utf-8", "replace").split())
        return f"{asked} was refused by something that is not Tenantry: {shown or 'no body'}"

    def retry_after_s(self) -> float | None:
        """Return after how many seconds to come again; None where the answer does not say."""
        given = self.headers.get("retry-after", "").strip()
        if given.isascii() and given.isdigit():
            return float(given)
        try:
            moment = parsedate_to_datetime(given)
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
