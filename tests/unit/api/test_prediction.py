import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.api.call import Call
from service.api.callers import OPERATOR, Caller
from service.api.prediction import Asked, Lot, Predicted, Predictor
from service.api.sent_images import SentImage
from service.api.tokenising import Tokenising
from service.batching.answers import Answer
from service.batching.jobs import BACKBONE, Job, Shadow
from service.engine.adapter import FloatArray
from service.engine.pixels import Pixels
from service.engine.tokens import Input, Text, Tokens, Windowed
from service.engine.windows import Windows
from service.errors import (
    InputTooLong,
    NotPermitted,
    TenantLimited,
    UnacceptableRequest,
    UnknownTenant,
)
from service.events.ids import reference
from service.events.text_figures import TextFigures, figures_of
from service.limits import TenantLimits
from service.metrics import Metrics
from service.registry.records import Rates, Role, Route, TenantSettings
from service.usage import Rows, UsageBook
from tests.fakes.asgi import FakeReceive, call_with
from tests.fakes.batching import FakeBatcher
from tests.fakes.prediction_keys import FakeSigning
from tests.fakes.tokens import FakeTokeniser, ids_of

pytestmark = pytest.mark.anyio

LABELS = ("refund", "delivery")
MODEL = ("acme", "support", None)


def route_of(**changes: Any) -> Route:
    return replace(Route("acme", "support", 3, "sha256:a", LABELS, calibrated=False), **changes)


class OneRoute:
    def __init__(self, route: Route) -> None:
        self.found = route
        self.keys: list[str | None] = []

    def route(
        self, tenant: str, adapter: str, version: int | None, key: str | None = None
    ) -> Route:
        assert version is None
        self.keys.append(key)
        return replace(self.found, tenant=tenant, adapter=adapter)


class WatchedTokeniser(FakeTokeniser):
    def __init__(self) -> None:
        self.threads: list[int] = []

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        self.threads.append(threading.get_ident())
        return super().encode(texts)


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.base: Sequence[int] = ()  # what the bare backbone is to embed
        self.answers: list[Predicted] = []
        self.bases: list[FloatArray | None] = []  # of the answers
        self.failures: list[tuple[str, str, int]] = []  # role, code and number of inputs
        self.shadows: list[tuple[Predicted, Route, Answer]] = []

    def measure(self, route: Route, inputs: Sequence[Input] | Sequence[Pixels]) -> TextFigures:
        texts = [each for each in inputs if not isinstance(each, Pixels)]
        return figures_of(texts, route.tenant, bytes(32))

    def undecodable(self, route: Route) -> None:
        raise AssertionError(f"no image was sent to {route.adapter}")

    def failed(self, route: Route, code: str, inputs: int) -> None:
        self.failures.append((route.role, code, inputs))

    def draw(self, _: Route, inputs: int) -> Lot:
        return Lot([0.5] * inputs, self.base)

    def predicted(self, asked: Asked, predicted: Predicted, base: FloatArray | None) -> None:
        assert len(asked.inputs) == len(predicted.ids)
        texts = [each for each in asked.inputs if not isinstance(each, SentImage)]
        assert asked.figures == self.measure(predicted.route, texts)
        self.answers.append(predicted)
        self.bases.append(base)

    def shadowed(self, _: Asked, live: Predicted, route: Route, answer: Answer) -> None:
        self.shadows.append((live, route, answer))


class Ledger:
    def __init__(self) -> None:
        self.rows: list[Rows] = []

    def add_usage(self, rows: Rows) -> None:
        self.rows.append(rows)


