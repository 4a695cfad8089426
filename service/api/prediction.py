"""From inputs to answers: what every wire shares, whatever its JSON looks like."""

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from starlette.types import Receive

from service.api.call import Call
from service.api.departure import unless_left
from service.api.entrance import Entrance
from service.api.failures import Watched
from service.api.image_reading import UNDECODABLE
from service.api.ports import Batcher, Preparing, Router, Signing
from service.api.sent_images import SentImage
from service.batching.answers import Answer
from service.batching.jobs import BACKBONE, Job, Shadow
from service.engine.adapter import FloatArray
from service.engine.pixels import Pixels, Whole
from service.engine.tokens import Input, Windowed
from service.errors import InputTooLong, UnacceptableRequest
from service.events.ids import NONCE_BYTES, PredictionId, reference
from service.events.image_figures import ImageFigures
from service.events.text_figures import TextFigures
from service.limits import TenantLimits
from service.metrics import Metrics
from service.registry.records import Route
from service.registry.routes import for_one_request
from service.tracing.names import ADAPTER, DIGEST, INPUTS, PREPARE, ROLE, TOKENS, VERSION
from service.usage import UsageBook


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
    audits: list[bool]  # whether a label is asked for
    tokens: int  # of all inputs
    time_s: float  # when, by the wall clock


@dataclass(frozen=True, slots=True)
class Lot:
    """What chance decided of a request's inputs, before anything answered them."""

    draws: Sequence[float] = ()  # [inputs], in [0, 1): one below a share belongs to it
    base: Sequence[int] = ()  # the inputs that the bare backbone embeds too, ascending


