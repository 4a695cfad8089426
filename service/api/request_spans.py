"""The span of a recorded request: named by its method and route, told by the conventions.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span and .../rpc/. What is
left out on purpose: the query string, every header, who the client is, and of the path whatever
could be something else than a name, such as a key in the place of its id.
"""

import re
from collections.abc import Mapping
from functools import partial

from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_SCHEME
from starlette.types import Scope

from service.api.call import Call
from service.tracing import names

_PARAMETER = re.compile("{([a-z_]+)}")
_NAMES = frozenset({"tenant", "adapter", "version", "model"})
_NAME = re.compile("[a-z0-9][a-z0-9.-]{0,126}", re.ASCII)


def end_http_span(call: Call, scope: Scope, ended_s: float) -> None:
    """Take down that a request over HTTP is over, if it is recorded."""
    if call.trace is None or call.tracing is None:
        return
    method, route = scope["method"], scope["route"].path
    told = call.trace.attributes
    told[HTTP_REQUEST_METHOD] = method
    told[HTTP_ROUTE] = route
    told[URL_SCHEME] = scope["scheme"]
    told[URL_PATH] = _PARAMETER.sub(partial(_shown, scope["path_params"]), route)
    told[NETWORK_PROTOCOL_VERSION] = scope["http_version"]
    server = scope.get("server")
    if server is not None:
        told[SERVER_ADDRESS] = server[0]
        if server[1] is not None:
            told[SERVER_PORT] = server[1]
    if call.status:
        told[HTTP_RESPONSE_STATUS_CODE] = call.status
    _end(call, f"{method} {route}", ended_s)


def end_rpc_span(call: Call, method: str, status: str | None, ended_s: float) -> None:
    """Take down that a call of gRPC is over, if it is recorded.

    `method` is `service/method`, and `status` the name of its status, None where it was cancelled.
    """
    if call.trace is None or call.tracing is None:
        return
    told = call.trace.attributes
    told[names.RPC_SYSTEM_NAME] = "grpc"
    told[names.RPC_METHOD] = method
    if status is not None:
        told[names.RPC_RESPONSE_STATUS_CODE] = status
    _end(call, method, ended_s)


def _shown(given: Mapping[str, object], parameter: re.Match[str]) -> str:
    """Return what stands for a parameter of a path: its value where that is a name."""
    value = str(given.get(parameter[1], ""))
    shown = parameter[1] in _NAMES and _NAME.fullmatch(value)
    return value if shown else parameter[0]


def _end(call: Call, name: str, ended_s: float) -> None:
    assert call.trace is not None
    assert call.tracing is not None
    code = call.log.get("code")
    if code is not None:
        call.trace.attributes[names.PROBLEM] = str(code)
    if not call.status:
        call.trace.attributes[names.LEFT] = True
    failed = str(code or call.status) if call.status >= 500 else None
    call.tracing.request_ended(call.trace, name, ended_s, failed=failed)