class Parts:
    def __init__(
        self,
        route: Route | None = None,
        batcher: type[FakeBatcher] = FakeBatcher,
        **options: Any,
    ) -> None:
        self.tokeniser = WatchedTokeniser()
        self.batcher = batcher({"sha256:a": LABELS, "sha256:s": LABELS})
        signing = FakeSigning()
        self.signer = signing.signer
        self.metrics = Metrics(CollectorRegistry())
        self.notes = Notes()
        self.ledger = Ledger()
        self.usage = UsageBook(self.ledger, self.metrics)
        self.router = OneRoute(route or route_of())
        self.predictor = Predictor(
            self.router,
            Tokenising(self.tokeniser),
            self.batcher,
            signing,
            self.metrics,
            self.notes,
            TenantLimits(),
            self.usage,
            bundle_digest="sha256:b",
            max_inputs=4,
            timeout_s_max=60.0,
            **options,
        )

    async def predict(self, call: Call, *texts: Input, **options: Any) -> Predicted:
        if call.caller is None:
            call.caller = OPERATOR
        return await self.predictor.predict(call, FakeReceive([]), MODEL, texts, **options)


async def test_the_answer_names_the_version_the_backbone_and_the_best_class() -> None:
    parts = Parts()
    predicted = await parts.predict(call_with(), "one", "two words")
    assert predicted.route.version == 3
    assert (predicted.backbone.digest, predicted.backbone.provider) == ("sha256:b", "cpu")
    probabilities = predicted.answer.probabilities
    assert predicted.tops == [int(row.argmax()) for row in probabilities]
    for row, text in enumerate(predicted.ids):
        read = parts.signer.read(text)
        assert read.reference == reference("acme", "support", 3)
        assert read.class_index == predicted.tops[row]
        assert read.confidence == pytest.approx(float(probabilities[row].max()), abs=1e-5)


async def test_the_job_carries_digest_tokens_and_deadline() -> None:
    parts = Parts()
    await parts.predict(call_with([(b"x-timeout-ms", b"500000000")]), "one two")
    [job] = parts.batcher.jobs
    assert (job.digest, len(ids_of(job.texts)[0]), job.deadline_s) == ("sha256:a", 2, 160.0)


@pytest.mark.parametrize(("body_bytes", "inline"), [(100, True), (100_000, False)])
async def test_only_a_large_body_is_tokenised_beside_the_event_loop(
    body_bytes: int, *, inline: bool
) -> None:
    parts = Parts()
    call = call_with()
    call.started_s = time.monotonic()
    call.body_bytes = body_bytes
    await parts.predict(call, "one")
    assert (parts.tokeniser.threads == [threading.get_ident()]) is inline


@pytest.mark.parametrize("count", [0, 5])
async def test_too_few_or_too_many_inputs_are_refused_before_any_work(count: int) -> None:
    parts = Parts()
    with pytest.raises(UnacceptableRequest, match="1 to 4"):
        await parts.predict(call_with(), *["text"] * count)
    assert parts.tokeniser.threads == []


async def test_an_answer_of_another_adapter_is_a_bug_and_no_answer() -> None:
    parts = Parts()
    parts.batcher.answer_digest = "sha256:another"
    with pytest.raises(AssertionError, match="another adapter"):
        await parts.predict(call_with(), "one")


@pytest.mark.parametrize("role", ["live", "canary", "pinned"])
async def test_an_id_says_whether_the_live_version_answered_or_its_canary(role: str) -> None:
    parts = Parts(route_of(role=role))
    predicted = await parts.predict(call_with(), "one")
    read = parts.signer.read(predicted.ids[0])
    assert (read.live, read.canary) == (role == "live", role == "canary")


async def test_the_routing_key_reaches_the_draw() -> None:
    parts = Parts()
    await parts.predict(call_with(), "one", routing_key="user-42")
    await parts.predict(call_with(), "one")
    assert parts.router.keys == ["user-42", None]


async def test_a_share_of_the_answers_asks_for_a_label() -> None:
    draws = iter([0.1, 0.3])
    parts = Parts(audit_ratio=0.25, draw=lambda: next(draws))
    predicted = await parts.predict(call_with(), "one", "two")
    assert predicted.audits == [True, False]
    for text, audit in zip(predicted.ids, predicted.audits, strict=True):
        read = parts.signer.read(text)
        assert read.audit is audit
        assert read.audit_probability == pytest.approx(0.25, rel=1e-3)


