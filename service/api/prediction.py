"""From texts to answers: what every wire shares, whatever its JSON looks like."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Receive

from service.api.call import Call
from service.api.departure import unless_left
from service.api.ports import Batcher, Router, Tokeniser
from service.batching.answers import Answer
from service.batching.queue import Job
from service.engine.tokens import Input, Tokens
from service.errors import UnacceptableRequest
from service.events.ids import NONCE_BYTES, PredictionId, Signer, reference
from service.metrics import Metrics
from service.registry.records import Route

# A text of a few words takes 45 us to tokenise, less than a thread takes to answer; 8 KiB take
# about a millisecond, which is what others may be kept waiting for.
_INLINE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Backbone:
    """What every adapter of this process runs on."""

    digest: str
    precision: str
    provider: str


@dataclass(frozen=True, slots=True)
class Predicted:
    """One request's answer; the sequences are in the order of its inputs."""

    backbone: Backbone
    route: Route
    answer: Answer
    tops: list[int]  # the class of the largest probability
    truncated: list[bool]
    ids: list[str]


class Predictor:
    """Answers texts through the router, the tokeniser and the batcher."""

    def __init__(
        self,
        router: Router,
        tokeniser: Tokeniser,
        batcher: Batcher,
        signer: Signer,
        metrics: Metrics,
        *,
        bundle_digest: str,
        max_inputs: int,
        timeout_s_max: float,
    ) -> None:
        self._router = router
        self._tokeniser = tokeniser
        self._batcher = batcher
        self._signer = signer
        self._metrics = metrics
        self._bundle_digest = bundle_digest
        self._backbone: Backbone | None = None
        self._max_inputs = max_inputs
        self._timeout_s_max = timeout_s_max

    def check_count(self, count: int) -> None:
        """Raise `UnacceptableRequest` for too few or too many inputs."""
        if not 1 <= count <= self._max_inputs:
            raise UnacceptableRequest(
                f"{count} inputs; a request holds 1 to {self._max_inputs} of them"
            )

    async def predict(
        self,
        call: Call,
        receive: Receive,
        model: tuple[str, str, int | None],
        inputs: Sequence[Input],
    ) -> Predicted:
        """Answer the inputs with a tenant's adapter, at a version or the one that is live.

        The request's body must have been read, by `Bodies`. Raises what the registry and the
        batcher raise, and `ClientLeft`.
        """
        self.check_count(len(inputs))
        deadline_s = call.deadline_s(self._timeout_s_max)
        route = self._router.route(*model)
        if call.body_bytes <= _INLINE_BYTES:
            tokens = self._tokeniser.encode(inputs)
        else:
            tokens = await asyncio.to_thread(self._tokeniser.encode, inputs)
        work = self._batcher.answer(Job(route.digest, tokens, deadline_s))
        answer = await unless_left(work, receive)
        # The digest comes from the slot that computed the rows. Another one is a bug of ours, and
        # no answer is better than another tenant's.
        # So this is no assert, which -O would take away.
        if answer.digest != route.digest:
            raise AssertionError("an answer came from another adapter")
        predicted = self._told(route, answer, tokens)
        self._metrics.answered(route.tenant, len(inputs), sum(predicted.truncated), answer.queue_s)
        call.log["texts"] = len(inputs)
        return predicted

    def _told(self, route: Route, answer: Answer, tokens: Sequence[Tokens]) -> Predicted:
        tops: list[int] = answer.probabilities.argmax(axis=1).tolist()
        made_by = reference(route.tenant, route.adapter, route.version)
        seconds = int(time.time())
        nonces = os.urandom(NONCE_BYTES * len(tops))
        ids = [
            self._signer.issue(
                PredictionId(made_by, seconds, top, float(answer.probabilities[row, top])),
                nonces[row * NONCE_BYTES : (row + 1) * NONCE_BYTES],
            )
            for row, top in enumerate(tops)
        ]
        truncated = [text.truncated for text in tokens]
        return Predicted(self._known_backbone(), route, answer, tops, truncated, ids)

    def _known_backbone(self) -> Backbone:
        """Return what answers; asked of the batcher once, after its first answer."""
        if self._backbone is None:
            status = self._batcher.status()
            self._backbone = Backbone(self._bundle_digest, status.precision, status.provider)
        return self._backbone
