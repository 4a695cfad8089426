"""Labels that come back: `POST /v1/feedback`.

A prediction's id says all that is needed (`service/events/ids.py`), so any process with the
registry and the signing keys can take its label, however much later it comes.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from fastapi import FastAPI, Request, Response

from service.api.answers import json_response
from service.api.bodies import Bodies
from service.api.call import Call, call_of
from service.api.entrance import Entrance
from service.api.feedback_request import FeedbackLabel, FeedbackRequest
from service.api.openapi import TIMEOUT, example_of, refusals, struct_body
from service.api.ports import Signing
from service.api.requests import decode, require_json
from service.api.schemas import EXAMPLE_ID, FeedbackAnswer
from service.errors import DeadlinePassed, StoreFull, TenantLimited
from service.events.ids import InvalidPredictionId, PredictionId
from service.events.ports import LogUnwritable
from service.events.records import Label
from service.metrics import Metrics
from service.registry.records import Named, TenantSettings

TAG = "Prediction"
PROBLEMS_MAX = 100

# Reading an id costs a MAC; beyond so many they are read beside the event loop.
_INLINE_LABELS = 64
_LABELS_SHOWN = 20

# One text for an id that was forged, altered, or issued for another tenant: which of them it is
# would tell what other tenants have.
_FOREIGN = (
    "is no id of a prediction that this key can label: not issued here, altered, or another's"
)


class References(Protocol):
    """Knows what the references in prediction ids stand for; the registry does."""

    def find_reference(self, reference: bytes) -> Named | None:
        """Return the version, deleted ones included, from memory."""
        ...

    def refresh(self) -> bool:
        """Take over what other processes published; say whether there was anything."""
        ...

    def tenant_settings(self, name: str) -> TenantSettings:
        """Return a tenant's settings, from memory; raise `UnknownTenant`."""
        ...


class LabelLog(Protocol):
    """Keeps labels; the event log does."""

    def append(self, events: Sequence[Label]) -> "Future[None]":
        """Write labels; the future is done when they are on disk, or raises `LogUnwritable`."""
        ...


@dataclass(slots=True)
class Judged:
    """What became of the labels of one request."""

    accepted: list[Label]
    problems: list[tuple[str, str]]  # where, what; in the order of the labels
    unseen: bool = False  # whether an id was issued here for a version that is not known here

    def document(self) -> dict[str, Any]:
        """Return the answer."""
        shown = self.problems[:PROBLEMS_MAX]
        return {
            "accepted": len(self.accepted),
            "refused": len(self.problems),
            "problems": [{"where": where, "what": what} for where, what in shown],
            "problems_left_out": len(self.problems) - len(shown),
        }


