"""What the client raises: one tree, whose texts say what happened and what to do next.

TenantryClientError
├── InvalidCall          what was asked for cannot be sent: an address, a key, a name
├── UnusablePackage      a folder or an archive cannot be uploaded
├── Unreachable          nobody answered at the address, or the connection broke
├── UnreadableAnswer     something answered that is not Tenantry, or another version of it
├── TimePassed           the caller's time passed before the answer was there
└── Refused              the server answered, and said no
    ├── BadRequest           400, 405, 413, 415, 422: the request cannot be accepted as it is
    ├── KeyRefused           401: no key, or one that the server does not know
    ├── NotPermitted         403: the key does not cover this
    ├── NotFound             404: there is no such thing, or the key may not see it
    ├── Conflict             409: the thing is in use, or is out of service
    ├── Changed              412: somebody else was faster
    ├── TenantLimited        429: the tenant is beyond a limit of its own
    ├── ServerBusy           502, 503: the server is full, starting or stopping
    └── ServerFailed         500 and what else there is: an error of the server's

Every one of them has the fields of the server's problem document; where no server answered they
are None. No key is ever part of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where: a key, a file, a tensor's name, a JSON path."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def problems_of(listed: object) -> tuple[Problem, ...]:
    """Return the problems of a document's list; what is none of them is left out."""
    if not isinstance(listed, list):
        return ()
    return tuple(
        Problem(str(item.get("where", "")), str(item.get("what", "")))
        for item in listed
        if isinstance(item, dict)
    )


class TenantryClientError(Exception):
    """Root of the tree."""

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        problems: Sequence[Problem] = (),
        request_id: str | None = None,
        retry_after_s: float | None = None,
        advice: str | None = None,
    ) -> None:
        self.detail = detail
        self.status = status
        self.code = code
        self.problems = tuple(problems)
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.advice = advice
        super().__init__(self._text())

    def _text(self) -> str:
        said = self.detail.rstrip(".")
        if self.status is not None:
            named = f"{self.status} {self.code}" if self.code else str(self.status)
            said += f" [{named}]"
        return f"{said}; {self.advice}" if self.advice else said

    def with_advice(self, advice: str) -> Self:
        """Return the same error with another advice."""
        return type(self)(
            self.detail,
            status=self.status,
            code=self.code,
            problems=self.problems,
            request_id=self.request_id,
            retry_after_s=self.retry_after_s,
            advice=advice,
        )

    def document(self) -> dict[str, object]:
        """Return the error as a JSON document; what is not known is left out."""
        told = {
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "problems": [{"where": item.where, "what": item.what} for item in self.problems],
            "request_id": self.request_id,
            "retry_after_s": self.retry_after_s,
            "advice": self.advice,
        }
        return {name: value for name, value in told.items() if value not in (None, [])}


class InvalidCall(TenantryClientError):
    """What was asked for cannot be sent."""


class UnusablePackage(TenantryClientError):
    """A folder or an archive cannot be uploaded; the text says what to do about it."""


class Unreachable(TenantryClientError):
    """Nobody answered at the address, or the connection broke."""


class UnreadableAnswer(TenantryClientError):
    """Something answered that is not Tenantry, or another version of it."""


class TimePassed(TenantryClientError):
    """The caller's time passed before the answer was there."""


class Refused(TenantryClientError):
    """The server answered, and said no."""


class BadRequest(Refused):
    """The request cannot be accepted as it is."""


class KeyRefused(Refused):
    """No key, or one that the server does not know."""


class NotPermitted(Refused):
    """The key does not cover this."""


class NotFound(Refused):
    """There is no such thing, or the key may not see it."""


class Conflict(Refused):
    """The thing is in use, or is out of service."""


class Changed(Refused):
    """Somebody else was faster: the revision is another one."""


class TenantLimited(Refused):
    """The tenant is beyond a limit of its own."""


class ServerBusy(Refused):
    """The server is full, starting or stopping."""


class ServerFailed(Refused):
    """An error of the server's."""
