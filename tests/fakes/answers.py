"""A server that is not there: says what it was told to say, and keeps what it was asked."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import httpx

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class FakePace:
    """A clock that stands still, but for those who wait on it; chance that is always the same."""

    seconds: float = 1000.0
    drawn: float = 0.5
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    def draw(self) -> float:
        return self.drawn


@dataclass
class FakeAsyncPace:
    """The same for an event loop."""

    seconds: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    def draw(self) -> float:
        return 0.5


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Gives its answers one after the other, the last one again and again."""

    def __init__(self, *answers: Answer, pace: FakePace | None = None) -> None:
        self._answers = list(answers)
        self._pace = pace
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.takes_s = 0.0  # how long each answer takes on the clock

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        return self._answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(await request.aread())
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._pace is not None:
            self._pace.seconds += self.takes_s
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        found = answer if isinstance(answer, httpx.Response) else answer(request)
        # A response is read once; the last one may be given again.
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    def documents(self) -> list[object]:
        """Return what was sent as JSON."""
        return [json.loads(body) for body in self.bodies if body]


def ok(document: object, status: int = 200) -> httpx.Response:
    """Return an answer."""
    return httpx.Response(status, json=document)


def problem(
    status: int,
    code: str,
    detail: str = "as it is",
    *,
    retry_after: str | None = None,
    problems: Iterable[Mapping[str, str]] | None = None,
) -> httpx.Response:
    """Return a refusal as the service writes it."""
    document: dict[str, object] = {
        "type": f"urn:tenantry:problem:{code}",
        "title": "A title",
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "request-1",
    }
    if problems is not None:
        document["problems"] = list(problems)
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return httpx.Response(status, json=document, headers=headers)


PREDICTED = {
    "model": {
        "tenant": "acme",
        "adapter": "support",
        "version": 3,
        "digest": "sha256:aa",
        "backbone": "sha256:bb",
        "precision": "fp32",
        "provider": "cpu",
    },
    "predictions": [
        {"id": "id-1", "label": "refund", "score": 0.9, "scores": {"refund": 0.9, "other": 0.1}}
    ],
}
TENANT = {
    "name": "acme",
    "class": "standard",
    "weight": 2.0,
    "rates": {"requests_per_s": 5.0, "tokens_per_s": None, "concurrent_requests": None},
    "log": {"text": False, "embedding": True, "sample": 0.5},
    "created_at": "2025-03-31T09:30:00.000000+00:00",
}
VERSION = {
    "tenant": "acme",
    "adapter": "support",
    "version": 3,
    "digest": "sha256:aa",
    "backbone": "sha256:bb",
    "state": "validated",
    "labels": ["refund", "other"],
    "metadata": {"labels": ["refund", "other"], "license": "CC0-1.0"},
    "report": {"verified_backbone": True},
    "bytes": 1000,
    "created_at": "2025-03-31T09:31:07.512000+00:00",
}
ROLLOUT = {
    "live": 3,
    "canary": {"version": 4, "percent": 10.0},
    "shadow": [5],
    "revision": 7,
    "previous": 6,
    "actor": "admin",
    "created_at": "2025-03-31T09:32:11.040000+00:00",
}
