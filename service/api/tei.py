"""The wire of Text Embeddings Inference: predict, embed, info and health of one model.

https://github.com/huggingface/text-embeddings-inference, router/src/http. A model is
`{tenant}.{adapter}`, and its base address `/tei/{tenant}.{adapter}`. Errors have that server's
statuses and body: see `error_bodies`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI, Response
from starlette.types import Receive, Scope, Send

from service.api.answers import json_response, send_json
from service.api.asking import JsonReader, Shown, Template, mount_asking
from service.api.bodies import Bodies
from service.api.call import call_of
from service.api.foreign_refusals import ASKED, foreign_refusals
from service.api.foreign_requests import TeiEmbedRequest, TeiPredictRequest
from service.api.foreign_schemas import TeiEmbeddings, TeiError, TeiInfo, TeiPredictions
from service.api.lifecycle import Lifecycle
from service.api.names import ModelName, model_parts
from service.api.openapi import example_of
from service.api.operations import RETRY_SOON
from service.api.ports import Batcher
from service.api.prediction import Predictor
from service.api.provenance import SHOWN, provenance
from service.api.ranking import ranked
from service.api.schemas import EXAMPLE_DIGEST
from service.api.version import VERSION
from service.engine.adapter import FloatArray
from service.engine.bundle import Bundle
from service.engine.tokens import Input
from service.errors import (
    BodyTooLarge,
    MalformedRequest,
    NoLiveVersion,
    UnacceptableRequest,
    UnknownAdapter,
    UnknownTenant,
)
from service.registry.records import Route
from service.registry.registry import Registry
from service.settings import Settings

TAG = "Text Embeddings Inference"
_PREDICT = "/tei/{model}/predict"
_EMBED = "/tei/{model}/embed"
_INFO = "/tei/{model}/info"
_HEALTH = "/tei/{model}/health"

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class TeiPredict:
    """`POST /tei/{model}/predict`."""

    def __init__(self, predictor: Predictor, bodies: Bodies, max_body_bytes: int) -> None:
        self._predictor = predictor
        self._reader = JsonReader(TeiPredictRequest, bodies, max_body_bytes)

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        shown = Shown(
            TAG,
            "Answers every label with its probability, best first: one list for a text or a pair,"
            " a list of them for a batch. A text that is too long is refused, unless `truncate`"
            " is true. With `raw_scores` a score is the probability's natural logarithm, which is"
            " the model's logit but for one constant a text.",
            TeiPredictRequest,
            _PREDICT_EXAMPLES,
            TeiPredictions,
            _PREDICTED,
            foreign_refusals(_PREDICT, TeiError, *ASKED),
            SHOWN,
        )
        mount_asking(app, self, shown, Template(_PREDICT, "tei_predict", "Classify as TEI does"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        model = (*model_parts(scope["path_params"]["model"]), None)
        request = await self._reader.read(call, receive)
        if isinstance(request.inputs, list):
            _check_count(self._predictor, len(request.inputs) or 1)
        inputs, batch = predict_inputs(request.inputs)
        _check(self._predictor, inputs)
        truncate = _may_truncate(request.truncate, request.truncation_direction)
        predicted = await self._predictor.predict(
            call, receive, model, inputs, may_truncate=truncate
        )
        answer = predicted.answer
        told = ranked(answer.labels, answer.probabilities, logarithms=request.raw_scores)
        await send_json(send, told if batch else told[0], provenance(predicted))


class TeiEmbed:
    """`POST /tei/{model}/embed`."""

    def __init__(
        self, predictor: Predictor, bodies: Bodies, max_body_bytes: int, hidden_size: int
    ) -> None:
        self._predictor = predictor
        self._hidden_size = hidden_size
        self._reader = JsonReader(TeiEmbedRequest, bodies, max_body_bytes)

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        shown = Shown(
            TAG,
            "Answers the embedding of each text: the mean of the last hidden state, computed with"
            " the tenant's adapter, of length 1 unless `normalize` is false. A text that is too"
            " long is refused, unless `truncate` is true.",
            TeiEmbedRequest,
            _EMBED_EXAMPLES,
            TeiEmbeddings,
            [[0.0214, -0.0671, 0.0389]],
            foreign_refusals(_EMBED, TeiError, *ASKED),
            SHOWN,
        )
        mount_asking(app, self, shown, Template(_EMBED, "tei_embed", "Embed as TEI does"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        model = (*model_parts(scope["path_params"]["model"]), None)
        request = await self._reader.read(call, receive)
        self._check_options(request)
        inputs = [request.inputs] if isinstance(request.inputs, str) else request.inputs
        _check(self._predictor, inputs)
        truncate = _may_truncate(request.truncate, request.truncation_direction)
        predicted = await self._predictor.predict(
            call, receive, model, inputs, may_truncate=truncate
        )
        embeddings = predicted.answer.embeddings
        shaped = _shaped(embeddings, request.dimensions, normal=request.normalize)
        await send_json(send, shaped, provenance(predicted))

    def _check_options(self, request: TeiEmbedRequest) -> None:
        if request.prompt_name is not None:
            raise UnacceptableRequest(
                f"$.prompt_name: there is no prompt {request.prompt_name[:80]!r}; this server has"
                " none"
            )
        if request.dimensions is not None and request.dimensions > self._hidden_size:
            raise UnacceptableRequest(
                f"$.dimensions: an embedding has {self._hidden_size}, not {request.dimensions}"
            )


class TeiModels:
    """What Text Embeddings Inference tells of a model."""

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher,
        lifecycle: Lifecycle,
        bundle: Bundle,
        settings: Settings,
    ) -> None:
        self._registry = registry
        self._batcher = batcher
        self._lifecycle = lifecycle
        self._max_length = bundle.manifest.max_length
        self._settings = settings

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        unknown = (UnknownTenant, UnknownAdapter, NoLiveVersion)
        app.add_api_route(
            _INFO,
            self.info,
            methods=["GET"],
            tags=[TAG],
            summary="Tell of a model as TEI does",
            responses={
                200: example_of(TeiInfo, _INFO_EXAMPLE),
                **foreign_refusals(_INFO, TeiError, *unknown),
            },
        )
        app.add_api_route(
            _HEALTH,
            self.health,
            methods=["GET"],
            tags=[TAG],
            summary="Say whether a model answers, as TEI does",
            response_class=Response,
            responses={
                200: {"description": "It answers"},
                **foreign_refusals(_HEALTH, TeiError, *unknown),
            },
        )

    async def info(self, model: ModelName) -> Response:
        """Tell of the version that is live: its labels, and the limits of this server."""
        return json_response(self._info(model, self._live(model)))

    async def health(self, model: ModelName) -> Response:
        """Answer 200 without a body where the model would answer."""
        self._registry.route(*model_parts(model), None)
        if self._lifecycle.ready:
            return Response()
        document = {"error": "the server is warming up or stopping", "error_type": "Unhealthy"}
        return json_response(document, 503, RETRY_SOON)

    def _live(self, model: str) -> Route:
        """Return the route to the live version, whatever a canary's draw would say."""
        tenant, adapter = model_parts(model)
        live = self._registry.routes().of_adapter(tenant, adapter).rollout.live
        if live is None:
            raise NoLiveVersion(f"no version of {model} is live; name one in its rollout")
        return self._registry.route(tenant, adapter, live)

    def _info(self, model: str, route: Route) -> dict[str, Any]:
        precision = self._batcher.status().precision
        settings = self._settings
        return {
            "model_id": model,
            "model_sha": route.digest,
            "model_dtype": _DTYPES.get(precision, precision),
            "model_type": {
                "classifier": {
                    "id2label": {str(at): label for at, label in enumerate(route.labels)},
                    "label2id": {label: at for at, label in enumerate(route.labels)},
                }
            },
            "max_concurrent_requests": settings.queue_texts_max,
            "max_input_length": self._max_length,
            "max_batch_tokens": settings.queue_tokens_max,
            "max_batch_requests": None,
            "max_client_batch_size": settings.max_inputs,
            "auto_truncate": False,
            "tokenization_workers": 1,
            "version": VERSION,
            "sha": None,
            "docker_label": None,
        }


