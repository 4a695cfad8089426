"""The gRPC server of one process: on the event loop of the HTTP server, over the same parts."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from service.api.bodies import Bodies
from service.api.call import Call
from service.api.callers import ANONYMOUS, Gate
from service.api.lifecycle import Lifecycle
from service.api.oip_catalogue import Catalogue
from service.api.oip_statistics import Statistics
from service.api.permissions import authorise
from service.api.prediction import Predictor
from service.api.problems import INTERNAL, KINDS, problem_of
from service.api.request_log import log_request
from service.api.request_spans import end_rpc_span
from service.api.tenant_answers import TenantAnswers
from service.errors import DeadlinePassed, InvalidSettings, MalformedRequest, Stopping
from service.metrics import Metrics
from service.registry.registry import Registry
from service.rpc.calls import OneMessage, call_of_metadata
from service.rpc.methods import ASKING, SERVICE, Method, Methods
from service.rpc.shares import Shares
from service.rpc.statuses import STATUSES, details_of, pushback, status_of
from service.series.requests import RouteSeries
from service.settings import Settings, variable_of

if TYPE_CHECKING:
    from service.tracing.tracing import Tracing

CALLS_MAX = 1024  # under way at once; each has at least a task and a stream's window of bytes

_WHILE_DRAINING = frozenset({"ServerLive", "ServerReady"})

logger = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]


class RpcServer:
    """Answers `inference.GRPCInferenceService`.

    Every method is served as if its requests were streams, though each has one message: so the
    caller is known before the message is read, and the reading has a limit of time. A message is
    held in memory like a request's body, and as many are received at once as fit there. No tenant
    has all of the calls or of that room: one that sends nothing holds up itself alone.
    """

    def __init__(
        self,
        predictor: Predictor,
        registry: Registry,
        lifecycle: Lifecycle,
        gate: Gate,
        metrics: Metrics,
        settings: Settings,
        *,
        bodies: Bodies,
        statistics: Statistics,
        answers: TenantAnswers,
        hidden_size: int,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._lifecycle = lifecycle
        self._gate = gate
        self._metrics = metrics
        self._bodies = bodies
        self._answers = answers
        self._max_body_bytes = settings.max_body_bytes
        self._body_timeout_s = settings.body_timeout_s
        self._idle_ms = settings.keep_alive_s * 1000
        self._tracing = tracing
        self._request_log = settings.request_log
        self._shares = Shares(
            CALLS_MAX, max(1, settings.bodies_bytes_max // settings.max_body_bytes)
        )
        images = predictor.takes_images
        catalogue = Catalogue(registry, lifecycle, hidden_size, images=images)
        self._methods = Methods(predictor, catalogue, statistics).all()
        self._series = {
            method.name: metrics.route(f"grpc {method.name}") for method in self._methods
        }
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port, which the system chooses where `port` is 0.

        Raises `InvalidSettings` where it cannot be had.
        """
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_body_bytes),
                ("grpc.max_concurrent_streams", CALLS_MAX),  # of one connection
                ("grpc.max_connection_idle_ms", self._idle_ms),
                ("grpc.so_reuseport", 0),  # or two processes would share a port unnoticed
            ],
            maximum_concurrent_rpcs=CALLS_MAX,
        )
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method.name: grpc.stream_unary_rpc_method_handler(self._handler(method))
            for method in self._methods
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise InvalidSettings(
                f"cannot listen on {address}; {variable_of('grpc_port')} sets another port"
            ) from error
        await server.start()
        self._server = server
        return bound

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; those under way have `grace_s` to end, and are cancelled then."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    def _handler(self, method: Method) -> Any:  # as gRPC takes it
        series = self._series[method.name]

        async def handle(_: object, context: _Context) -> bytes:
            return await self._handle(method, series, context)

        return handle

    async def _handle(self, method: Method, series: RouteSeries, context: _Context) -> bytes:
        """Answer one call, as the edge answers an HTTP request."""
        metadata = context.invocation_metadata() or ()
        call = call_of_metadata(metadata, context.time_remaining(), self._tracing)
        context.set_trailing_metadata(_told(call))
        self._lifecycle.enter()
        try:
            self._admit(method, call)
            with self._shares.call(call.admitted.tenant):
                # The probes' messages are empty; who needs no key shall not be waited for either.
                raw = b"" if method.need == "free" else await self._receive(call, context)
                answer = await method.answer(call, raw)
                encoded: bytes = answer.SerializeToString()
        except Exception as error:  # noqa: BLE001 - errors become answers
            await self._tell(error, call, context)
        else:
            call.status = 200
            context.set_trailing_metadata(_told(call))
            return encoded
        finally:
            self._lifecycle.leave()
            self._bodies.release(call)
            self._count(method, series, call)

    def _admit(self, method: Method, call: Call) -> None:
        """Set the caller, or raise why there is none, before anything is read."""
        if self._lifecycle.draining and method.name not in _WHILE_DRAINING:
            raise Stopping("the server is stopping; ask another, or the same one a little later")
        if method.need == "free":
            call.caller = ANONYMOUS
            return
        call.caller = self._gate.admit(call.headers)
        authorise(call.caller, method.need, {})

    async def _receive(self, call: Call, context: _Context) -> bytes:
        """Return the message, and hold it as the bodies of requests are held."""
        try:
            async with (
                asyncio.timeout(self._body_timeout_s),
                self._shares.receiving(call.admitted.tenant),
            ):
                raw = await context.read()
        except TimeoutError as error:
            raise DeadlinePassed(
                f"the message did not arrive within {self._body_timeout_s:g} s"
            ) from error
        if not isinstance(raw, bytes):
            raise MalformedRequest("the call ended without a message")
        return await self._bodies.read(call, OneMessage(raw), self._max_body_bytes)

    async def _tell(self, error: Exception, call: Call, context: _Context) -> NoReturn:
        """End the call with what the error becomes; here alone errors become answers."""
        problem = problem_of(error)
        call.status = call.failure = problem.kind.status
        if problem.kind is INTERNAL:
            call.error = error
        self._metrics.refused(problem.kind.code)
        call.log["code"] = problem.kind.code
        told = (*_told(call), *pushback(problem))
        await context.abort(status_of(problem), details_of(problem), told)

    def _count(self, method: Method, series: RouteSeries, call: Call) -> None:
        seconds = time.monotonic() - call.started_s
        series.answered(call.status, seconds, None if call.trace is None else call.trace_id)
        if method.name == ASKING:
            if not call.status and _is_late(call, seconds):
                call.failure = KINDS[DeadlinePassed].status  # gRPC noticed before we did
            self._answers.count(call, seconds)
        status = STATUSES.get(call.status, grpc.StatusCode.OK).name if call.status else None
        end_rpc_span(call, f"{SERVICE}/{method.name}", status, call.started_s + seconds)
        failed = call.status >= 500 and call.status != 503 and self._request_log != "off"
        if failed or call.error is not None or self._request_log == "all":
            log_request(logger, call, "grpc", method.name, seconds)


def _told(call: Call) -> list[tuple[str, str]]:
    """Return what the metadata of a call's end says."""
    return [(name.decode(), value.decode()) for name, value in call.answer_headers]


def _is_late(call: Call, seconds: float) -> bool:
    """Say whether the caller's deadline has passed, `seconds` after the call began."""
    given = call.headers.get(b"x-timeout-ms", b"")
    return given.isdigit() and len(given) < 16 and seconds * 1000 >= int(given)
