"""The native routes: statuses and bodies of every case that the contract names."""

import asyncio
from typing import Any

import httpx
import pytest

from service.api.schemas import (
    AdapterDocument,
    AdapterList,
    AuditDocument,
    Document,
    PredictAnswer,
    ProblemDocument,
    RolloutDocument,
    TenantDocument,
    TenantList,
    VersionDocument,
    VersionList,
)
from service.engine.errors import NonFiniteOutput
from service.errors import AdapterUnreadable, QueueFull, StoreFull
from service.registry.records import Route
from tests.fakes.batching import HIDDEN
from tests.fakes.packages import metadata_of
from tests.fakes.service import FakeService
from tests.fakes.tokens import ids_of
from tests.fakes.waiting import until
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

PREDICT = "/v1/tenants/acme/adapters/support/predict"
VERSIONS = "/v1/tenants/acme/adapters/support/versions"
ROLLOUT = "/v1/tenants/acme/adapters/support/rollout"
TEXTS: dict[str, Any] = {"inputs": ["I want my money back", "Where is it?"]}


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Hold an answer against what the contract says of errors; return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    ProblemDocument.model_validate(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def check_document(answer: httpx.Response, status: int, model: type[Any]) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    model.model_validate(body)
    assert issubclass(model, Document) or model is TenantDocument
    return body


async def upload(
    client: httpx.AsyncClient, package: bytes, metadata: bytes, path: str = VERSIONS
) -> httpx.Response:
    files = {"package": ("adapter.zip", package), "metadata": (None, metadata)}
    return await client.post(path, files=files)


# --- predict


async def test_a_prediction_says_which_version_answered_what(service: FakeService) -> None:
    version = service.publish("acme", "support")
    async with service.client() as client:
        body = check_document(await client.post(PREDICT, json=TEXTS), 200, PredictAnswer)
    assert body["model"] == {
        "tenant": "acme",
        "adapter": "support",
        "version": 1,
        "digest": version.digest,
        "backbone": service.bundle.digest,
        "precision": "fp32",
        "provider": "cpu",
    }
    assert len(body["predictions"]) == 2
    for prediction in body["predictions"]:
        assert prediction.keys() == {"id", "label", "score", "scores"}
        assert list(prediction["scores"]) == list(version.labels)
        assert prediction["score"] == max(prediction["scores"].values())
        assert prediction["scores"][prediction["label"]] == prediction["score"]
        assert sum(prediction["scores"].values()) == pytest.approx(1.0)
        read = service.signer.read(prediction["id"])
        assert version.labels[read.class_index] == prediction["label"]
        assert read.confidence == pytest.approx(prediction["score"], abs=1e-4)
        assert (read.live, read.canary, read.audit) == (True, False, False)


async def test_two_predictions_never_share_an_id(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(PREDICT, json={"inputs": ["same"] * 50})
    assert len({prediction["id"] for prediction in answer.json()["predictions"]}) == 50


async def test_top_scores_leave_the_others_out(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(PREDICT, json={**TEXTS, "scores": "top"})
    for prediction in check_document(answer, 200, PredictAnswer)["predictions"]:
        assert prediction.keys() == {"id", "label", "score"}


async def test_an_embedding_comes_where_it_is_asked_for(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(PREDICT, json={**TEXTS, "embedding": True})
    for prediction in check_document(answer, 200, PredictAnswer)["predictions"]:
        assert len(prediction["embedding"]) == HIDDEN


async def test_only_a_text_that_was_cut_says_so(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(PREDICT, json={"inputs": ["short", "word " * 100]})
    short, cut = check_document(answer, 200, PredictAnswer)["predictions"]
    assert "truncated" not in short
    assert cut["truncated"] is True
    assert service.metric("tenantry_truncations_total") == 1


async def test_a_calibrated_version_says_so(service: FakeService) -> None:
    service.publish("acme", "support", calibrated=True, temperature=1.5)
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS)
    assert answer.json()["predictions"][0]["calibrated"] is True


async def test_pairs_groups_and_routing_keys_are_taken(service: FakeService) -> None:
    service.publish("acme", "support")
    asked = {
        "inputs": [{"text": "a b", "pair": "c"}, {"text": "alone"}],
        "routing_key": "user-42",
        "group": "de",
    }
    async with service.client() as client:
        check_document(await client.post(PREDICT, json=asked), 200, PredictAnswer)
    assert [len(ids) for ids in ids_of(service.batcher.jobs[0].texts)] == [4, 1]


@pytest.mark.parametrize("path", [PREDICT, f"{VERSIONS}/1/predict"])
async def test_the_group_reaches_the_log_with_the_answer_and_with_its_shadow(
    service: FakeService, path: str
) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2, live=False)
    async with service.client() as client:
        await client.put(ROLLOUT, json={"live": 1, "shadow": [2]})
        await client.post(path, json={**TEXTS, "group": "de"})
        await client.post(path, json=TEXTS)
        await until(lambda: len(service.log.blocks) == (4 if path == PREDICT else 2))
    assert {block.group for block in service.log.blocks} == {"de", None}
    groups = {block.request_id: block.group for block in service.log.blocks}
    assert len(groups) == 2, "a shadow's block has the request's group"
    for block in service.log.blocks:
        assert groups[block.request_id] == block.group


async def test_a_prediction_that_is_to_be_labelled_says_so(service_with: MakeService) -> None:
    service = service_with(audit_ratio=1.0)
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS)
    for prediction in check_document(answer, 200, PredictAnswer)["predictions"]:
        assert prediction["audit"] is True
        assert service.signer.read(prediction["id"]).audit


async def test_a_routing_key_leads_to_the_version(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = service.publish("acme", "support")
    keys: list[str | None] = []

    def route(tenant: str, adapter: str, number: int | None, key: str | None = None) -> Route:
        keys.append(key)
        return Route(tenant, adapter, number or 1, version.digest, version.labels, calibrated=False)

    monkeypatch.setattr(service.registry, "route", route)
    async with service.client() as client:
        await client.post(PREDICT, json={**TEXTS, "routing_key": "user-42"})
        await client.post(PREDICT, json=TEXTS)
        asked = {"model": "acme.support", "input": "a", "user": "user-43"}
        await client.post("/classify", json=asked)
    assert keys == ["user-42", None, "user-43"]


async def test_a_version_is_pinned_by_the_path(service: FakeService) -> None:
    first = service.publish("acme", "support", seed=1)
    second = service.publish("acme", "support", seed=2)
    async with service.client() as client:
        live = await client.post(PREDICT, json=TEXTS)
        pinned = await client.post(f"{VERSIONS}/1/predict", json=TEXTS)
    assert live.json()["model"]["digest"] == second.digest
    assert pinned.json()["model"]["digest"] == first.digest
    assert pinned.json()["model"]["version"] == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/tenants/nobody/adapters/support/predict", "unknown-tenant"),
        ("/v1/tenants/acme/adapters/nothing/predict", "unknown-adapter"),
        ("/v1/tenants/acme/adapters/draft/predict", "no-live-version"),
        (f"{VERSIONS}/9/predict", "unknown-version"),
        (f"{VERSIONS}/0/predict", "unknown-version"),
        (f"{VERSIONS}/x/predict", "unknown-version"),
        (f"{VERSIONS}/{'9' * 30}/predict", "unknown-version"),
        ("/v1/tenants/acme/adapters/support/predicts", "unknown-path"),
        (PREDICT + "/", "unknown-path"),
    ],
)
async def test_what_is_not_there_is_a_404_with_its_own_code(
    service: FakeService, path: str, code: str
) -> None:
    service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        check_problem(await client.post(path, json=TEXTS), 404, code)
    assert service.batcher.jobs == [], "no bare backbone answers for an unknown adapter"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b"", 400, "malformed"),
        (b"{}", 422, "unacceptable"),
        (b'{"inputs": []}', 422, "unacceptable"),
        (b'{"inputs": "text"}', 422, "unacceptable"),
        (b'{"inputs": ["a"], "unknown": 1}', 422, "unacceptable"),
        (b'{"inputs": ["a", "a", "a", "a", "a"]}', 422, "unacceptable"),
        (b'{"inputs": ["' + b"a" * 2000 + b'"]}', 413, "body-too-large"),
    ],
)
async def test_a_body_that_cannot_be_is_refused(
    service_with: MakeService, body: bytes, status: int, code: str
) -> None:
    service = service_with(max_inputs=4, max_body_bytes=1024)
    service.publish("acme", "support")
    async with service.client() as client:
        check_problem(await client.post(PREDICT, content=body), status, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "image/png"}, 415, "wrong-media-type"),
        ({"content-encoding": "br"}, 415, "wrong-media-type"),
        ({"content-encoding": "gzip"}, 400, "malformed"),
        ({"x-timeout-ms": "soon"}, 400, "malformed"),
        ({"host": "example.com"}, 403, "foreign-host"),
        ({"origin": "http://example.com"}, 403, "foreign-host"),
    ],
)
async def test_a_head_that_cannot_be_is_refused(
    service: FakeService, headers: dict[str, str], status: int, code: str
) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS, headers=headers)
    check_problem(answer, status, code)


