"""The Open Inference Protocol v2 (KServe, Triton, MLServer): inference over HTTP.

https://github.com/kserve/open-inference-protocol. A model is `{tenant}.{adapter}`, its versions
are the adapter's. Tensors go as JSON or raw behind it (`oip_binary`). Errors on these routes are
`{"error": "<text>"}`: see `problems`.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.api.answers import version_number
from service.api.asking import Shown, Template, mount_asking
from service.api.bodies import Bodies
from service.api.call import Call, call_of
from service.api.compression import compress
from service.api.names import model_parts
from service.api.oip_binary import LENGTH_HEADER, SIZE
from service.api.oip_statistics import Statistics
from service.api.oip_tensors import Asked, Output, decode_request, outputs_of
from service.api.openapi import ASKING, refusals
from service.api.prediction import Predicted, Predictor
from service.api.requests import OipRequest
from service.api.schemas import EXAMPLE_BACKBONE, EXAMPLE_DIGEST, EXAMPLE_ID, OipAnswer
from service.engine.errors import UNDECODABLE

TAG = "Open Inference Protocol v2"

_JSON, _RAW = b"application/json", b"application/octet-stream"


def model_of(path: Mapping[str, str]) -> tuple[str, str, int | None]:
    """Return tenant, adapter and version that a route's path names."""
    version = path.get("version")
    return (*model_parts(path["model"]), None if version is None else version_number(version))


class Infer:
    """`POST /v2/models/{model}[/versions/{version}]/infer`."""

    def __init__(
        self,
        predictor: Predictor,
        bodies: Bodies,
        max_body_bytes: int,
        statistics: Statistics | None = None,
    ) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes
        self._statistics = statistics

    def mount(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        shown = Shown(
            TAG,
            "Takes the input `text`, BYTES of shape [n] or [n, 1], and `pair` where two texts are"
            " compared; or, where the backbone reads images, `image`: BYTES of the same shapes, a"
            " file each where the tensor is raw, base64 of it in JSON. Answers `label`, `score`,"
            " `probabilities` and `id`, or what `outputs` names; `embedding` when it is named."
            " Tensors may be raw, in both directions (`Inference-Header-Content-Length`, the binary"
            " tensor data extension).",
            OipRequest,
            _REQUESTS,
            OipAnswer,
            _ANSWER,
            refusals(*ASKING, *UNDECODABLE, body=True, oip=True),
        )
        mount_asking(
            app,
            self,
            shown,
            Template("/v2/models/{model}/infer", "infer", "Infer"),
            Template(
                "/v2/models/{model}/versions/{version}/infer",
                "infer_version",
                "Infer with one version",
            ),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        body = await self._bodies.read(call, receive, self._max_body_bytes)
        asked = decode_request(
            body, call.headers, self._predictor.check_count, images=self._predictor.takes_images
        )
        model = model_of(scope["path_params"])
        work = self._predictor.predict(
            call,
            receive,
            model,
            asked.inputs,
            routing_key=asked.routing_key,
            group=asked.group,
        )
        counted = work if self._statistics is None else self._statistics.count(call, model, work)
        await _send(send, call, *_body(call, asked, await counted))


def _body(call: Call, asked: Asked, predicted: Predicted) -> tuple[bytes, int | None]:
    """Return the answer's body, and the length of its JSON where raw tensors follow."""
    outputs = outputs_of(predicted, [wanted.name for wanted in asked.outputs])
    tail = [
        output.raw() if wanted.raw else None
        for wanted, output in zip(asked.outputs, outputs, strict=True)
    ]
    document: dict[str, Any] = head_of(predicted, asked.id or call.request_id)
    document["outputs"] = [_tensor(output, raw) for output, raw in zip(outputs, tail, strict=True)]
    json = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    raws = [raw for raw in tail if raw is not None]
    return (b"".join((json, *raws)), len(json)) if raws else (json, None)


def _tensor(output: Output, raw: bytes | None) -> dict[str, Any]:
    """Return what the JSON tells of an output; numbers stay numpy arrays, flat."""
    told: dict[str, Any] = {
        "name": output.name,
        "shape": output.shape,
        "datatype": output.datatype,
    }
    if raw is not None:
        told["parameters"] = {SIZE: len(raw)}
    else:
        told["data"] = output.data if isinstance(output.data, list) else output.data.ravel()
    return told


async def _send(send: Send, call: Call, body: bytes, json_length: int | None) -> None:
    body, coding = await compress(body, call.headers.get(b"accept-encoding"))
    headers = [
        (b"content-type", _JSON if json_length is None else _RAW),
        (b"content-length", b"%d" % len(body)),
    ]
    if json_length is not None:
        headers.append((LENGTH_HEADER, b"%d" % json_length))
    if coding is not None:
        headers.append((b"content-encoding", coding.encode("ascii")))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def head_of(predicted: Predicted, request_id: str) -> dict[str, Any]:
    """Return what an answer says beside its outputs."""
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
