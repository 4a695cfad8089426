import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.types import Scope as AsgiScope

from service.api.bodies import Bodies
from service.api.call import begin_call
from service.api.callers import OPERATOR, Caller
from service.api.entrance import Entrance
from service.api.feedback import PROBLEMS_MAX, Feedback
from service.api.feedback_request import LABELS_MAX
from service.errors import (
    BodyTooLarge,
    DeadlinePassed,
    MalformedRequest,
    StoreFull,
    TenantLimited,
    UnacceptableRequest,
    WrongMediaType,
)
from service.events.ids import KEY_BYTES, PredictionId, Signer, reference
from service.limits import TenantLimits
from service.metrics import Metrics
from service.registry.records import Named, Rates, TenantSettings
from service.usage import Rows, UsageBook
from tests.fakes.asgi import FakeReceive
from tests.fakes.event_log import FakeEventLog
from tests.fakes.prediction_keys import FakeSigning
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

LABELS = ("refund", "delivery", "other")
ACME = Caller("key:1@acme", "acme", frozenset({"predict"}))


class FakeReferences:
    """The versions 1 and 2 of `support` of two tenants; 2 is deleted.

    `elsewhere` are versions that another process published, which are seen at the next refresh.
    """

    def __init__(self) -> None:
        self._named: dict[bytes, Named] = {}
        self.elsewhere: list[tuple[str, int]] = []
        self.refreshed = 0
        self.rates = {"acme": Rates(), "globex": Rates()}
        for tenant in ("acme", "globex"):
            for version in (1, 2):
                self._publish(tenant, version)

    def _publish(self, tenant: str, version: int) -> None:
        self._named[reference(tenant, "support", version)] = Named(
            tenant, "support", version, f"sha256:{version}", LABELS, deleted=version == 2
        )

    def find_reference(self, reference: bytes) -> Named | None:
        return self._named.get(reference)

    def refresh(self) -> bool:
        self.refreshed += 1
        found, self.elsewhere = self.elsewhere, []
        for tenant, version in found:
            self._publish(tenant, version)
        return bool(found)

    def tenant_settings(self, name: str) -> TenantSettings:
        return TenantSettings(rates=self.rates[name])


class Ledger:
    """Where usage goes that nobody looks at."""

    def add_usage(self, rows: Rows) -> None:
        raise AssertionError(f"nothing is written down here, so not {rows}")


