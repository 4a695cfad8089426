"""The native predict routes: the hot path, so a plain ASGI callable without a framework."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.api.answers import send_json, version_number
from service.api.asking import JsonReader, Shown, Template, mount_asking
from service.api.bodies import Bodies
from service.api.call import Call, call_of
from service.api.openapi import ASKING, IMAGE_BODY, refusals
from service.api.prediction import Given, Predicted, Predictor
from service.api.requests import ImageQuery, Pair, PredictRequest, decode_query, media_type_of
from service.api.schemas import (
    EXAMPLE_BACKBONE,
    EXAMPLE_DIGEST,
    EXAMPLE_ID,
    EXAMPLE_IMAGE,
    PredictAnswer,
)
from service.api.sent_images import SentImage
from service.engine.errors import UNDECODABLE, UnsupportedImage
from service.errors import WrongMediaType

TAG = "Prediction"
_PATH = "/v1/tenants/{tenant}/adapters/{adapter}/predict"
_TEXT = {"type": "string"}
_VERSION_PATH = "/v1/tenants/{tenant}/adapters/{adapter}/versions/{version}/predict"


class Predict:
    """`POST /v1/tenants/{tenant}/adapters/{adapter}[/versions/{version}]/predict`."""

    def __init__(self, predictor: Predictor, bodies: Bodies, max_body_bytes: int) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes
        self._reader = JsonReader(PredictRequest, bodies, max_body_bytes)

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        shown = Shown(
            TAG,
            "Answers with the softmax over the version's labels, for each text on its own. `id`"
            " is what a label needs later to find its prediction. Where the backbone reads images,"
            " `inputs` are data URLs; or the body is one image, with its own content type, and what"
            " else JSON would say stands in the query string.",
            PredictRequest,
            _REQUESTS,
            PredictAnswer,
            _ANSWER,
            refusals(*ASKING, *UNDECODABLE, body=True),
            content=IMAGE_BODY,
            parameters=_PARAMETERS,
        )
        mount_asking(
            app,
            self,
            shown,
            Template(_PATH, "predict", "Classify texts or images"),
            Template(_VERSION_PATH, "predict_version", "Classify with one version"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        options, inputs = await self._asked(call, scope, receive)
        path = scope["path_params"]
        version = path.get("version")
        model = (
            path["tenant"],
            path["adapter"],
            None if version is None else version_number(version),
        )
        try:
            predicted = await self._predictor.predict(
                call,
                receive,
                model,
                inputs,
                routing_key=options.routing_key,
                group=options.group,
            )
        except UnsupportedImage as error:
            if isinstance(options, ImageQuery):  # the body itself is of another type
                raise WrongMediaType(str(error)) from error
            raise
        await send_json(send, _document(options, predicted))

    async def _asked(
        self, call: Call, scope: Scope, receive: Receive
    ) -> tuple[PredictRequest | ImageQuery, Sequence[Given]]:
        """Return what is asked of which inputs; what is wrong with them says who prepares them."""
        media_type = media_type_of(call)
        if media_type.startswith("image/"):
            if not self._predictor.takes_images:
                raise WrongMediaType(
                    "this server's backbone reads texts: this route takes application/json"
                )
            query = decode_query(ImageQuery, scope.get("query_string", b""))
            body = await self._bodies.read(call, receive, self._max_body_bytes)
            return query, [SentImage(body, declared=media_type)]
        request = await self._reader.read(call, receive)
        self._predictor.check_count(len(request.inputs))
        taken = _image if self._predictor.takes_images else _input
        return request, [taken(item) for item in request.inputs]


def _document(request: PredictRequest | ImageQuery, predicted: Predicted) -> dict[str, Any]:
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


def _image(item: str | Pair) -> Given:
    """Return the image that a data URL holds; a text is left one, and refused as one."""
    if isinstance(item, str) and item[:5].lower() == "data:":
        return SentImage(item, "data_url")
    return _input(item)


def _input(item: str | Pair) -> Given:
    if isinstance(item, str):
        return item
    return item.text if item.pair is None else (item.text, item.pair)


def _prediction(
    request: PredictRequest | ImageQuery, predicted: Predicted, row: int
) -> dict[str, Any]:
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


def _parameter(name: str, text: str, schema: dict[str, Any], example: object) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"{text}; of an image that is the body",
        "schema": schema,
        "example": example,
    }


_PARAMETERS = (
    _parameter("scores", "every label's score, or the best's", {"enum": ["all", "top"]}, "top"),
    _parameter("embedding", "whether to answer its embedding", {"type": "boolean"}, True),
    _parameter("routing_key", "sees one version while a canary runs", _TEXT, "user-42"),
    _parameter("group", "the subgroup that it counts for", _TEXT, "north"),
)
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
    "image": {
        "summary": "An image, where the backbone reads images",
        "value": {"inputs": [EXAMPLE_IMAGE], "scores": "top"},
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
