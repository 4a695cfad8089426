"""What every error becomes on the wire: one total map, and the body that is made from it.

Errors of the wire itself are here and not in `monitoring/errors.py`, which knows nothing of it:

Refused
├── NotAuthenticated   no key, or one that nobody knows
├── NotPermitted       the key does not cover this
└── ForeignHost        an open sidecar answers to its own machine alone
"""

from dataclasses import dataclass

import msgspec
from starlette.exceptions import HTTPException

from monitoring import errors

Headers = tuple[tuple[bytes, bytes], ...]


class Refused(Exception):
    """A request that is not let in; the message is for people."""


class NotAuthenticated(Refused):
    """No key, or one that nobody knows."""


class NotPermitted(Refused):
    """The key does not cover this."""


class ForeignHost(Refused):
    """An open sidecar answers to its own machine alone."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of errors is told."""

    status: int
    code: str
    title: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, ready to be told."""

    kind: Kind
    detail: str
    headers: Headers = ()

    def body(self, request_id: str) -> bytes:
        """Return it as `application/problem+json` (RFC 9457)."""
        return msgspec.json.encode(
            {
                "type": f"urn:tenantry:problem:{self.kind.code}",
                "title": self.kind.title,
                "status": self.kind.status,
                "detail": self.detail,
                "code": self.kind.code,
                "request_id": request_id,
            }
        )


INTERNAL = Kind(500, "internal", "An error of ours")
UNKNOWN_PATH = Kind(404, "unknown-path", "There is no such route")
WRONG_METHOD = Kind(405, "wrong-method", "The route does not take this method")

KINDS: dict[type[Exception], Kind] = {
    NotAuthenticated: Kind(
        401, "not-authenticated", "A key is needed", ((b"www-authenticate", b"Bearer"),)
    ),
    NotPermitted: Kind(403, "not-permitted", "The key does not cover this"),
    ForeignHost: Kind(403, "foreign-host", "The sidecar is open to its own machine alone"),
    errors.UnknownWatched: Kind(404, "unknown-watched", "There is nothing of it in the log"),
    # Raised at start-up or by the ingest, so that nobody sees them here; the map is total anyway.
    errors.InvalidMonitorSettings: INTERNAL,
    errors.StateInUse: INTERNAL,
    errors.ForeignState: INTERNAL,
    errors.Incompatible: INTERNAL,
}


def problem_of(error: Exception) -> Problem:
    """Return what an error becomes; one that is not known becomes a 500 that tells nothing."""
    if isinstance(error, HTTPException):
        return _of_the_framework(error)
    kind = KINDS.get(type(error), INTERNAL)
    if kind is INTERNAL:
        return Problem(INTERNAL, "the sidecar failed; its log tells more under this request id")
    return Problem(kind, str(error), kind.headers)


def _of_the_framework(error: HTTPException) -> Problem:
    if error.status_code == UNKNOWN_PATH.status:
        return Problem(UNKNOWN_PATH, "there are /, /metrics, /v1/report[/{tenant}[/{adapter}]]")
    if error.status_code == WRONG_METHOD.status:
        allow = (error.headers or {}).get("Allow", "GET")
        return Problem(
            WRONG_METHOD, "the header Allow lists the methods", ((b"allow", allow.encode("ascii")),)
        )
    return problem_of(RuntimeError(error.detail))