class Feedback:
    """The route of labels."""

    def __init__(
        self,
        references: References,
        signing: Signing,
        log: LabelLog,
        bodies: Bodies,
        metrics: Metrics,
        entrance: Entrance,
        *,
        max_body_bytes: int,
        timeout_s_max: float,
    ) -> None:
        self._references = references
        self._signing = signing
        self._log = log
        self._bodies = bodies
        self._metrics = metrics
        self._entrance = entrance
        self._max_body_bytes = max_body_bytes
        self._timeout_s_max = timeout_s_max
        self._decoder = msgspec.json.Decoder(FeedbackRequest)

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route(
            "/v1/feedback",
            self.take,
            methods=["POST"],
            tags=[TAG],
            summary="Bring labels back",
            status_code=202,
            openapi_extra={
                "requestBody": struct_body(FeedbackRequest, _REQUESTS),
                "parameters": [TIMEOUT],
            },
            responses={
                202: example_of(FeedbackAnswer, _ANSWER, "Kept, but for those that are named"),
                **refusals(TenantLimited, StoreFull, DeadlinePassed, body=True),
            },
        )

    async def take(self, request: Request) -> Response:
        """Say what the right answers were, whenever they are known.

        Each label stands alone: those that are accepted are on disk when the answer comes, those
        that are refused are named in `problems`, the first hundred of them. A label that is sent
        again replaces the one before it, so that a request can safely be repeated.
        """
        call = call_of(request.scope)
        tenant = call.admitted.tenant
        if tenant is None:  # an operator, for tenants of any number
            return await self._take(call, request)
        rates = self._references.tenant_settings(tenant).rates
        with self._entrance.entered(tenant, rates):
            return await self._take(call, request)

    async def _take(self, call: Call, request: Request) -> Response:
        require_json(call)
        body = await self._bodies.read(call, request.receive, self._max_body_bytes)
        labels = decode(self._decoder, body).labels
        deadline_s = call.deadline_s(self._timeout_s_max)
        if len(labels) <= _INLINE_LABELS:
            judged = self._judge(labels, call)
        else:
            judged = await asyncio.to_thread(self._judge, labels, call)
        if judged.unseen:
            judged = await asyncio.to_thread(self._judge_anew, labels, call)
        if judged.accepted:
            await self._keep(judged.accepted, deadline_s)
        self._metrics.labelled(len(judged.accepted), len(judged.problems))
        call.log["labels"] = len(judged.accepted)
        return json_response(judged.document(), 202)

    def _judge_anew(self, labels: Sequence[FeedbackLabel], call: Call) -> Judged:
        """Judge again, with what other processes published since this one last looked.

        Such a version answers there at once, so its labels may be here before this process would
        see it by itself.
        """
        self._references.refresh()
        return self._judge(labels, call)

    def _judge(self, labels: Sequence[FeedbackLabel], call: Call) -> Judged:
        caller = call.admitted
        judged = Judged([], [])
        now_s = time.time()
        for number, given in enumerate(labels):
            try:
                said = self._signing.read(given.id)
            except InvalidPredictionId:
                judged.problems.append((f"labels/{number}/id", _FOREIGN))
                continue
            named = self._references.find_reference(said.reference)
            if named is None or not (caller.sees(named.tenant) and caller.holds("predict")):
                judged.unseen |= named is None
                judged.problems.append((f"labels/{number}/id", _FOREIGN))
                continue
            if given.label not in named.labels:
                what = _no_such_label(given.label, named)
                judged.problems.append((f"labels/{number}/label", what))
                continue
            judged.accepted.append(_event(given, said, named, call, now_s))
        return judged

    async def _keep(self, labels: Sequence[Label], deadline_s: float) -> None:
        """Wait until the labels are on disk."""
        # The shield keeps a caller who leaves from cancelling what the log's thread is writing.
        written = asyncio.shield(asyncio.wrap_future(self._log.append(labels)))
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                await written
        except LogUnwritable as error:
            raise StoreFull(
                "the labels cannot be written; none of this request was kept: send it again later"
            ) from error
        except TimeoutError:
            raise DeadlinePassed(
                "the labels were not on disk in time and may be kept or not; send them again: a"
                " label that comes twice counts once"
            ) from None


def _no_such_label(label: str, named: Named) -> str:
    known = ", ".join(named.labels[:_LABELS_SHOWN])
    more = len(named.labels) - _LABELS_SHOWN
    return (
        f"{named.tenant}.{named.adapter} has no label {label[:80]!r} in version {named.version},"
        f" but {known}" + (f" and {more} more" if more > 0 else "")
    )


def _event(
    given: FeedbackLabel, said: PredictionId, named: Named, call: Call, now_s: float
) -> Label:
    return Label(
        tenant=named.tenant,
        adapter=named.adapter,
        version=named.version,
        digest=named.digest,
        prediction_id=given.id,
        predicted_s=said.seconds,
        class_index=said.class_index,
        confidence=said.confidence,
        live=said.live,
        canary=said.canary,
        audit=said.audit,
        audit_probability=said.audit_probability,
        label_index=named.labels.index(given.label),
        label=given.label,
        group=given.group,
        actor=call.actor,
        time_s=now_s,
        request_id=call.request_id,
    )


_REQUESTS = {
    "labels": {
        "summary": "Two labels",
        "value": {
            "labels": [
                {"id": EXAMPLE_ID, "label": "refund"},
                {"id": EXAMPLE_ID[:-4] + "nR3U", "label": "delivery", "group": "mobile"},
            ]
        },
    }
}
_ANSWER = {
    "accepted": 1,
    "refused": 1,
    "problems": [{"where": "labels/1/id", "what": _FOREIGN}],
    "problems_left_out": 0,
}
