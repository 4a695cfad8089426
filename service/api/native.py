"""The native predict routes: the hot path, so a plain ASGI callable without a framework."""

from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.api.answers import send_json, version_number
from service.api.asking import JsonReader, Shown, Template, mount_asking
from service.api.bodies import Bodies
from service.api.call import call_of
from service.api.openapi import ASKING, refusals
from service.api.prediction import Predicted, Predictor
from service.api.requests import Pair, PredictRequest
from service.api.schemas import EXAMPLE_BACKBONE, EXAMPLE_DIGEST, EXAMPLE_ID, PredictAnswer
from service.engine.tokens import Input

TAG = "Prediction"
_PATH = "/v1/tenants/{tenant}/adapters/{adapter}/predict"
_VERSION_PATH = "/v1/tenants/{tenant}/adapters/{adapter}/versions/{version}/predict"


class Predict:
    """`POST /v1/tenants/{tenant}/adapters/{adapter}[/versions/{version}]/predict`."""

    def __init__(self, predictor: Predictor, bodies: Bodies, max_body_bytes: int) -> None:
        self._predictor = predictor
        self._reader = JsonReader(PredictRequest, bodies, max_body_bytes)

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        shown = Shown(
            TAG,
            "Answers with the softmax over the version's labels, for each text on its own. `id`"
            " is what a label needs later to find its prediction.",
            PredictRequest,
            _REQUESTS,
            PredictAnswer,
            _ANSWER,
            refusals(*ASKING, body=True),
        )
        mount_asking(
            app,
            self,
            shown,
            Template(_PATH, "predict", "Classify texts"),
            Template(_VERSION_PATH, "predict_version", "Classify texts with one version"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        request = await self._reader.read(call, receive)
        self._predictor.check_count(len(request.inputs))
        path = scope["path_params"]
        version = path.get("version")
        model = (
            path["tenant"],
            path["adapter"],
            None if version is None else version_number(version),
        )
        predicted = await self._predictor.predict(
            call,
            receive,
            model,
            [_input(item) for item in request.inputs],
            routing_key=request.routing_key,
            group=request.group,
        )
        await send_json(send, _document(request, predicted))


def _document(request: PredictRequest, predicted: Predicted) -> dict[str, Any]:
    route, backbone = predicted.route, predicted.backbone
    return {
        "model": {
            "tenant": route.tenant,
            "adapter": route.adapter,
            "version": route.version,
            "digest": predicted.answer.digest,
            "backbone": backbone.digest,
            "precision": backbone.precision,
            "provider": backbone.provider,
        },
        "predictions": [_prediction(request, predicted, row) for row in range(len(predicted.ids))],
    }


def _input(item: str | Pair) -> Input:
    if isinstance(item, str):
        return item
    return item.text if item.pair is None else (item.text, item.pair)


def _prediction(request: PredictRequest, predicted: Predicted, row: int) -> dict[str, Any]:
    answer = predicted.answer
    scores = answer.probabilities[row]  # [labels] float32
    top = predicted.tops[row]
    told: dict[str, Any] = {
        "id": predicted.ids[row],
        "label": answer.labels[top],
        "score": scores[top],
    }
    if request.scores == "all":
        told["scores"] = dict(zip(answer.labels, scores, strict=True))
    if request.embedding:
        told["embedding"] = answer.embeddings[row]
    if predicted.truncated[row]:
        told["truncated"] = True
    if predicted.route.calibrated:
        told["calibrated"] = True
    if predicted.audits[row]:
        told["audit"] = True
    return told


_REQUESTS = {
    "texts": {
        "summary": "Texts",
        "value": {"inputs": ["I want my money back.", "Where is my parcel?"], "scores": "all"},
    },
    "pair": {
        "summary": "A text with a pair, the best label alone",
        "value": {
            "inputs": [{"text": "A man sleeps.", "pair": "Nobody is awake."}],
            "scores": "top",
        },
    },
}
_ANSWER = {
    "model": {
        "tenant": "acme",
        "adapter": "support",
        "version": 3,
        "digest": EXAMPLE_DIGEST,
        "backbone": EXAMPLE_BACKBONE,
        "precision": "fp32",
        "provider": "openvino",
    },
    "predictions": [
        {
            "id": EXAMPLE_ID,
            "label": "refund",
            "score": 0.93,
            "scores": {"refund": 0.93, "delivery": 0.05, "other": 0.02},
        }
    ],
}