async def test_an_answer_that_is_late_is_a_504(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS, headers={"x-timeout-ms": "20"})
    check_problem(answer, 504, "deadline-passed")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueFull("full"), 503, "queue-full"),
        (NonFiniteOutput("sha256:x"), 409, "adapter-quarantined"),
        (AdapterUnreadable("altered"), 500, "adapter-unreadable"),
        (RuntimeError("internals"), 500, "internal"),
    ],
)
async def test_what_the_batcher_raises_is_told(
    service: FakeService, error: Exception, status: int, code: str
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS)
    body = check_problem(answer, status, code)
    assert "internals" not in body["detail"]
    assert ("retry-after" in answer.headers) == (status == 503)
    assert service.metric("tenantry_refused_total", reason=code) == 1


async def test_an_answer_of_another_adapter_never_leaves(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.answer_digest = "sha256:another"
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS)
    check_problem(answer, 500, "internal")
    assert "another" not in answer.text


# --- tenants


async def test_a_tenant_is_made_then_changed_then_deleted(service: FakeService) -> None:
    async with service.client() as client:
        made = check_document(await client.put("/v1/tenants/acme", json={}), 201, TenantDocument)
        assert made["name"] == "acme"
        changed = await client.put("/v1/tenants/acme", json={"class": "gold", "weight": 2})
        assert check_document(changed, 200, TenantDocument)["class"] == "gold"
        shown = check_document(await client.get("/v1/tenants/acme"), 200, TenantDocument)
        listed = check_document(await client.get("/v1/tenants"), 200, TenantList)
        assert listed["tenants"] == [shown]
        deleted = await client.delete("/v1/tenants/acme")
        assert (deleted.status_code, deleted.content) == (204, b"")
        check_problem(await client.get("/v1/tenants/acme"), 404, "unknown-tenant")
        check_problem(await client.delete("/v1/tenants/acme"), 404, "unknown-tenant")


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("Acme", b"{}", 422, "unacceptable"),
        ("-acme", b"{}", 422, "unacceptable"),
        ("a" * 64, b"{}", 422, "unacceptable"),
        ("a.b", b"{}", 422, "unacceptable"),
        ("acme", b'{"weight": -1}', 422, "unacceptable"),
        ("acme", b'{"log": {"sample": 2}}', 422, "unacceptable"),
        ("acme", b'{"weight": "2"}', 422, "unacceptable"),
        ("acme", b'{"weight": true}', 422, "unacceptable"),
        ("acme", b'{"weight": null}', 422, "unacceptable"),
        ("acme", b'{"log": {"text": "yes"}}', 422, "unacceptable"),
        ("acme", b'{"log": {"text": 1}}', 422, "unacceptable"),
        ("acme", b'{"rates": {"concurrent_requests": "5"}}', 422, "unacceptable"),
        ("acme", b'{"colour": "red"}', 422, "unacceptable"),
        ("acme", b'{"weight": 1, "weight": 2}', 400, "malformed"),
        ("acme", b'{"weight": NaN}', 400, "malformed"),
        ("acme", b"[]", 400, "malformed"),
        ("acme", b"", 400, "malformed"),
    ],
)
async def test_a_tenant_that_cannot_be_is_refused(
    service: FakeService, name: str, body: bytes, status: int, code: str
) -> None:
    async with service.client() as client:
        check_problem(await client.put(f"/v1/tenants/{name}", content=body), status, code)


