"""The wire of Hugging Face's clients: `InferenceClient(model=url).text_classification(text)`.

https://huggingface.co/docs/inference-providers/tasks/text-classification, or image-classification
where the backbone reads images. The address of a model is `/hf/{tenant}.{adapter}`. It names no
task, so that it can have only one: classification.
"""

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.api.answers import send_json
from service.api.asking import JsonReader, Shown, Template, mount_asking
from service.api.bodies import Bodies
from service.api.call import Call, call_of
from service.api.foreign_refusals import ASKED, foreign_refusals
from service.api.foreign_requests import HfPair, HfParameters, HfRequest
from service.api.foreign_schemas import HfError, HfLabels
from service.api.names import model_parts
from service.api.openapi import IMAGE_BODY
from service.api.prediction import Given, Predictor
from service.api.provenance import SHOWN, provenance
from service.api.ranking import ranked
from service.api.requests import media_type_of
from service.api.sent_images import SentImage, from_text
from service.engine.errors import UNDECODABLE, UnsupportedImage
from service.errors import WrongMediaType

TAG = "Hugging Face"
_PATH = "/hf/{model}"


class HfClassify:
    """`POST /hf/{model}`."""

    def __init__(self, predictor: Predictor, bodies: Bodies, max_body_bytes: int) -> None:
        self._predictor = predictor
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes
        self._reader = JsonReader(HfRequest, bodies, max_body_bytes)

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        shown = Shown(
            TAG,
            "Answers a list for each text: its labels with their probabilities, best first. One"
            " text is answered by a list of one list. A text that is too long is cut, unless the"
            " parameter `truncation` is false. Where the backbone reads images, the body is a file,"
            " or JSON with base64 of one or more, and one image is answered by its labels alone.",
            HfRequest,
            _EXAMPLES,
            HfLabels,
            _ANSWER,
            foreign_refusals(_PATH, HfError, *ASKED, *UNDECODABLE),
            SHOWN,
            content=IMAGE_BODY,
        )
        template = Template(_PATH, "hf_classify", "Classify as Hugging Face does")
        mount_asking(app, self, shown, template)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        call = call_of(scope)
        model = (*model_parts(scope["path_params"]["model"]), None)
        if self._predictor.takes_images:
            await self._answer_images(call, model, receive, send)
            return
        request = await self._reader.read(call, receive)
        given = request.inputs if isinstance(request.inputs, list) else [request.inputs]
        self._predictor.check_count(len(given))
        parameters = request.parameters or HfParameters()
        predicted = await self._predictor.predict(
            call,
            receive,
            model,
            [_input(item) for item in given],
            may_truncate=parameters.truncation,
        )
        answer = predicted.answer
        told = ranked(answer.labels, answer.probabilities, parameters.top_k)
        await send_json(send, told, provenance(predicted))

    async def _answer_images(
        self, call: Call, model: tuple[str, str, None], receive: Receive, send: Send
    ) -> None:
        media_type = media_type_of(call)
        parameters, alone = HfParameters(), True
        if media_type == "application/json" or media_type.endswith("+json"):
            request = await self._reader.read(call, receive)
            parameters = request.parameters or parameters
            alone = not isinstance(request.inputs, list)
            given = request.inputs if isinstance(request.inputs, list) else [request.inputs]
            self._predictor.check_count(len(given))
            images = [from_text(item) if isinstance(item, str) else _input(item) for item in given]
        else:
            # Clients that do not know the type call a file by another, or by none.
            body = await self._bodies.read(call, receive, self._max_body_bytes)
            declared = media_type if media_type.startswith("image/") else None
            images = [SentImage(body, declared=declared)]
        try:
            predicted = await self._predictor.predict(call, receive, model, images)
        except UnsupportedImage as error:
            if images and isinstance(images[0], SentImage) and images[0].form == "file":
                raise WrongMediaType(str(error)) from error  # the body itself is of another type
            raise
        answer = predicted.answer
        told = ranked(answer.labels, answer.probabilities, parameters.top_k)
        await send_json(send, told[0] if alone else told, provenance(predicted))


def _input(item: str | HfPair) -> Given:
    if isinstance(item, str):
        return item
    return item.text if item.text_pair is None else (item.text, item.text_pair)


_EXAMPLES = {
    "text": {"summary": "A text", "value": {"inputs": "I want my money back."}},
    "pair": {
        "summary": "A text with a pair, the best label alone",
        "value": {
            "inputs": {"text": "A man sleeps.", "text_pair": "Nobody is awake."},
            "parameters": {"top_k": 1},
        },
    },
}
_ANSWER = [
    [
        {"label": "refund", "score": 0.93},
        {"label": "delivery", "score": 0.05},
        {"label": "other", "score": 0.02},
    ]
]
