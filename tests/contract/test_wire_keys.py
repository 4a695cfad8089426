"""Keys on the wire: made, shown once, listed, revoked, and nowhere to be found afterwards."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.api.schemas import AuditDocument, KeyList, MadeKeyDocument, TenantList, UsageDocument
from service.registry.records import TenantSettings
from tests.contract.test_wire_native import PREDICT, TEXTS, check_document, check_problem
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

KEYS = "/v1/tenants/acme/keys"
AS_OPERATOR = bearer(ADMIN_KEY)


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    made = service_with(admin_key=ADMIN_KEY, request_log="all")
    made.publish("acme", "support")
    made.publish("globex", "support")
    return made


def days_ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days)).isoformat()


async def make(
    client: httpx.AsyncClient, *scopes: str, headers: dict[str, str] = AS_OPERATOR
) -> dict[str, Any]:
    answer = await client.post(KEYS, json={"scopes": list(scopes)}, headers=headers)
    return check_document(answer, 201, MadeKeyDocument)


async def test_a_key_is_made_shown_once_and_opens(service: FakeService) -> None:
    async with service.client() as client:
        answer = await client.post(
            KEYS, json={"scopes": ["publish", "predict"]}, headers=AS_OPERATOR
        )
        made = check_document(answer, 201, MadeKeyDocument)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["location"] == f"{KEYS}/{made['id']}"
        assert (made["tenant"], made["scopes"]) == ("acme", ["predict", "publish"])
        assert made["actor"] == "admin"
        assert made["id"] in made["key"]
        listed = await client.get(KEYS, headers=AS_OPERATOR)
        shown = check_document(listed, 200, KeyList)["keys"]
        assert shown == [{name: made[name] for name in made if name != "key"}]
        assert made["key"] not in listed.text
        predicted = await client.post(PREDICT, json=TEXTS, headers=bearer(made["key"]))
    assert predicted.status_code == 200


async def test_a_revoked_key_opens_nothing_on_any_wire_from_then_on(service: FakeService) -> None:
    asked = [
        ("POST", PREDICT, TEXTS),
        ("POST", "/v2/models/acme.support/infer", {}),
        ("POST", "/tei/acme.support/predict", {"inputs": "a"}),
        ("POST", "/hf/acme.support", {"inputs": "a"}),
        ("POST", "/classify", {"model": "acme.support", "input": "a"}),
        ("POST", "/v1/feedback", {"labels": []}),
        ("GET", "/v1/tenants", None),
    ]
    async with service.client() as client:
        made = await make(client, "admin")
        headers = bearer(made["key"])
        for method, path, document in asked:
            answer = await client.request(method, path, json=document, headers=headers)
            assert answer.status_code != 401, path
        revoked = await client.delete(f"{KEYS}/{made['id']}", headers=AS_OPERATOR)
        assert (revoked.status_code, revoked.content) == (204, b"")
        for method, path, document in asked:
            answer = await client.request(method, path, json=document, headers=headers)
            assert answer.status_code == 401, path
        again = await client.delete(f"{KEYS}/{made['id']}", headers=AS_OPERATOR)
        check_problem(again, 404, "unknown-key")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["predict", "Admin"]},
        {"scopes": "predict"},
        {"scopes": [1]},
        {"scopes": None},
        {"scopes": ["predict"], "tenant": "globex"},
    ],
)
async def test_a_key_that_cannot_be_is_refused(
    service: FakeService, document: dict[str, Any]
) -> None:
    async with service.client(headers=AS_OPERATOR) as client:
        check_problem(await client.post(KEYS, json=document), 422, "unacceptable")
        assert (await client.get(KEYS)).json() == {"keys": []}


async def test_a_tenant_s_admin_makes_keys_for_that_tenant_alone(service: FakeService) -> None:
    async with service.client() as client:
        admin = bearer((await make(client, "admin"))["key"])
        made = await make(client, "predict", headers=admin)
        assert made["actor"].startswith("key:")
        assert made["actor"].endswith("@acme")
        foreign = "/v1/tenants/globex/keys"
        key = service.registry.create_key("globex", frozenset({"predict"}), "tests")[0]
        for answer in (
            await client.post(foreign, json={"scopes": ["predict"]}, headers=admin),
            await client.get(foreign, headers=admin),
            await client.delete(f"{foreign}/{key.id}", headers=admin),
        ):
            check_problem(answer, 404, "unknown-tenant")
        check_problem(await client.delete(f"{KEYS}/{key.id}", headers=admin), 404, "unknown-key")
        assert [kept.id for kept in service.registry.keys("globex")] == [key.id]


@pytest.mark.parametrize("scope", ["predict", "publish"])
async def test_a_lesser_key_makes_and_sees_no_keys(service: FakeService, scope: str) -> None:
    async with service.client() as client:
        made = await make(client, scope)
        headers = bearer(made["key"])
        for answer in (
            await client.post(KEYS, json={"scopes": [scope]}, headers=headers),
            await client.get(KEYS, headers=headers),
            await client.delete(f"{KEYS}/{made['id']}", headers=headers),
        ):
            check_problem(answer, 403, "not-permitted")


async def test_a_key_is_nowhere_but_in_the_answer_that_made_it(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with service.client() as client:
        made = await make(client, "admin")
        key, secret = made["key"], made["key"].rpartition("_")[2]
        told = [
            await client.get("/v1/audit", headers=AS_OPERATOR),
            await client.get(KEYS, headers=bearer(key)),
            await client.delete(f"{KEYS}/{key}", headers=bearer(key)),
            await client.get(f"{KEYS}x/{key}", headers=bearer(key)),
            await client.get("/v1/tenants", headers=bearer(key[:-1])),
            await client.get("/v1/tenants", headers={"authorization": f"Basic {key}"}),
            await client.get("/metrics", headers=AS_OPERATOR),
        ]
    for answer in told:
        assert secret not in answer.text
        assert secret[:-1] not in str(answer.headers)
    # The test's own client logs what it asks for.
    logged = [vars(record) for record in caplog.records if not record.name.startswith("http")]
    assert "request" in {line["message"] for line in logged}
    assert secret not in str(logged)
    files = [path for path in service.state.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert secret.encode() not in path.read_bytes(), path


async def test_the_audit_trail_names_the_key_and_never_shows_it(service: FakeService) -> None:
    async with service.client() as client:
        made = await make(client, "admin")
        await make(client, "predict", headers=bearer(made["key"]))
        await client.delete(f"{KEYS}/{made['id']}", headers=AS_OPERATOR)
        lines = (await client.get("/v1/audit", headers=AS_OPERATOR)).json()["lines"]
    own = [line for line in lines if line["action"].startswith("key.")]
    assert [line["actor"] for line in own] == ["admin", f"key:{made['id']}@acme", "admin"]
    assert made["id"] in json.dumps(own[0]["after"])
    assert made["id"] in json.dumps(own[2]["before"])


async def test_two_keys_in_one_request_are_none(service: FakeService) -> None:
    async with service.client() as client:
        answer = await client.get(
            "/v1/tenants", headers=[("authorization", f"Bearer {ADMIN_KEY}")] * 2
        )
        check_problem(answer, 401, "not-authenticated")
        made = await make(client, "predict")
        mixed = [("authorization", f"Bearer {key}") for key in (made["key"], ADMIN_KEY)]
        for pair in (mixed, mixed[::-1]):
            check_problem(await client.get("/v1/audit", headers=pair), 401, "not-authenticated")


async def test_a_key_ends_with_its_tenant(service: FakeService) -> None:
    service.registry.put_tenant("brief", TenantSettings(), "tests")
    headers = service.bearer("brief", "admin")
    async with service.client() as client:
        assert (await client.get("/v1/tenants/brief", headers=headers)).status_code == 200
        assert (await client.delete("/v1/tenants/brief", headers=AS_OPERATOR)).status_code == 204
        assert (await client.get("/v1/tenants/brief", headers=headers)).status_code == 401
        await client.put("/v1/tenants/brief", json={}, headers=AS_OPERATOR)
        assert (await client.get("/v1/tenants/brief", headers=headers)).status_code == 401


async def test_any_key_shows_its_own_tenant_and_no_other(service: FakeService) -> None:
    async with service.client() as client:
        for scope in ("predict", "publish", "admin"):
            headers = service.bearer("acme", scope)
            listed = check_document(
                await client.get("/v1/tenants", headers=headers), 200, TenantList
            )
            assert [tenant["name"] for tenant in listed["tenants"]] == ["acme"]
            assert (await client.get("/v1/tenants/acme", headers=headers)).status_code == 200
            check_problem(
                await client.get("/v1/tenants/globex", headers=headers), 404, "unknown-tenant"
            )


async def test_a_tenant_s_admin_reads_that_tenant_s_audit_trail_alone(service: FakeService) -> None:
    headers = service.bearer("acme", "admin")
    async with service.client() as client:
        for query in ({}, {"tenant": "acme"}, {"since": "2020-01-01"}, {"cursor": "0"}):
            answer = await client.get("/v1/audit", params=query, headers=headers)
            lines = check_document(answer, 200, AuditDocument)["lines"]
            assert {line["tenant"] for line in lines} == {"acme"}, query
        foreign = await client.get("/v1/audit?tenant=globex", headers=headers)
        absent = await client.get("/v1/audit?tenant=nobody", headers=headers)
        check_problem(foreign, 404, "unknown-tenant")
        check_problem(absent, 404, "unknown-tenant")
        everything = (await client.get("/v1/audit", headers=AS_OPERATOR)).json()["lines"]
        assert {line["tenant"] for line in everything} == {"acme", "globex"}


async def test_a_tenant_does_not_inherit_the_trail_of_one_that_had_its_name(
    service: FakeService,
) -> None:
    settings = TenantSettings()
    service.registry.put_tenant("brief", settings, "the first one")
    service.registry.delete_tenant("brief", "the first one")
    service.registry.put_tenant("brief", settings, "the second one")
    async with service.client(headers=service.bearer("brief", "admin")) as client:
        for since in ("", "?since=2020-01-01T00:00:00", "?since=2020-01-01T00:00:00%2B02:00"):
            lines = (await client.get(f"/v1/audit{since}")).json()["lines"]
            assert lines[0]["action"] == "tenant.created"
            assert "the first one" not in {line["actor"] for line in lines}


@pytest.mark.parametrize(
    "since", ["soon", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2025-13-01"]
)
async def test_a_time_that_is_none_is_malformed(service: FakeService, since: str) -> None:
    async with service.client(headers=AS_OPERATOR) as client:
        answer = await client.get("/v1/audit", params={"since": since})
    check_problem(answer, 400, "malformed")


async def test_usage_is_shown_by_day_and_in_all(service: FakeService) -> None:
    first, last = days_ago(12), days_ago(10)
    service.add_usage("acme", first, requests=1, texts=2, tokens=3, compute_s=0.5, limited=4)
    service.add_usage("acme", last, requests=10, texts=20, tokens=30, compute_s=1.5)
    service.add_usage("globex", last, requests=999)
    path = "/v1/tenants/acme/usage"
    async with service.client(headers=AS_OPERATOR) as client:
        answer = await client.get(path, params={"since": days_ago(20), "until": last})
        shown = check_document(answer, 200, UsageDocument)
        assert (shown["since"], shown["until"]) == (days_ago(20), last)
        assert shown["total"] == {
            "requests": 11,
            "texts": 22,
            "tokens": 33,
            "compute_s": 2.0,
            "limited": 4,
        }
        assert [line["day"] for line in shown["days"]] == [first, last]
        one = await client.get(path, params={"since": last, "until": last})
        assert [line["requests"] for line in one.json()["days"]] == [10]
        latest = (await client.get(path)).json()
        assert (latest["since"], latest["total"]["requests"]) == (days_ago(30), 11)
        before = (await client.get(path, params={"until": days_ago(13)})).json()
        assert (before["since"], before["days"]) == (days_ago(43), [])


async def test_a_tenant_does_not_inherit_the_usage_of_one_that_had_its_name(
    service: FakeService,
) -> None:
    service.add_usage("acme", days_ago(10), requests=999)
    service.add_usage("acme", days_ago(0), requests=1)
    async with service.client(headers=service.bearer("acme", "admin")) as client:
        shown = (await client.get("/v1/tenants/acme/usage")).json()
    assert shown["total"]["requests"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"since": "yesterday"}, 400),
        ({"until": ""}, 400),
        ({"since": "2025-02-30"}, 400),
        ({"since": "2025-03-02", "until": "2025-03-01"}, 422),
        ({"since": "9999-12-31"}, 422),
        ({"since": "1970-01-01", "until": "2025-01-01"}, 422),
    ],
)
async def test_a_span_of_days_that_cannot_be_is_refused(
    service: FakeService, query: dict[str, str], status: int
) -> None:
    async with service.client(headers=AS_OPERATOR) as client:
        answer = await client.get("/v1/tenants/acme/usage", params=query)
    check_problem(answer, status, "malformed" if status == 400 else "unacceptable")


async def test_usage_of_the_first_days_there_are_is_empty(service: FakeService) -> None:
    async with service.client(headers=AS_OPERATOR) as client:
        answer = await client.get("/v1/tenants/acme/usage", params={"until": "0001-01-01"})
    assert check_document(answer, 200, UsageDocument)["days"] == []


async def test_usage_tells_of_what_was_answered_a_moment_ago(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client(headers=AS_OPERATOR) as client:
        for text in ("one", "two words"):
            await client.post(
                "/v1/tenants/acme/adapters/support/predict", json={"inputs": [text, text]}
            )
        shown = (await client.get("/v1/tenants/acme/usage")).json()
    total = shown["total"]
    assert (total["requests"], total["texts"], total["tokens"]) == (2, 4, 6)