class Rig:
    def __init__(self, max_body_bytes: int = 8 << 20) -> None:
        self.log = FakeEventLog()
        self.signing = FakeSigning()
        self.metrics = Metrics(CollectorRegistry())
        self.references = FakeReferences()
        self.feedback = Feedback(
            self.references,
            self.signing,
            self.log,
            Bodies(1 << 30),
            self.metrics,
            Entrance(TenantLimits(), self.metrics, UsageBook(Ledger(), self.metrics)),
            max_body_bytes=max_body_bytes,
            timeout_s_max=60.0,
        )

    def id(self, tenant: str = "acme", version: int = 1, nonce: int = 0, **said: Any) -> str:
        prediction = PredictionId(reference(tenant, "support", version), 1_700_000_000, 1, 0.75)
        return self.signing.signer.issue(prediction._replace(**said), nonce.to_bytes(5))

    async def send(
        self, document: object, caller: Caller = ACME, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        scope: AsgiScope = {"type": "http", "method": "POST", "headers": pairs}
        begin_call(scope).caller = caller
        answer = await self.feedback.take(Request(scope, FakeReceive([body])))
        assert answer.status_code == 202
        told: dict[str, Any] = orjson.loads(answer.body)
        return told

    def counted(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "tenantry_feedback_labels_total", {"outcome": outcome}
        )


def labels(*given: tuple[str, str]) -> dict[str, Any]:
    return {"labels": [{"id": text, "label": label} for text, label in given]}


async def test_a_label_is_kept_with_all_that_its_id_says() -> None:
    rig = Rig()
    text = rig.id(live=False, canary=True, audit=True, audit_probability=0.25)
    given = {"labels": [{"id": text, "label": "other", "group": "mobile"}]}
    before = time.time()
    assert await rig.send(given, headers={"x-request-id": "mine-1"}) == {
        "accepted": 1,
        "refused": 0,
        "problems": [],
        "problems_left_out": 0,
    }
    [label] = rig.log.labels
    assert (label.tenant, label.adapter, label.version) == ("acme", "support", 1)
    assert (label.digest, label.prediction_id) == ("sha256:1", text)
    assert (label.predicted_s, label.class_index) == (1_700_000_000, 1)
    assert (label.live, label.canary, label.audit) == (False, True, True)
    assert label.confidence == pytest.approx(0.75, abs=1e-4)
    assert label.audit_probability == pytest.approx(0.25, rel=1e-3)
    assert (label.label_index, label.label, label.group) == (2, "other", "mobile")
    assert (label.actor, label.request_id) == ("key:1@acme", "mine-1")
    assert before <= label.time_s <= time.time()


async def test_all_labels_of_a_request_are_written_at_once() -> None:
    rig = Rig()
    told = await rig.send(labels(*((rig.id(nonce=n), "refund") for n in range(LABELS_MAX))))
    assert told["accepted"] == LABELS_MAX
    assert [len(write) for write in rig.log.writes] == [LABELS_MAX]


async def test_a_deleted_version_still_takes_labels() -> None:
    rig = Rig()
    assert (await rig.send(labels((rig.id(version=2), "refund"))))["accepted"] == 1


@pytest.mark.parametrize("count", [1, 100])
async def test_a_version_that_another_process_has_just_published_takes_labels(count: int) -> None:
    rig = Rig()
    rig.references.elsewhere.append(("acme", 3))
    ids = [rig.id(), *(rig.id(version=3, nonce=n) for n in range(count))]
    told = await rig.send(labels(*((text, "refund") for text in ids)))
    assert (told["accepted"], told["refused"]) == (count + 1, 0)
    assert [label.version for label in rig.log.labels] == [1] + [3] * count
    assert rig.references.refreshed == 1


async def test_what_another_tenant_has_just_published_is_as_foreign_as_all_else_of_it() -> None:
    rig = Rig()
    rig.references.elsewhere.append(("globex", 3))
    told = await rig.send(labels((rig.id("globex", version=3), "refund"), ("x", "refund")))
    assert (told["accepted"], told["refused"]) == (0, 2)
    assert told["problems"][0]["what"] == told["problems"][1]["what"]


async def test_nobody_can_make_it_look_for_versions_with_ids_that_were_not_issued() -> None:
    rig = Rig()
    await rig.send(
        labels((rig.id(), "refund"), (rig.id("globex"), "x"), (forged(rig.id(), 9), "x"))
    )
    assert rig.references.refreshed == 0


async def test_what_is_refused_is_named_and_the_rest_is_kept() -> None:
    rig = Rig()
    told = await rig.send(
        labels((rig.id(), "refund"), (rig.id(), "refunds"), ("nonsense", "refund"))
    )
    assert (told["accepted"], told["refused"]) == (1, 2)
    assert [problem["where"] for problem in told["problems"]] == ["labels/1/label", "labels/2/id"]
    assert (
        "no label 'refunds' in version 1, but refund, delivery, other"
        in (told["problems"][0]["what"])
    )
    assert (rig.counted("accepted"), rig.counted("refused")) == (1, 2)


def forged(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


async def test_foreign_forged_and_unknown_ids_are_refused_in_the_same_words() -> None:
    rig = Rig()
    own = rig.id()
    other_key = Signer({0: bytes(KEY_BYTES - 1) + b"x"}, 0)
    other_key_id = Signer({7: bytes(KEY_BYTES)}, 7)
    prediction = PredictionId(reference("acme", "support", 1), 1, 0, 0.5)
    ids = [
        rig.id("globex"),
        rig.id("globex", version=2),
        rig.id("acme", version=99),
        rig.id("nobody"),
        forged(own, 0),
        forged(own, 5),
        forged(own, 47),
        own[:-1],
        own + "A",
        own.replace(own[3], "é"),
        "",
        "x" * 1_000,
        other_key.issue(prediction, bytes(5)),
        other_key_id.issue(prediction, bytes(5)),
    ]
    told = await rig.send(labels(*((text, "refund") for text in ids)))
    assert (told["accepted"], told["refused"]) == (0, len(ids))
    assert len({problem["what"] for problem in told["problems"]}) == 1
    assert rig.log.writes == []


async def test_the_labels_of_another_tenant_s_version_are_not_told() -> None:
    rig = Rig()
    told = await rig.send(labels((rig.id("globex"), "no such label")))
    assert "delivery" not in told["problems"][0]["what"]
    assert "globex" not in told["problems"][0]["what"]


async def test_the_operator_labels_predictions_of_every_tenant() -> None:
    rig = Rig()
    told = await rig.send(labels((rig.id(), "refund"), (rig.id("globex"), "refund")), OPERATOR)
    assert told["accepted"] == 2
    assert [label.tenant for label in rig.log.labels] == ["acme", "globex"]


async def test_a_key_without_the_scope_labels_nothing() -> None:
    rig = Rig()
    publisher = Caller("key:2@acme", "acme", frozenset({"publish"}))
    assert (await rig.send(labels((rig.id(), "refund")), publisher))["accepted"] == 0


async def test_ids_of_a_key_that_was_rotated_away_from_are_still_taken() -> None:
    rig = Rig()
    old = rig.id()
    rig.signing.signer = Signer({0: bytes(KEY_BYTES), 1: b"n" * KEY_BYTES}, 1)
    assert (await rig.send(labels((old, "refund"), (rig.id(), "refund"))))["accepted"] == 2


async def test_problems_are_bounded_and_the_answer_says_so() -> None:
    rig = Rig()
    told = await rig.send(labels(*(("x", "refund") for _ in range(PROBLEMS_MAX + 7))))
    assert told["refused"] == PROBLEMS_MAX + 7
    assert len(told["problems"]) == PROBLEMS_MAX
    assert told["problems_left_out"] == 7


async def test_a_long_label_is_cut_in_what_is_told_of_it() -> None:
    rig = Rig()
    told = await rig.send(labels((rig.id(), "x" * 100_000)))
    assert len(told["problems"][0]["what"]) < 300


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "labels"),
        ({"labels": []}, "length >= 1"),
        ({"labels": [{"id": "x", "label": "y"}] * (LABELS_MAX + 1)}, "length <= 10000"),
        ({"labels": [{"id": "x"}]}, "label"),
        ({"labels": [{"id": 7, "label": "y"}]}, r"\$\.labels\[0\]\.id"),
        ({"labels": [{"id": "x", "label": "y", "group": ""}]}, "group"),
        ({"labels": [{"id": "x", "label": "y", "extra": 1}]}, "extra"),
        ({"labels": [], "more": 1}, "length >= 1|more"),
        ([], "object"),
    ],
)
async def test_a_document_of_another_form_is_refused_whole(document: object, place: str) -> None:
    rig = Rig()
    with pytest.raises(UnacceptableRequest, match=place):
        await rig.send(document)
    assert rig.log.writes == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"labels": [\xff]}', b"[" * 100_000])