class EagerShadows(FakeBatcher):
    """Tells of shadows before the caller is answered."""

    async def answer(self, job: Job) -> Answer:
        for shadow in job.shadows:
            shadow.observe(self.shadowed(shadow, job))
        return await super().answer(replace(job, shadows=()))


class HeldShadows(FakeBatcher):
    """Keeps shadows for a test to end."""

    def __init__(self, labels: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(labels)
        self.held: list[tuple[Job, Shadow]] = []

    async def answer(self, job: Job) -> Answer:
        self.held += [(job, shadow) for shadow in job.shadows]
        return await super().answer(replace(job, shadows=()))


@pytest.mark.parametrize("batcher", [FakeBatcher, EagerShadows])
async def test_what_a_shadow_said_is_recorded_beside_the_answer_and_never_given(
    batcher: type[FakeBatcher],
) -> None:
    shadow = route_of(version=4, digest="sha256:s", role="shadow")
    parts = Parts(route_of(role="live", shadows=(shadow,)), batcher)
    predicted = await parts.predict(call_with(), "one", "two")
    await asyncio.sleep(0)
    assert predicted.answer.digest == "sha256:a"
    [(live, route, answer)] = parts.notes.shadows
    assert (live, route.version, answer.digest) == (predicted, 4, "sha256:s")
    assert parts.notes.answers == [predicted]


@pytest.mark.parametrize(("pairs", "roles"), [(True, ["paired", "shadow"]), (False, ["shadow"])])
async def test_live_answers_beside_the_canary_unless_it_is_told_not_to(
    pairs: bool, roles: list[str]
) -> None:
    twin = route_of(version=1, digest="sha256:s", role="paired")
    shadow = route_of(version=4, digest="sha256:s", role="shadow")
    parts = Parts(route_of(role="canary", shadows=(twin, shadow), twin_share=1.0), pairs=pairs)
    predicted = await parts.predict(call_with(), "one", "two")
    await asyncio.sleep(0)
    assert [route.role for _, route, _ in parts.notes.shadows] == roles
    assert (predicted.route.version, predicted.route.alone) == (3, not pairs)


@pytest.mark.parametrize("role", ["canary", "live"])
async def test_chance_and_no_caller_decides_which_requests_go_without_a_twin(role: Role) -> None:
    twin = route_of(version=1, digest="sha256:s", role="paired")
    drawn = [0.1, 0.3, 0.24, 0.9, 0.25]
    parts = Parts(route_of(role=role, shadows=(twin,), twin_share=0.25), draw=iter(drawn).__next__)
    alone = []
    for _ in drawn:
        before = len(parts.notes.shadows)
        predicted = await parts.predict(replace(call_with(), request_id="the same"), "one")
        await asyncio.sleep(0)
        assert predicted.route.alone is (len(parts.notes.shadows) == before)
        alone.append(predicted.route.alone)
    assert alone == [False, True, False, True, True]


async def test_a_request_that_fails_by_our_fault_is_noted_with_its_version_and_others_are_not() -> (
    None
):
    parts = Parts(route_of(role="canary", digest="sha256:unknown"))
    with pytest.raises(KeyError):
        await parts.predict(call_with(), "one", "two")
    assert parts.notes.failures == [("canary", "internal", 2)]
    sound = Parts(route_of(role="canary"))
    await sound.predict(call_with(), "one")
    with pytest.raises(UnacceptableRequest):
        await sound.predict(call_with(), *["one"] * 9)
    assert sound.notes.failures == []


@pytest.mark.parametrize("batcher", [FakeBatcher, EagerShadows])
async def test_drawn_inputs_ride_with_the_bare_backbone_and_are_logged_with_the_answer(
    batcher: type[FakeBatcher],
) -> None:
    parts = Parts(route_of(role="live"), batcher)
    parts.notes.base = [0, 2]
    predicted = await parts.predict(call_with(), "one", "two words", "three")
    await asyncio.sleep(0)
    [base] = parts.notes.bases
    assert base is not None
    assert len(base) == 2
    assert parts.notes.answers == [predicted]
    assert predicted.answer.digest == "sha256:a"


async def test_what_rides_with_the_bare_backbone_is_the_drawn_inputs_alone() -> None:
    parts = Parts(route_of(role="live"))
    parts.notes.base = [1]
    await parts.predict(call_with(), "one", "two words")
    [job] = parts.batcher.jobs
    assert [(shadow.digest, shadow.rows) for shadow in job.shadows] == [(BACKBONE, [1])]
    parts.notes.base = []
    await parts.predict(call_with(), "one")
    assert parts.batcher.jobs[1].shadows == ()
    assert parts.notes.bases[-1] is None


@pytest.mark.parametrize("answered", [True, False])
async def test_the_log_waits_for_the_bare_backbone_and_the_caller_does_not(
    answered: bool,
) -> None:
    parts = Parts(route_of(role="live"), HeldShadows)
    parts.notes.base = [0]
    predicted = await parts.predict(call_with(), "one")
    assert parts.notes.answers == [], "the caller has its answer, the log not yet"
    assert isinstance(parts.batcher, HeldShadows)
    [(job, shadow)] = parts.batcher.held
    assert shadow.missed is not None
    if answered:
        shadow.observe(parts.batcher.shadowed(shadow, job))
    else:
        shadow.missed()
    assert parts.notes.answers == [predicted], "once, with the bare backbone's answer or without"
    assert (parts.notes.bases[0] is not None) == answered


@pytest.mark.parametrize("answered", [True, False])
async def test_of_a_caller_that_was_not_answered_nothing_is_logged(answered: bool) -> None:
    parts = Parts(route_of(role="live"), HeldShadows)
    parts.notes.base = [0]
    parts.batcher.error = RuntimeError("out of memory")
    with pytest.raises(RuntimeError):
        await parts.predict(call_with(), "one")
    assert isinstance(parts.batcher, HeldShadows)
    [(job, shadow)] = parts.batcher.held
    assert shadow.missed is not None
    if answered:
        shadow.observe(parts.batcher.shadowed(shadow, job))
    else:
        shadow.missed()
    assert parts.notes.answers == []


async def test_another_tenants_key_and_a_key_without_the_scope_are_refused_before_any_work() -> (
    None
):
    parts = Parts()
    for caller, error in (
        (Caller("key:1@other", "other", frozenset({"predict"})), UnknownTenant),
        (Caller("key:2@acme", "acme", frozenset({"publish"})), NotPermitted),
    ):
        call = call_with()
        call.caller = caller
        with pytest.raises(error):
            await parts.predict(call, "one")
    assert not parts.tokeniser.threads
    assert not parts.router.keys


async def test_a_tenant_beyond_its_rate_is_told_so_and_counted() -> None:
    settings = TenantSettings(rates=Rates(requests_per_s=0.001))
    parts = Parts(route_of(settings=settings))
    await parts.predict(call_with(), "one two")
    with pytest.raises(TenantLimited) as caught:
        await parts.predict(call_with(), "one")
    assert 900 < caught.value.retry_after_s <= 1000
    assert (
        parts.metrics.registry.get_sample_value("tenantry_limited_total", {"tenant": "acme"}) == 1
    )
    await parts.usage.flush()
    [rows] = parts.ledger.rows
    [(_, usage)] = rows.items()
    assert (usage.requests, usage.texts, usage.tokens, usage.limited) == (1, 1, 2, 1)


async def test_what_ended_in_an_error_frees_its_place_among_the_concurrent_ones() -> None:
    settings = TenantSettings(rates=Rates(concurrent_requests=1))
    parts = Parts(route_of(settings=settings))
    parts.batcher.answer_digest = "sha256:another"
    for _ in range(2):
        with pytest.raises(AssertionError):
            await parts.predict(call_with(), "one")
    parts.batcher.answer_digest = None
    await parts.predict(call_with(), "one")


async def test_where_nothing_may_be_cut_a_long_input_is_refused_by_its_place() -> None:
    parts = Parts()
    long = " ".join(["word"] * 1000)
    assert (await parts.predict(call_with(), "one", long)).truncated == [False, True]
    with pytest.raises(InputTooLong, match="input 1 "):
        await parts.predict(call_with(), "one", long, may_truncate=False)
    assert len(parts.batcher.jobs) == 1


LONG = " ".join(f"word{number}" for number in range(30))  # the fake reads 16 tokens
WINDOWS = Windows(4, 8)


async def test_a_long_text_goes_to_the_batcher_in_the_versions_windows() -> None:
    parts = Parts(route_of(windows=WINDOWS))
    predicted = await parts.predict(call_with(), "one two", LONG)
    short, long = parts.batcher.jobs[0].texts
    assert isinstance(short, Tokens)
    assert isinstance(long, Windowed)
    assert [len(window) for window in long.windows] == [16, 16, 6]
    assert predicted.truncated == [False, False]
    assert predicted.tokens == 2 + 16 + 16 + 6


async def test_a_text_with_more_than_the_windows_hold_is_told_to_be_truncated() -> None:
    parts = Parts(route_of(windows=Windows(0, 2)))
    predicted = await parts.predict(call_with(), LONG, f"{LONG} {LONG}")
    assert predicted.truncated == [False, True]
    with pytest.raises(InputTooLong, match="input 1 is longer than the 32 tokens"):
        await parts.predict(call_with(), LONG, f"{LONG} {LONG}", may_truncate=False)


@pytest.mark.parametrize("own", [WINDOWS, None])
async def test_every_version_reads_a_long_text_in_its_own_windows(own: Windows | None) -> None:
    class Kept(FakeBatcher):
        async def answer(self, job: Job) -> Answer:
            self.shadows = job.shadows
            return await super().answer(job)

    shadows = tuple(
        route_of(version=number, digest="sha256:s", role="shadow", windows=windows)
        for number, windows in enumerate((Windows(0, 2), None, WINDOWS), start=4)
    )
    parts = Parts(route_of(role="live", windows=own, shadows=shadows), Kept)
    await parts.predict(call_with(), LONG, "short")
    await asyncio.sleep(0)
    counts = []
    for shadow in parts.batcher.shadows:  # type: ignore[attr-defined]
        long = shadow.texts[0]
        counts.append(len(long.windows) if isinstance(long, Windowed) else 1)
    assert counts == [2, 1, 3]
    live = parts.batcher.jobs[0].texts[0]
    assert isinstance(live, Windowed) == (own is not None)
    assert len(parts.notes.shadows) == 3


async def test_the_windows_of_a_request_are_as_few_as_its_inputs() -> None:
    parts = Parts(route_of(windows=WINDOWS))
    with pytest.raises(UnacceptableRequest, match="make 6 windows, and a request holds at most 4"):
        await parts.predict(call_with(), LONG, LONG)
    assert parts.batcher.jobs == []
    await parts.predict(call_with(), LONG, "one")


async def test_without_windows_nothing_but_the_plain_way_is_asked_of_the_tokeniser() -> None:
    class Plain(WatchedTokeniser):
        def encode_windows(self, *_: object) -> list[list[Text]]:
            raise AssertionError("nobody has windows")

    parts = Parts(route_of(shadows=(route_of(digest="sha256:s"),)))
    parts.predictor._preparing = Tokenising(Plain())
    predicted = await parts.predict(call_with(), LONG)
    assert predicted.truncated == [True]