async def test_a_tenant_with_a_live_adapter_cannot_be_deleted(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        check_problem(await client.delete("/v1/tenants/acme"), 409, "conflict")


# --- uploads


async def test_an_upload_is_a_new_version_and_the_same_again_is_the_same(
    service: FakeService,
) -> None:
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        first = await upload(client, service.zipped(), metadata_of(3, owner="me"))
        made = check_document(first, 201, VersionDocument)
        assert (made["version"], made["state"]) == (1, "validated")
        assert first.headers["location"] == f"{VERSIONS}/1"
        again = await upload(client, service.zipped(), metadata_of(3))
        assert check_document(again, 200, VersionDocument)["digest"] == made["digest"]
        other = await upload(client, service.zipped(seed=1), metadata_of(3))
        assert check_document(other, 201, VersionDocument)["version"] == 2
        shown = check_document(await client.get(f"{VERSIONS}/1"), 200, VersionDocument)
        assert shown == made, "a version answers the document that its 201 gave"
        report = await client.get(f"{VERSIONS}/1/report")
        assert report.json() == made["report"]
    assert [adapter.digest for adapter in service.batcher.probed][:2] == [made["digest"]] * 2
    assert service.metric("tenantry_uploads_total", outcome="created") == 2
    assert service.metric("tenantry_uploads_total", outcome="known") == 1


async def test_an_invalid_upload_is_told_all_its_problems_and_keeps_nothing(
    service: FakeService,
) -> None:
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        answer = await upload(client, service.zipped(labels=3), b'{"labels": ["a", "b"], "x": 1}')
        body = check_problem(answer, 422, "invalid-adapter")
        assert len(body["problems"]) >= 2
        assert "metadata/x" in {problem["where"] for problem in body["problems"]}
        check_problem(await client.get(VERSIONS), 404, "unknown-adapter")
        audit = check_document(await client.get("/v1/audit"), 200, AuditDocument)
    assert audit["lines"][-1]["action"] == "version.refused"
    assert service.metric("tenantry_uploads_total", outcome="refused") == 1


async def test_an_upload_needs_its_tenant_before_its_body_is_read(service: FakeService) -> None:
    async with service.client() as client:
        answer = await upload(client, b"not even a zip", b"")
    check_problem(answer, 404, "unknown-tenant")


@pytest.mark.parametrize("adapter", ["Support", "a" * 64, "a.b"])
async def test_an_adapter_s_name_is_checked(service: FakeService, adapter: str) -> None:
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        path = f"/v1/tenants/acme/adapters/{adapter}/versions"
        answer = await upload(client, service.zipped(), metadata_of(3), path)
    check_problem(answer, 422, "unacceptable")


async def test_an_upload_of_another_kind_is_refused(service_with: MakeService) -> None:
    service = service_with(max_upload_bytes=2048)
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        check_problem(await client.post(VERSIONS, json={}), 415, "wrong-media-type")
        check_problem(await client.post(VERSIONS, content=b"x"), 415, "wrong-media-type")
        large = await upload(client, b"x" * 3000, b"{}")
        check_problem(large, 413, "body-too-large")


async def test_an_adapter_whose_probe_fails_is_not_published(service: FakeService) -> None:
    service.batcher.error = QueueFull("full")
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        answer = await upload(client, service.zipped(), metadata_of(3))
        check_problem(answer, 503, "queue-full")
        check_problem(await client.get(VERSIONS), 404, "unknown-adapter")
    assert service.metric("tenantry_uploads_total", outcome="failed") == 1


async def test_a_full_disk_is_a_503(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("the state directory cannot be written")

    monkeypatch.setattr(service.registry, "publish", full)
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        answer = await upload(client, service.zipped(), metadata_of(3))
    check_problem(answer, 503, "store-full")
    assert answer.headers["retry-after"] == "30"


async def test_uploads_beyond_the_bound_are_sent_away(service_with: MakeService) -> None:
    service = service_with(uploads_max=1)
    service.batcher.gate.clear()
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        first = asyncio.create_task(upload(client, service.zipped(), metadata_of(3)))
        await until(lambda: bool(service.batcher.probed))
        check_problem(await upload(client, b"", b""), 503, "queue-full")
        service.batcher.gate.set()
        assert (await first).status_code == 201
        assert (await upload(client, service.zipped(), metadata_of(3))).status_code == 200


# --- versions, adapters, rollouts


async def test_adapters_and_versions_are_listed_shown_and_deleted(service: FakeService) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2)
    base = "/v1/tenants/acme/adapters"
    async with service.client() as client:
        listed = check_document(await client.get(base), 200, AdapterList)
        assert [(line["adapter"], line["live"]) for line in listed["adapters"]] == [("support", 2)]
        shown = check_document(await client.get(f"{base}/support"), 200, AdapterDocument)
        assert (shown["versions"], shown["revision"]) == (2, 2)
        versions = check_document(await client.get(VERSIONS), 200, VersionList)["versions"]
        assert [version["state"] for version in versions] == ["retired", "live"]
        check_problem(await client.delete(f"{VERSIONS}/2"), 409, "conflict")
        assert (await client.delete(f"{VERSIONS}/1")).status_code == 204
        check_problem(await client.get(f"{VERSIONS}/1"), 404, "unknown-version")
        check_problem(await client.get(f"{VERSIONS}/x"), 404, "unknown-version")
        check_problem(await client.delete(f"{base}/support"), 409, "conflict")
        await client.put(ROLLOUT, json={"live": None})
        assert (await client.delete(f"{base}/support")).status_code == 204
        check_problem(await client.get(f"{base}/support"), 404, "unknown-adapter")
        check_problem(await client.get("/v1/tenants/none/adapters"), 404, "unknown-tenant")


async def test_a_rollout_changes_what_answers_and_a_rollback_returns(
    service: FakeService,
) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2, live=False)
    async with service.client() as client:
        before = await client.get(ROLLOUT)
        assert check_document(before, 200, RolloutDocument)["live"] == 1
        etag = before.headers["etag"]
        assert etag == '"1"'
        changed = await client.put(ROLLOUT, json={"live": 2}, headers={"if-match": etag})
        assert check_document(changed, 200, RolloutDocument)["live"] == 2
        assert changed.headers["etag"] == '"2"'
        stale = await client.put(ROLLOUT, json={"live": 1}, headers={"if-match": etag})
        check_problem(stale, 412, "revision-mismatch")
        assert (await client.post(PREDICT, json=TEXTS)).json()["model"]["version"] == 2
        back = await client.post("/v1/tenants/acme/adapters/support/rollback")
        assert check_document(back, 200, RolloutDocument)["live"] == 1
        assert (await client.post(PREDICT, json=TEXTS)).json()["model"]["version"] == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [('"1"', 200), ("*", 200), (' "1" ', 200), ('"9"', 412), ("1", 412), ('W/"1"', 412), ("", 412)],
)
async def test_if_match_is_one_strong_revision(
    service: FakeService, given: str, status: int
) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2, live=False)
    async with service.client() as client:
        answer = await client.put(ROLLOUT, json={"live": 2}, headers={"if-match": given})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"live": 9}, 422, "unacceptable"),
        ({"live": "1"}, 422, "unacceptable"),
        ({}, 422, "unacceptable"),
        ({"live": 1, "colour": "red"}, 422, "unacceptable"),
        ([], 400, "malformed"),
    ],
)
async def test_a_rollout_that_cannot_be_is_refused(
    service: FakeService, body: object, status: int, code: str
) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        check_problem(await client.put(ROLLOUT, json=body), status, code)


async def test_a_first_rollout_has_nothing_to_return_to(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post("/v1/tenants/acme/adapters/support/rollback")
    check_problem(answer, 409, "conflict")


async def test_the_audit_trail_is_read_in_parts(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("other", "support")
    async with service.client() as client:
        whole = check_document(await client.get("/v1/audit"), 200, AuditDocument)["lines"]
        own = await client.get("/v1/audit", params={"tenant": "acme"})
        later = await client.get("/v1/audit", params={"cursor": str(whole[0]["id"])})
        since = await client.get("/v1/audit", params={"since": whole[2]["at"]})
        assert "+00:00" in whole[2]["at"]
        as_it_is = await client.get(f"/v1/audit?since={whole[2]['at']}")  # its + reads as a space
        for params in ({"since": "yesterday"}, {"cursor": "x"}, {"cursor": "-1"}):
            check_problem(await client.get("/v1/audit", params=params), 400, "malformed")
    assert {line["tenant"] for line in own.json()["lines"]} == {"acme"}
    assert later.json()["lines"] == whole[1:]
    assert since.json()["lines"] == whole[2:]
    assert as_it_is.request.url.query.endswith(b"+00:00")
    assert as_it_is.json() == since.json()