Given = Input | SentImage  # one input of a request
Figures = TextFigures | ImageFigures


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, for the log."""

    call: Call
    inputs: Sequence[Given]  # none of images
    tokens: Sequence[Whole]
    group: str | None
    figures: Figures | None  # of the inputs; None: nothing of them is logged
    lot: Lot


class Recorder(Protocol):
    """Takes down what was predicted; `service.api.recording` has the real one."""

    def measure(self, route: Route, inputs: Sequence[Input] | Sequence[Pixels]) -> Figures | None:
        """Return what the log tells of inputs that it may not keep; from any thread."""
        ...

    def undecodable(self, route: Route) -> None:
        """Take down that an image of a request could not be decoded; never blocks nor raises."""
        ...

    def failed(self, route: Route, code: str, inputs: int) -> None:
        """Take down that a request ended in a 5xx; never blocks nor raises."""
        ...

    def draw(self, route: Route, inputs: int) -> Lot:
        """Return what chance decides of so many inputs."""
        ...

    def predicted(self, asked: Asked, predicted: Predicted, base: FloatArray | None) -> None:
        """Log what a caller was answered; never blocks nor raises.

        `base` [asked.lot.base, hidden] are the bare backbone's embeddings, where they came.
        """
        ...

    def shadowed(self, asked: Asked, live: Predicted, route: Route, answer: Answer) -> None:
        """Log what another version said of the same inputs."""
        ...


class Predictor:
    """Answers inputs through the router, what prepares them, and the batcher."""

    def __init__(
        self,
        router: Router,
        preparing: Preparing,
        batcher: Batcher,
        signing: Signing,
        metrics: Metrics,
        recorder: Recorder,
        limits: TenantLimits,
        usage: UsageBook,
        *,
        bundle_digest: str,
        max_inputs: int,
        timeout_s_max: float,
        audit_ratio: float = 0.0,
        pairs: bool = True,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`pairs`: canary and live answer requests of each other too, for the log."""
        self._router = router
        self._preparing = preparing
        self._batcher = batcher
        self._signing = signing
        self._metrics = metrics
        self._recorder = recorder
        self._entrance = Entrance(limits, metrics, usage)
        self._usage = usage
        self._bundle_digest = bundle_digest
        self._backbone: Backbone | None = None
        self._max_inputs = max_inputs
        self._timeout_s_max = timeout_s_max
        self._audit_ratio = audit_ratio
        self._pairs = pairs
        self._draw = draw

    @property
    def takes_images(self) -> bool:
        """Return whether the backbone reads images, and not texts."""
        return self._preparing.takes_images

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
        inputs: Sequence[Given],
        *,
        routing_key: str | None = None,
        group: str | None = None,
        may_truncate: bool = True,
    ) -> Predicted:
        """Answer the inputs with a tenant's adapter: at a version, or as its rollout says.

        The request's body must have been read, by `Bodies`. Raises what the registry and the
        batcher raise, `UnknownTenant` and `NotPermitted` for what the caller may not ask,
        `TenantLimited`, `InputTooLong` where nothing may be cut, one of `UNDECODABLE` for an image
        that cannot be read, and `ClientLeft`.
        """
        call.admitted.require("predict", model[0])
        self.check_count(len(inputs))
        deadline_s = call.deadline_s(self._timeout_s_max)
        call.record(model[0])
        route = self._router.route(*model, routing_key)
        if call.trace is not None:
            call.trace.attributes.update(_told_of(route))
        call.reached = route.tenant, route.settings.kind
        call.log |= {
            "tenant": route.tenant,
            "adapter": route.adapter,
            "version": route.version,
            "digest": route.digest,
        }
        if route.twin_share:
            drawn = self._draw() if self._pairs else None
            route = for_one_request(route, drawn, keyed=routing_key is not None)
        with (
            Watched(self._recorder, route, len(inputs), call, self._metrics.objectives),
            self._entrance.entered(route.tenant, route.settings.rates) as entry,
            self._preparing.room(route.tenant, len(inputs)),
        ):
            begun_s = time.monotonic()
            try:
                ways, figures = await self._prepared(call, receive, route, inputs, deadline_s)
            finally:
                if call.trace is not None:
                    call.trace.stage(PREPARE, begun_s, time.monotonic(), {INPUTS: len(inputs)})
            self._metrics.prepared(time.monotonic() - begun_s)
            tokens, *others = ways
            if not may_truncate:
                _check_lengths(tokens)
            if route.windows is not None:
                self._check_windows(tokens)
            count = sum(map(len, tokens))
            entry.charge(count, time.monotonic())
            lot = self._recorder.draw(route, len(inputs))
            # The log takes figures of images alone, and a shadow may wait long: no file is kept.
            kept = () if self._preparing.takes_images else inputs
            asked = Asked(call, kept, tokens, group, figures, lot)
            return await self._answer(asked, others, receive, route, deadline_s, count)

    async def _prepared(
        self,
        call: Call,
        receive: Receive,
        route: Route,
        inputs: Sequence[Given],
        deadline_s: float,
    ) -> tuple[Sequence[Sequence[Whole]], Figures | None]:
        """Return what a pass takes of the inputs, for the version and for each of its shadows."""
        measure = partial(self._recorder.measure, route)
        wanted = [route.windows, *(shadow.windows for shadow in route.shadows)]
        work = self._preparing.encode(
            route.tenant, inputs, wanted, call.body_bytes, deadline_s, measure
        )
        if not self._preparing.takes_images:
            return await work
        try:
            # Many images take long enough for their caller to leave.
            return await unless_left(work, receive)
        except UNDECODABLE:
            self._recorder.undecodable(route)
            raise

    def _check_windows(self, tokens: Sequence[Whole]) -> None:
        """Raise `UnacceptableRequest` where long texts are more work than a request may bring."""
        pieces = sum(len(one.windows) if isinstance(one, Windowed) else 1 for one in tokens)
        if pieces > self._max_inputs:
            raise UnacceptableRequest(
                f"the inputs are so long that they make {pieces} windows, and a request holds at"
                f" most {self._max_inputs} inputs and windows; send fewer long texts at once"
            )

    async def _answer(
        self,
        asked: Asked,
        others: Sequence[Sequence[Whole]],
        receive: Receive,
        route: Route,
        deadline_s: float,
        count: int,
    ) -> Predicted:
        """Answer with the version, and let its shadows answer the same inputs in `others`."""
        witnesses = [
            _Witness(self._recorder, replace(asked, tokens=tokens), shadow)
            for shadow, tokens in zip(route.shadows, others, strict=True)
        ]
        shadows = [
            Shadow(one.route.digest, one.observe, texts=tokens)
            for one, tokens in zip(witnesses, others, strict=True)
        ]
        own = _OwnWitness(self._recorder, asked)
        if asked.lot.base:
            shadows.append(Shadow(BACKBONE, own.observe, own.miss, asked.lot.base))
        job = Job(
            route.digest,
            asked.tokens,
            deadline_s,
            tenant=route.tenant,
            weight=route.settings.weight,
            shadows=tuple(shadows),
            trace=asked.call.trace,
        )
        answer = await unless_left(self._batcher.answer(job), receive)
        # The digest comes from the slot that computed the rows. Another one is a bug of ours, and
        # no answer is better than another tenant's.
        # So this is no assert, which -O would take away.
        if answer.digest != route.digest:
            raise AssertionError("an answer came from another adapter")
        predicted = self._told(route, answer, asked.tokens, count)
        texts = len(asked.tokens)
        self._metrics.answered(
            route.tenant,
            texts,
            sum(predicted.truncated),
            answer.queue_s,
            count,
            answer.compute_s,
            None if asked.call.trace is None else asked.call.trace_id,
        )
        if asked.call.trace is not None:
            asked.call.trace.attributes[TOKENS] = count
        self._usage.answered(route.tenant, texts, count, answer.compute_s)
        asked.call.log["texts"] = asked.call.texts = texts
        own.compare(predicted)
        for witness in witnesses:
            witness.compare(predicted)
        return predicted

    def _told(self, route: Route, answer: Answer, tokens: Sequence[Whole], count: int) -> Predicted:
        tops: list[int] = answer.probabilities.argmax(axis=1).tolist()
        made_by = reference(route.tenant, route.adapter, route.version)
        time_s = time.time()
        seconds = int(time_s)
        nonces = os.urandom(NONCE_BYTES * len(tops))
        issue = self._signing.signer.issue
        ratio = self._audit_ratio
        audits = [ratio > 0.0 and self._draw() < ratio for _ in tops]
        live, canary = route.role == "live", route.role == "canary"
        ids = [
            issue(
                PredictionId(
                    made_by,
                    seconds,
                    top,
                    float(answer.probabilities[row, top]),
                    live,
                    canary,
                    audits[row],
                    ratio,
                ),
                nonces[row * NONCE_BYTES : (row + 1) * NONCE_BYTES],
            )
            for row, top in enumerate(tops)
        ]
        truncated = [text.truncated for text in tokens]
        return Predicted(
            self._known_backbone(), route, answer, tops, truncated, ids, audits, count, time_s
        )

    def _known_backbone(self) -> Backbone:
        """Return what answers; asked of the batcher once, after its first answer."""
        if self._backbone is None:
            status = self._batcher.status()
            self._backbone = Backbone(self._bundle_digest, status.precision, status.provider)
        return self._backbone


