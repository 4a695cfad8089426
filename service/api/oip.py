"""The Open Inference Protocol v2 (KServe, Triton, MLServer): health, metadata, inference.

https://github.com/kserve/open-inference-protocol. A model is `{tenant}.{adapter}`, its versions
are the adapter's. Errors on these routes are `{"error": "<text>"}`: see `problems`.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.api.answers import send_json, version_number
from service.api.bodies import Bodies
from service.api.call import call_of
from service.api.oip_tensors import decode_request, encode_outputs
from service.api.openapi import ASKING, TIMEOUT, example_of, refusals, struct_body
from service.api.prediction import Predicted, Predictor
from service.api.requests import OipRequest
from service.api.routes import RawRoute
from service.api.schemas import EXAMPLE_BACKBONE, EXAMPLE_DIGEST, EXAMPLE_ID, OipAnswer
from service.errors import UnknownAdapter

PLATFORM = "onnxruntime_banked_lora"
TAG = "Open Inference Protocol v2"


def model_parts(model: str) -> tuple[str, str]:
    """Return the tenant and the adapter of a model's name; raise `UnknownAdapter`."""
    tenant, dot, adapter = model.partition(".")
    if not (tenant and dot and adapter) or "." in adapter:
        raise UnknownAdapter(f"there is no model {model[:160]!r}; names are tenant.adapter")
    return tenant, adapter


def model_of(path: Mapping[str, str]) -> tuple[str, str, int | None]:
    """Return tenant, adapter and version that a route's path names."""
    version = path.get("version")
    return (*model_parts(path["model"]), None if version is None else version_number(version))


class Infer:
    """`POST /v2/models/{model}[/versions/{version}]/infer`."""

    def __init__(self, predictor: Predictor, bodies: Bodies, max_body_bytes: int) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        for path, name, summary in (
            ("/v2/models/{model}/infer", "infer", "Infer"),
            (
                "/v2/models/{model}/versions/{version}/infer",
                "infer_version",
                "Infer with one version",
            ),
        ):
            route = RawRoute(
                path,
                self,
                methods=["POST"],
                name=name,
                summary=summary,
                description=(
                    "Takes the input `text`, BYTES of shape [n] or [n, 1], and `pair` where two"
                    " texts are compared. Answers `label`, `score`, `probabilities` and `id`, or"
                    " what `outputs` names; `embedding` when it is named."
                ),
                tags=[TAG],
                responses={
                    200: example_of(OipAnswer, _ANSWER),
                    **refusals(*ASKING, body=True, oip=True),
                },
                request_body=struct_body(OipRequest, _REQUESTS),
                parameters=[TIMEOUT],
            )
            app.router.routes.append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        body = await self._bodies.read(call, receive, self._max_body_bytes)
        asked = decode_request(body, call.headers)
        model = model_of(scope["path_params"])
        predicted = await self._predictor.predict(call, receive, model, asked.inputs)
        document = _head(predicted, asked.id or call.request_id)
        document["outputs"] = encode_outputs(predicted, asked.outputs)
        await send_json(send, document)


def _head(predicted: Predicted, request_id: str) -> dict[str, Any]:
    route, backbone = predicted.route, predicted.backbone
    return {
        "model_name": f"{route.tenant}.{route.adapter}",
        "model_version": str(route.version),
        "id": request_id,
        "parameters": {
            "digest": predicted.answer.digest,
            "backbone": backbone.digest,
            "precision": backbone.precision,
            "provider": backbone.provider,
            "calibrated": route.calibrated,
            "truncated": sum(predicted.truncated),
        },
    }


_REQUESTS = {
    "text": {
        "summary": "Two texts",
        "value": {
            "id": "42",
            "inputs": [
                {
                    "name": "text",
                    "shape": [2],
                    "datatype": "BYTES",
                    "data": ["I want my money back.", "Where is my parcel?"],
                }
            ],
            "outputs": [{"name": "label"}, {"name": "score"}],
        },
    }
}
_ANSWER = {
    "model_name": "acme.support",
    "model_version": "3",
    "id": "42",
    "parameters": {
        "digest": EXAMPLE_DIGEST,
        "backbone": EXAMPLE_BACKBONE,
        "precision": "fp32",
        "provider": "openvino",
        "calibrated": False,
        "truncated": 0,
    },
    "outputs": [
        {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["refund"]},
        {"name": "score", "shape": [1], "datatype": "FP32", "data": [0.93]},
        {"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": [0.93, 0.07]},
        {"name": "id", "shape": [1], "datatype": "BYTES", "data": [EXAMPLE_ID]},
    ],
}
