"""The edge: what happens to every request before and after its route, in one ASGI middleware.

A request gets its id and trace, is let in or refused, and is answered: by its route, or by the
problem that its error becomes. Here alone errors become answers, and requests are counted.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.bodies import Bodies
from service.api.call import Call, ClientLeft, begin_call
from service.api.callers import ANONYMOUS, OPERATOR, Gate
from service.api.connection import SURPLUS
from service.api.error_bodies import error_body
from service.api.lately import Unreadable
from service.api.lifecycle import Lifecycle
from service.api.permissions import FREE_PATHS
from service.api.problems import CODES, INTERNAL, Problem, problem_of
from service.api.request_log import blame, log_request, named_detail
from service.api.request_spans import end_http_span
from service.api.routes import RawRoute
from service.api.tenant_answers import TenantAnswers
from service.errors import AdapterUnreadable, QueueFull, Stopping, UnknownPath
from service.metrics import Metrics
from service.series.requests import RouteSeries
from service.settings import Settings

if TYPE_CHECKING:
    from service.tracing.tracing import Tracing

PROBES = frozenset({"/livez", "/readyz"})
METRICS_PATH = "/metrics"
OPERATOR_PATHS = PROBES | {METRICS_PATH, "/", "/docs", "/openapi.json"}

_WHILE_DRAINING = PROBES | {METRICS_PATH, "/", "/v2/health/live", "/v2/health/ready"}
_UNKNOWN_ROUTE = "unknown"

logger = logging.getLogger(__name__)


class Edge:
    """The outermost of our own layers; see the module's docstring.

    `routes` may still grow until the first request: the application makes the edge first.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Sequence[Route],
        gate: Gate,
        lifecycle: Lifecycle,
        bodies: Bodies,
        metrics: Metrics,
        answers: TenantAnswers,
        settings: Settings,
        operator_port: int | None,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._app = app
        self._routes = routes
        self._gate = gate
        self._lifecycle = lifecycle
        self._bodies = bodies
        self._metrics = metrics
        self._answers = answers
        self._asking = [route for route in routes if isinstance(route, RawRoute)]
        self._tracing = tracing
        self._request_log = settings.request_log
        self.unreadable = Unreadable()
        self._operator_port = operator_port
        # A port of its own frees the operator's pages from the key, not an open server's pages
        # from the check of Host and Origin.
        self._operator_gate = None if settings.keyed else gate
        metrics.declare_reasons(CODES)
        self._unknown = metrics.route(_UNKNOWN_ROUTE)
        self._series: dict[tuple[str, str], RouteSeries] = {
            (route.path, method): metrics.route(f"{method} {route.path}")
            for route in routes
            for method in sorted(route.methods or ())
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = begin_call(scope, self._tracing)
        lifecycle = self._lifecycle
        lifecycle.enter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *call.answer_headers]
            await send(message)

        try:
            self._admit(call, scope)
            await self._app(scope, receive, answer)
        except ClientLeft:
            call.status = 0
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            await self._tell(error, call, scope, receive, answer)
        finally:
            lifecycle.leave()
            self._bodies.release(call)
            self._count(call, scope)

    def _admit(self, call: Call, scope: Scope) -> None:
        """Set the caller, or raise why there is none."""
        path = scope["path"]
        if self._lifecycle.draining and path not in _WHILE_DRAINING:
            raise Stopping("the server is stopping; ask another, or the same one a little later")
        if SURPLUS in scope and path not in _WHILE_DRAINING:
            raise QueueFull("the server holds as many connections as it may; try again")
        gate: Gate | None = self._gate
        if self._operator_port is not None and scope["server"][1] == self._operator_port:
            if path not in OPERATOR_PATHS:
                raise UnknownPath("this port is for metrics and pages alone")
            gate = self._operator_gate
        elif path in FREE_PATHS and self._operator_gate is None:
            call.caller = ANONYMOUS
            return
        call.caller = OPERATOR if gate is None else gate.admit(call.headers)

    async def _tell(
        self, error: Exception, call: Call, scope: Scope, receive: Receive, send: Send
    ) -> None:
        problem = problem_of(error)
        call.failure = problem.kind.status
        if problem.kind is INTERNAL:
            call.error = error
        if call.failure >= 500 and call.failure != 503:
            call.log |= blame(error, call, scope)
        if isinstance(error, AdapterUnreadable):
            self.unreadable.note(call.log.get("digest"), time.monotonic())
            problem = replace(problem, detail=named_detail(problem.detail, call))
        if call.status:
            # The answer has begun: the server closes the connection, so that it looks cut off.
            raise error
        if isinstance(error, HTTPException) and error.status_code == 405:
            problem.headers[:] = [(b"allow", self._allowed(scope))]
        if isinstance(error, Stopping):
            problem.headers.append((b"connection", b"close"))
        self._metrics.refused(problem.kind.code)
        call.log["code"] = problem.kind.code
        await _send_problem(problem, call, scope, send)
        if not call.body_ended:
            await self._bodies.linger(call, receive)
        await send({"type": "http.response.body"})

    def _allowed(self, scope: Scope) -> bytes:
        """Return the methods of every route that has the request's path."""
        methods: set[str] = set()
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                methods |= route.methods or set()
        return ", ".join(sorted(methods)).encode("ascii")

    def _count(self, call: Call, scope: Scope) -> None:
        route = scope.get("route")
        series = self._unknown
        if route is not None:
            series = self._series.get((route.path, scope["method"]), series)
        seconds = time.monotonic() - call.started_s
        series.answered(call.status, seconds, None if call.trace is None else call.trace_id)
        self._answers.count_http(call, scope, self._asking, seconds)
        end_http_span(call, scope, call.started_s + seconds)
        # A full server answers 503 by the thousand; lines for them would make it fuller.
        worst = call.failure or call.status  # a wire may say another than ours
        failed = worst >= 500 and worst != 503 and self._request_log != "off"
        if failed or call.error is not None or self._request_log == "all":
            _log(call, scope, seconds)


async def _send_problem(problem: Problem, call: Call, scope: Scope, send: Send) -> None:
    """Send an answer, all but its end."""
    status, body, media_type = error_body(problem, scope["path"], call.request_id)
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        *problem.headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _log(call: Call, scope: Scope, seconds: float) -> None:
    route = scope.get("route")
    name = _UNKNOWN_ROUTE if route is None else route.path
    log_request(logger, call, scope["method"], name, seconds)