class _OwnWitness:
    """Brings the caller's answer and what the bare backbone said of the same texts together.

    The caller is answered at once; the log hears of it when the bare backbone has answered too, in
    the same pass as a rule, or will not. So each answer is logged once, with or without.
    """

    def __init__(self, recorder: Recorder, asked: Asked) -> None:
        self._recorder = recorder
        self._asked = asked
        self._awaited = bool(asked.lot.base)
        self._base: FloatArray | None = None
        self._answer: Predicted | None = None

    def observe(self, answer: Answer) -> None:
        """Take the bare backbone's answer."""
        self._base = answer.embeddings
        self.miss()

    def miss(self) -> None:
        """Wait for the bare backbone no longer."""
        self._awaited = False
        self._tell()

    def compare(self, answer: Predicted) -> None:
        """Take what the caller is answered."""
        self._answer = answer
        self._tell()

    def _tell(self) -> None:
        if self._answer is not None and not self._awaited:
            self._recorder.predicted(self._asked, self._answer, self._base)


class _Witness:
    """Brings a shadow's answer and the caller's together, whichever is there first."""

    def __init__(self, recorder: Recorder, asked: Asked, route: Route) -> None:
        self.route = route
        self._recorder = recorder
        self._asked = asked
        self._answer: Answer | None = None
        self._live: Predicted | None = None

    def observe(self, answer: Answer) -> None:
        """Take the shadow's answer."""
        self._answer = answer
        self._tell()

    def compare(self, live: Predicted) -> None:
        """Take what the caller is answered."""
        self._live = live
        self._tell()

    def _tell(self) -> None:
        if self._answer is not None and self._live is not None:
            self._recorder.shadowed(self._asked, self._live, self.route, self._answer)


def _told_of(route: Route) -> dict[str, str | bool | int | float]:
    """Return what a request's span says of the version that answers it."""
    return {ADAPTER: route.adapter, VERSION: route.version, DIGEST: route.digest, ROLE: route.role}


def _check_lengths(tokens: Sequence[Whole]) -> None:
    """Raise `InputTooLong`, naming the first input that would be cut."""
    for position, text in enumerate(tokens):
        if text.truncated:
            raise InputTooLong(
                f"input {position} is longer than the {len(text)} tokens that are read; shorten"
                " it, or allow it to be truncated"
            )
