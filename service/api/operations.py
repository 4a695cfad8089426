"""Routes for those who run the service: probes and metrics."""

import asyncio
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from prometheus_client.exposition import choose_encoder
from starlette.responses import PlainTextResponse

from service.api.answers import json_response
from service.api.lifecycle import Lifecycle
from service.api.middleware import METRICS_PATH
from service.api.openapi import refusals
from service.metrics import Metrics
from service.registry.routes import Routes

TAG = "Operation"
RETRY_SOON = (("retry-after", "1"),)


class Operations:
    """Probes and metrics."""

    def __init__(
        self, lifecycle: Lifecycle, metrics: Metrics, routes: Callable[[], Routes]
    ) -> None:
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._routes = routes
        self._told: Routes | None = None  # whose tenants have their counters

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        live = {"description": "Alive", "content": {"application/json": {"example": _LIVE}}}
        ready = {"description": "Ready", "content": {"application/json": {"example": _READY}}}
        starting = {
            "description": "Warming up, or draining",
            "content": {"application/json": {"example": {"ready": False, "reason": "warming up"}}},
        }
        for method in ("GET", "HEAD"):
            told = method == "GET"
            app.add_api_route(
                "/livez",
                self.live,
                methods=[method],
                tags=[TAG],
                summary="Say that the process lives",
                responses={200: live},
                include_in_schema=told,
            )
            app.add_api_route(
                "/readyz",
                self.ready,
                methods=[method],
                tags=[TAG],
                summary="Say whether requests are welcome",
                responses={200: ready, 503: starting},
                include_in_schema=told,
            )
        app.add_api_route(
            METRICS_PATH,
            self.metrics,
            methods=["GET"],
            tags=[TAG],
            summary="Show metrics to Prometheus",
            response_class=PlainTextResponse,
            responses={
                200: {"description": "Text format or OpenMetrics", "content": {"text/plain": {}}},
                **refusals(),
            },
        )

    async def live(self) -> Response:
        """Answer 200 for as long as the process answers at all."""
        return json_response(_LIVE)

    async def ready(self) -> Response:
        """Answer 200 when the backbone is warm, and 503 before that and while draining."""
        if self._lifecycle.ready:
            return json_response(_READY)
        reason = "draining" if self._lifecycle.draining else "warming up"
        return json_response({"ready": False, "reason": reason}, 503, RETRY_SOON)

    async def metrics(self, request: Request) -> Response:
        """Show every series; `Accept` chooses between the text format and OpenMetrics."""
        routes = self._routes()
        if routes is not self._told:
            self._metrics.tenants_stand(routes.classes())
            self._told = routes
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Thousands of series take milliseconds to write.
        text = await asyncio.to_thread(encode, self._metrics.registry)
        return Response(text, headers={"content-type": content_type})


_LIVE = {"live": True}
_READY = {"ready": True}