def predict_inputs(given: str | list[str | list[str]]) -> tuple[list[Input], bool]:
    """Return the inputs that a request names, and whether they are a batch.

    A list of one or two texts is one input; a list of lists is a batch of such. Raises
    `UnacceptableRequest` for a mixture, and for more than two texts in one input.
    """
    if isinstance(given, str):
        return [given], False
    plain = [item for item in given if isinstance(item, str)]
    if plain and len(plain) == len(given):
        return [_pair(plain, "$.inputs")], False
    inputs = []
    for at, item in enumerate(given):
        if isinstance(item, str):
            raise UnacceptableRequest(
                f"$.inputs[{at}] is a text beside lists; in a batch every input is a list"
            )
        inputs.append(_pair(item, f"$.inputs[{at}]"))
    return inputs, True


def _pair(texts: Sequence[str], where: str) -> Input:
    if len(texts) == 1:
        return texts[0]
    if len(texts) == 2:
        return texts[0], texts[1]
    raise UnacceptableRequest(
        f"{where} has {len(texts)} texts; one input is a text or a pair of them, and a batch is"
        ' a list of lists: [["one"], ["two"], ["three"]]'
    )


def _check(predictor: Predictor, inputs: Sequence[Input]) -> None:
    """Refuse as that server does: nothing to do is 400, and too large a batch is 413."""
    if not inputs:
        raise MalformedRequest("`inputs` cannot be empty")
    _check_count(predictor, len(inputs))
    for at, item in enumerate(inputs):
        if not any(item):  # a text without a character, or two such
            raise MalformedRequest(f"`inputs` cannot be empty; input {at} is")


