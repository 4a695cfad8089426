"""What every error becomes on the wire: one total map, and the bodies that are made from it.

Native routes answer `application/problem+json` (RFC 9457); the routes of the Open Inference
Protocol answer `{"error": "<text>"}`, because its clients can read nothing else. A contract test
keeps the map total over `TenantryError`.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service import errors
from service.engine import errors as engine_errors
from service.engine.errors import InvalidAdapter, TenantryError

Headers = list[tuple[bytes, bytes]]

# What the system says of a file, and its path: callers are told the first alone.
_SYSTEM_WORDS = re.compile(r"\[Errno \d+\] ([^:'\"]+)(?:: ['\"].*)?", re.DOTALL)

_RETRY_SOON = ((b"retry-after", b"1"),)
_RETRY_LATER = ((b"retry-after", b"30"),)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of errors is told."""

    status: int
    code: str
    title: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, ready to be told; knows nothing of the request that it ends."""

    kind: Kind
    detail: str
    problems: tuple[engine_errors.Problem, ...] = ()
    headers: Headers = field(default_factory=list)


MALFORMED = Kind(400, "malformed", "The request cannot be read")
UNACCEPTABLE = Kind(422, "unacceptable", "The request cannot be accepted")
UNKNOWN_PATH = Kind(404, "unknown-path", "There is no such route")
WRONG_METHOD = Kind(405, "wrong-method", "The route does not take this method")
INTERNAL = Kind(500, "internal", "An error of ours")
_QUARANTINED = Kind(409, "adapter-quarantined", "The adapter is out of service")

KINDS: dict[type[TenantryError], Kind] = {
    errors.MalformedRequest: MALFORMED,
    errors.UnacceptableRequest: UNACCEPTABLE,
    errors.InputTooLong: Kind(422, "input-too-long", "The input is too long"),
    errors.BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    errors.WrongMediaType: Kind(415, "wrong-media-type", "The route does not take this type"),
    errors.NotAuthenticated: Kind(
        401, "not-authenticated", "A key is needed", ((b"www-authenticate", b"Bearer"),)
    ),
    errors.NotPermitted: Kind(403, "not-permitted", "The key does not cover this"),
    errors.ForeignHost: Kind(403, "foreign-host", "The server is open to its own machine alone"),
    errors.UnknownPath: UNKNOWN_PATH,
    errors.UnknownTenant: Kind(404, "unknown-tenant", "There is no such tenant"),
    errors.UnknownAdapter: Kind(404, "unknown-adapter", "There is no such adapter"),
    errors.UnknownKey: Kind(404, "unknown-key", "There is no such key"),
    errors.UnknownVersion: Kind(404, "unknown-version", "There is no such version"),
    errors.NoLiveVersion: Kind(404, "no-live-version", "No version of the adapter is live"),
    errors.Conflict: Kind(409, "conflict", "The thing is in use, or exists already"),
    errors.RevisionMismatch: Kind(412, "revision-mismatch", "It was changed in the meantime"),
    errors.AdapterUnreadable: Kind(500, "adapter-unreadable", "The stored adapter is damaged"),
    # A fault of the adapter, not of the server: a 5xx would make a load balancer take the whole
    # server away from the tenants whose adapters are sound.
    errors.AdapterQuarantined: _QUARANTINED,
    engine_errors.NonFiniteOutput: _QUARANTINED,
    # Its Retry-After is its own: `problem_of`.
    errors.TenantLimited: Kind(429, "tenant-limited", "The tenant is beyond its limit"),
    errors.QueueFull: Kind(503, "queue-full", "The server is full", _RETRY_SOON),
    errors.EngineFailed: Kind(503, "engine-failed", "The engine has failed", _RETRY_SOON),
    errors.Stopping: Kind(503, "stopping", "The server is stopping", _RETRY_SOON),
    errors.DeadlinePassed: Kind(504, "deadline-passed", "The deadline passed"),
    errors.StoreFull: Kind(503, "store-full", "The server cannot store more", _RETRY_LATER),
    engine_errors.InvalidImage: Kind(422, "undecodable-image", "The image cannot be decoded"),
    engine_errors.UnsupportedImage: Kind(422, "unsupported-image", "The image is of another type"),
    engine_errors.ImageTooLarge: Kind(422, "image-too-large", "The image is too large"),
    engine_errors.InvalidAdapter: Kind(422, "invalid-adapter", "The adapter cannot be served"),
    # Raised at start-up or by commands: nobody sees them here, and the map is total all the same.
    engine_errors.InvalidBundle: INTERNAL,
    engine_errors.ProviderUnavailable: INTERNAL,
    engine_errors.UnsupportedRecipe: INTERNAL,
    engine_errors.UnreadableTexts: INTERNAL,
    errors.InvalidSettings: INTERNAL,
    errors.StateDamaged: INTERNAL,
}

CODES = sorted(
    {kind.code for kind in KINDS.values()} | {UNKNOWN_PATH.code, WRONG_METHOD.code, INTERNAL.code}
)


def problem_of(error: Exception) -> Problem:
    """Return what an error becomes; one that is not known becomes a 500 that tells nothing."""
    if isinstance(error, TenantryError):
        kind = KINDS.get(type(error), INTERNAL)
        if kind is INTERNAL:
            return _internal()
        problems = error.problems if isinstance(error, InvalidAdapter) else ()
        headers = list(kind.headers)
        if isinstance(error, errors.TenantLimited):
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
        detail = str(error)
        if isinstance(error, errors.AdapterUnreadable):
            detail = _SYSTEM_WORDS.sub(r"\1", detail)
        return Problem(kind, detail, problems, headers)
    if isinstance(error, HTTPException):
        return _framework_problem(error)
    if isinstance(error, RequestValidationError):
        return Problem(UNACCEPTABLE, "; ".join(_validation_lines(error)))
    return _internal()


def _internal() -> Problem:
    return Problem(INTERNAL, "the server failed; its log tells more under this request id")


def _framework_problem(error: HTTPException) -> Problem:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (error.headers or {}).items()
    ]
    if error.status_code == UNKNOWN_PATH.status:
        return Problem(UNKNOWN_PATH, "no such route; /docs lists them all", headers=headers)
    if error.status_code == WRONG_METHOD.status:
        return Problem(WRONG_METHOD, "the header Allow lists the methods", headers=headers)
    if error.status_code == MALFORMED.status:
        return Problem(MALFORMED, str(error.detail), headers=headers)
    return _internal()


def _validation_lines(error: RequestValidationError) -> Iterable[str]:
    for item in error.errors():
        yield f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}"


def problem_body(problem: Problem, request_id: str) -> bytes:
    """Return the body of an `application/problem+json` answer."""
    document: dict[str, object] = {
        "type": f"urn:tenantry:problem:{problem.kind.code}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "code": problem.kind.code,
        "request_id": request_id,
    }
    if problem.problems:
        document["problems"] = [
            {"where": item.where, "what": item.what} for item in problem.problems
        ]
    return orjson.dumps(document)


def oip_error_body(problem: Problem) -> bytes:
    """Return the body of an error on the Open Inference Protocol's routes."""
    return orjson.dumps({"error": f"{problem.detail} [{problem.kind.code}]"})
