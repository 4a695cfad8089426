"""The HTTP side: check, write down, answer; training begins afterwards."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from examples.retrain_receiver.event import RetrainRequested
from examples.retrain_receiver.ledger import Ledger
from examples.retrain_receiver.runner import Runner
from examples.retrain_receiver.verification import Refused, verify

BODY_BYTES_MAX = 64 * 1024

_LOG = logging.getLogger(__name__)


def make_app(
    key: bytes, ledger: Ledger, runner: Runner, now_s: Callable[[], float] = time.time
) -> FastAPI:
    """Return the receiver: `POST /retrain` takes events, `GET /jobs` shows what became of them."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        runner.wake()  # with what an earlier process left
        yield
        await run_in_threadpool(runner.close)
        ledger.close()

    app = FastAPI(title="A receiver of retrain triggers", lifespan=life, openapi_url=None)

    @app.post("/retrain")
    async def retrain(request: Request) -> JSONResponse:
        body = await _body(request)
        if body is None:
            return _refusal(413, f"more than {BODY_BYTES_MAX} bytes")
        try:
            event_id = verify(request.headers, body, key, now_s())
        except Refused as error:
            return _refusal(401, str(error))
        try:
            event = RetrainRequested.model_validate_json(body)
        except ValidationError as error:
            return _refusal(400, f"not an event that is known here: {_first(error)}")
        if event.id != event_id:
            return _refusal(400, "webhook-id is not the event's id")
        # 2xx is a promise: the sender forgets the event now, so it must be on the disk.
        is_new = await run_in_threadpool(
            ledger.add, event.id, event.subject, body.decode(), now_s()
        )
        if not is_new:
            return JSONResponse({"status": "known"}, 200)
        await run_in_threadpool(runner.wake)
        return JSONResponse({"status": "accepted"}, 202)

    @app.get("/jobs")
    def jobs() -> list[dict[str, Any]]:
        return [
            {
                "id": job.id,
                "adapter": job.subject,
                "state": job.state,
                "exit_status": job.exit_status,
            }
            for job in ledger.jobs()
        ]

    return app


async def _body(request: Request) -> bytes | None:
    """Return the body, or None where it is too large; then no more of it is read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            return None
    return body


def _refusal(status: int, detail: str) -> JSONResponse:
    _LOG.warning("refused with %d: %s", status, detail)
    return JSONResponse({"detail": detail}, status)


def _first(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}"