def _check_count(predictor: Predictor, count: int) -> None:
    try:
        predictor.check_count(count)
    except UnacceptableRequest as error:
        raise BodyTooLarge(str(error)) from None


def _may_truncate(truncate: bool | None, direction: str) -> bool:
    if truncate and direction.lower() == "left":
        raise UnacceptableRequest("$.truncation_direction: texts are cut at their right end only")
    return truncate is True


def _shaped(embeddings: FloatArray, dimensions: int | None, *, normal: bool) -> FloatArray:
    """Return embeddings [texts, hidden] cut to their first components, and of length 1."""
    shaped: FloatArray = np.ascontiguousarray(embeddings[:, :dimensions])
    if normal:
        lengths = np.linalg.norm(shaped, axis=1, keepdims=True)
        shaped = shaped / np.maximum(lengths, np.finfo(np.float32).tiny)  # a zero stays one
    return shaped


_PREDICT_EXAMPLES = {
    "text": {"summary": "A text", "value": {"inputs": "I want my money back."}},
    "pair": {"summary": "One pair", "value": {"inputs": ["A man sleeps.", "Nobody is awake."]}},
    "batch": {
        "summary": "A batch",
        "value": {"inputs": [["I want my money back."], ["Where is it?"]], "truncate": True},
    },
}
_PREDICTED = [
    {"score": 0.93, "label": "refund"},
    {"score": 0.05, "label": "delivery"},
    {"score": 0.02, "label": "other"},
]
_EMBED_EXAMPLES = {
    "texts": {
        "summary": "Texts",
        "value": {"inputs": ["I want my money back.", "Where is my parcel?"], "truncate": True},
    }
}
_INFO_EXAMPLE = {
    "model_id": "acme.support",
    "model_sha": EXAMPLE_DIGEST,
    "model_dtype": "float32",
    "model_type": {
        "classifier": {
            "id2label": {"0": "refund", "1": "delivery", "2": "other"},
            "label2id": {"refund": 0, "delivery": 1, "other": 2},
        }
    },
    "max_concurrent_requests": 4096,
    "max_input_length": 512,
    "max_batch_tokens": 262_144,
    "max_batch_requests": None,
    "max_client_batch_size": 1000,
    "auto_truncate": False,
    "tokenization_workers": 1,
    "version": VERSION,
    "sha": None,
    "docker_label": None,
}
