"""Labels on the wire: from an answer's id back to the version that gave it, on any replica."""

from typing import Any

import httpx
import pytest

from service.api.schemas import FeedbackAnswer
from service.events.ids import KEY_BYTES, Signer
from tests.contract.test_wire_native import PREDICT, check_document, check_problem
from tests.fakes.service import ADMIN_KEY, FakeService, bearer, make_service
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

FEEDBACK = "/v1/feedback"


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    made = service_with(admin_key=ADMIN_KEY)
    made.publish("acme", "support")
    made.publish("globex", "support")
    return made


async def ids(client: httpx.AsyncClient, count: int = 1, path: str = PREDICT) -> list[str]:
    answer = await client.post(path, json={"inputs": ["a text"] * count})
    return [prediction["id"] for prediction in answer.json()["predictions"]]


def labels(*given: str, label: str = "label 0") -> dict[str, Any]:
    return {"labels": [{"id": text, "label": label} for text in given]}


async def test_the_id_of_an_answer_is_all_that_its_label_needs(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        given = await ids(client, 3)
        answer = await client.post(FEEDBACK, json=labels(*given))
        told = check_document(answer, 202, FeedbackAnswer)
    assert told == {"accepted": 3, "refused": 0, "problems": [], "problems_left_out": 0}
    version = service.registry.version("acme", "support", 1)
    kept = service.log.labels
    assert [label.prediction_id for label in kept] == given
    assert {label.digest for label in kept} == {version.digest}
    assert {(label.live, label.canary) for label in kept} == {(True, False)}
    assert service.metric("tenantry_feedback_labels_total", outcome="accepted") == 3


async def test_the_group_of_a_label_is_the_one_that_came_with_it(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        asked = {"inputs": ["a text", "another"], "group": "de"}
        answer = await client.post(PREDICT, json=asked)
        first, second = (prediction["id"] for prediction in answer.json()["predictions"])
        sent = labels(first, second)
        sent["labels"][0]["group"] = "fr"
        assert (await client.post(FEEDBACK, json=sent)).json()["accepted"] == 2
    assert [block.group for block in service.log.blocks] == ["de"]
    assert [label.group for label in service.log.labels] == ["fr", None]


async def test_another_tenant_s_prediction_is_refused_as_a_forged_one(service: FakeService) -> None:
    foreign = "/v1/tenants/globex/adapters/support/predict"
    async with service.client() as client:
        [own] = await ids_as(service, client, "globex", foreign)
        forged = own[:-1] + ("A" if own[-1] != "A" else "B")
        answer = await client.post(
            FEEDBACK, json=labels(own, forged), headers=service.bearer("acme", "admin")
        )
        told = check_document(answer, 202, FeedbackAnswer)
        assert (told["accepted"], told["refused"]) == (0, 2)
        assert told["problems"][0]["what"] == told["problems"][1]["what"]
        assert "globex" not in answer.text
        by_operator = await client.post(FEEDBACK, json=labels(own), headers=bearer(ADMIN_KEY))
        assert by_operator.json()["accepted"] == 1


async def ids_as(
    service: FakeService, client: httpx.AsyncClient, tenant: str, path: str
) -> list[str]:
    answer = await client.post(
        path, json={"inputs": ["a text"]}, headers=service.bearer(tenant, "predict")
    )
    return [prediction["id"] for prediction in answer.json()["predictions"]]


async def test_a_label_is_taken_by_another_replica_and_after_its_version_is_gone(
    service: FakeService,
) -> None:
    async with service.client(headers=bearer(ADMIN_KEY)) as client:
        given = await ids(client)
        rollout = "/v1/tenants/acme/adapters/support/rollout"
        assert (await client.put(rollout, json={"live": None})).status_code == 200
        gone = await client.delete("/v1/tenants/acme/adapters/support/versions/1")
        assert gone.status_code == 204
    replica = make_service(service.state, admin_key=ADMIN_KEY)
    try:
        async with replica.client(headers=bearer(ADMIN_KEY)) as client:
            told = (await client.post(FEEDBACK, json=labels(*given))).json()
    finally:
        replica.registry.close()
    assert told["accepted"] == 1
    assert [label.version for label in replica.log.labels] == [1]


async def test_a_label_that_the_version_does_not_have_is_refused(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        given = await ids(client)
        answer = await client.post(FEEDBACK, json=labels(*given, label="label 9"))
        told = check_document(answer, 202, FeedbackAnswer)
    assert (told["accepted"], told["problems"][0]["where"]) == (0, "labels/0/label")
    assert "label 0, label 1, label 2" in told["problems"][0]["what"]


async def test_ids_outlive_the_key_that_signed_them_until_it_is_taken_out(
    service: FakeService,
) -> None:
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        given = await ids(client)
        service.signing.signer = Signer({0: bytes(KEY_BYTES), 1: b"1" * KEY_BYTES}, 1)
        assert (await client.post(FEEDBACK, json=labels(*given))).json()["accepted"] == 1
        service.signing.signer = Signer({1: b"1" * KEY_BYTES}, 1)
        assert (await client.post(FEEDBACK, json=labels(*given))).json()["accepted"] == 0


async def test_a_full_disk_is_a_503_and_says_when_to_come_again(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        given = await ids(client)
        service.log.full = True
        answer = await client.post(FEEDBACK, json=labels(*given))
        check_problem(answer, 503, "store-full")
        assert answer.headers["retry-after"] == "30"
        assert (await client.post(PREDICT, json={"inputs": ["a text"]})).status_code == 200
        service.log.full = False
        assert (await client.post(FEEDBACK, json=labels(*given))).json()["accepted"] == 1


async def test_a_disk_that_hangs_is_a_504(service: FakeService) -> None:
    service.log.stuck = True
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        given = await ids(client)
        answer = await client.post(FEEDBACK, json=labels(*given), headers={"x-timeout-ms": "20"})
    check_problem(answer, 504, "deadline-passed")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"[]", 422, "unacceptable"),
        (b"{}", 422, "unacceptable"),
        (b'{"labels": []}', 422, "unacceptable"),
        (b'{"labels": [{"id": "x"}]}', 422, "unacceptable"),
        (b'{"labels": [{"id": "x", "label": null}]}', 422, "unacceptable"),
        (b'{"labels": "x"}', 422, "unacceptable"),
    ],
)
async def test_a_body_that_cannot_be_is_refused_whole(
    service: FakeService, content: bytes, status: int, code: str
) -> None:
    headers = {**service.bearer("acme", "predict"), "content-type": "application/json"}
    async with service.client(headers=headers) as client:
        check_problem(await client.post(FEEDBACK, content=content), status, code)
    assert service.log.writes == []


async def test_a_body_beyond_the_limit_is_refused(service_with: MakeService) -> None:
    service = service_with(max_body_bytes=1024)
    async with service.client() as client:
        check_problem(await client.post(FEEDBACK, json=labels("x" * 2000)), 413, "body-too-large")