async def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises((MalformedRequest, UnacceptableRequest)):
        await Rig().send(body)


async def test_a_body_is_bounded_and_its_type_is_looked_at() -> None:
    with pytest.raises(BodyTooLarge):
        await Rig(max_body_bytes=10).send(labels(("x", "y")))
    with pytest.raises(WrongMediaType):
        await Rig().send(labels(("x", "y")), headers={"content-type": "text/csv"})


async def test_a_full_disk_keeps_nothing_and_counts_nothing() -> None:
    rig = Rig()
    rig.log.full = True
    with pytest.raises(StoreFull, match="none of this request was kept"):
        await rig.send(labels((rig.id(), "refund"), ("x", "y")))
    assert (rig.counted("accepted"), rig.counted("refused")) == (0, 0)


async def test_a_full_disk_is_nothing_to_a_request_that_has_nothing_to_keep() -> None:
    rig = Rig()
    rig.log.full = True
    assert (await rig.send(labels(("x", "y"))))["refused"] == 1


async def test_nobody_waits_longer_than_until_the_deadline() -> None:
    rig = Rig()
    rig.log.stuck = True
    with pytest.raises(DeadlinePassed, match="counts once"):
        await rig.send(labels((rig.id(), "refund")), headers={"x-timeout-ms": "1"})
    [future] = rig.log.open
    assert not future.cancelled(), "the log's thread goes on with what it has begun"
    future.set_result(None)


async def test_an_answer_waits_for_the_disk() -> None:
    rig = Rig()
    rig.log.stuck = True
    sending = asyncio.create_task(rig.send(labels((rig.id(), "refund"))))
    await until(lambda: bool(rig.log.open))
    assert not sending.done()
    rig.log.open[0].set_result(None)
    assert (await sending)["accepted"] == 1


async def test_a_tenant_s_rates_hold_for_labels_too_before_they_are_read() -> None:
    rig = Rig()
    rig.references.rates["acme"] = Rates(requests_per_s=0.01)
    sent = labels((rig.id(), "refund"))
    assert (await rig.send(sent))["accepted"] == 1
    with pytest.raises(TenantLimited) as limited:
        await rig.send(b"not even JSON")
    assert limited.value.retry_after_s == pytest.approx(100, rel=0.1)
    assert rig.metrics.registry.get_sample_value("tenantry_limited_total", {"tenant": "acme"}) == 1
    assert (await rig.send(sent, OPERATOR))["accepted"] == 1, "an operator has no rates"
    globex = Caller("key:2@globex", "globex", frozenset({"predict"}))
    assert (await rig.send(sent, globex))["refused"] == 1
