import threading
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from service.api.call import Call
from service.api.prediction import Predicted, Predictor
from service.engine.tokens import Input, Tokens
from service.errors import UnacceptableRequest
from service.events.ids import KEY_BYTES, Signer, reference
from service.metrics import Metrics
from service.registry.records import Route
from tests.fakes.asgi import FakeReceive, call_with
from tests.fakes.batching import FakeBatcher
from tests.fakes.tokens import FakeTokeniser

pytestmark = pytest.mark.anyio

LABELS = ("refund", "delivery")
MODEL = ("acme", "support", None)


class OneRoute:
    def route(self, tenant: str, adapter: str, version: int | None) -> Route:
        return Route(tenant, adapter, version or 3, "sha256:a", LABELS, calibrated=False)


class WatchedTokeniser(FakeTokeniser):
    def __init__(self) -> None:
        self.threads: list[int] = []

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        self.threads.append(threading.get_ident())
        return super().encode(texts)


class Parts:
    def __init__(self) -> None:
        self.tokeniser = WatchedTokeniser()
        self.batcher = FakeBatcher({"sha256:a": LABELS})
        self.signer = Signer({0: bytes(KEY_BYTES)}, 0)
        self.predictor = Predictor(
            OneRoute(),
            self.tokeniser,
            self.batcher,
            self.signer,
            Metrics(CollectorRegistry()),
            bundle_digest="sha256:b",
            max_inputs=4,
            timeout_s_max=60.0,
        )

    async def predict(self, call: Call, *texts: Input) -> Predicted:
        return await self.predictor.predict(call, FakeReceive([]), MODEL, texts)


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
    assert (job.digest, len(job.texts[0].ids), job.deadline_s) == ("sha256:a", 2, 160.0)


@pytest.mark.parametrize(("body_bytes", "inline"), [(100, True), (100_000, False)])
async def test_only_a_large_body_is_tokenised_beside_the_event_loop(
    body_bytes: int, *, inline: bool
) -> None:
    parts = Parts()
    call = call_with()
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
