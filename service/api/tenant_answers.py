"""What came of each request for a tenant's adapter: counted once, where it leaves the service.

Every wire's requests end here: those of HTTP come from the edge, gRPC's from its server. What
counts is the problem in our own words, not the status that it is told with: a full queue is a
failure of ours, though Text Embeddings Inference says 429 for it.
"""

import time
from collections.abc import Callable, Iterable

from starlette.routing import Match
from starlette.types import Scope

from service.api.call import Call
from service.api.callers import Gate
from service.api.failures import was_hurried
from service.api.lately import Lately, Minute, Result
from service.api.names import model_parts
from service.api.routes import RawRoute
from service.engine.errors import TenantryError
from service.metrics import Metrics
from service.registry.routes import Routes


class TenantAnswers:
    """Counts, for one event loop."""

    def __init__(self, routes: Callable[[], Routes], gate: Gate, metrics: Metrics) -> None:
        self._routes = routes
        self._gate = gate
        self._metrics = metrics
        self._lately = Lately(time.monotonic())

    def minute(self) -> Minute:
        """Return what the last minute brought; from any thread."""
        return self._lately.minute(time.monotonic())

    def count(self, call: Call, seconds: float) -> None:
        """Count a request that asked an adapter, or would have, `seconds` after its head."""
        if not call.status and not call.failure:
            return  # the client left
        if not call.failure:
            result: Result = "answered"
            if call.reached is not None:
                self._metrics.tenant_answered(*call.reached, seconds, failed=False)
        elif call.failure < 500:
            result = "refused"
        else:
            result = "failed"
            if call.reached is not None and not self._was_hurried(call, call.reached[1]):
                self._metrics.tenant_answered(*call.reached, seconds, failed=True)
        tenant = None if call.reached is None else call.reached[0]
        self._lately.note(time.monotonic(), result, seconds, tenant, call.texts)

    def count_http(
        self, call: Call, scope: Scope, asking: Iterable[RawRoute], seconds: float
    ) -> None:
        """Count a request over HTTP, where it asks an adapter: by one of the routes `asking`."""
        route = scope.get("route")
        if route is None and call.failure >= 500:
            route = _find(scope, asking)  # it was refused at the door
        if not isinstance(route, RawRoute):
            return
        if call.reached is None and call.failure >= 500:
            call.reached = self._named(call, scope.get("path_params", {}))
        self.count(call, seconds)

    def _named(self, call: Call, path: dict[str, str]) -> tuple[str, str] | None:
        """Return the tenant and the class whose adapter a path names, if the caller may ask it.

        A request that failed before its body was read got no further than its path, and where the
        model is named in the body, nobody knows.
        """
        try:
            caller = call.caller or self._gate.admit(call.headers)
            if "model" in path:
                tenant, adapter = model_parts(path["model"])
            else:
                tenant, adapter = path.get("tenant", ""), path.get("adapter", "")
            caller.require("predict", tenant)
            self._routes().of_adapter(tenant, adapter)
            return tenant, self._routes().of(tenant).settings.kind
        except TenantryError:
            return None  # nobody's, or nobody's who may ask

    def _was_hurried(self, call: Call, kind: str) -> bool:
        """Say whether the caller itself gave less time than the objective of its class."""
        return was_hurried(call, call.failure, self._metrics.objectives.of(kind))


def _find(scope: Scope, asking: Iterable[RawRoute]) -> RawRoute | None:
    """Return the route that a request would have taken, and leave its parameters in the scope."""
    for route in asking:
        match, found = route.matches(scope)
        if match is Match.FULL:
            scope["path_params"] = found["path_params"]
            return route
    return None
