"""Rollouts on the wire: canaries, shadows and force, and who may ask for them."""

from typing import Any

import httpx
import pytest

from service.api.schemas import AdapterDocument, AdapterList, RolloutDocument, VersionDocument
from service.registry.records import TenantSettings
from tests.contract.test_wire_native import check_document, check_problem
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

ADAPTER = "/v1/tenants/acme/adapters/support"
ROLLOUT = f"{ADAPTER}/rollout"


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    """Return a service with versions 1 to 3 of an adapter, and a rejected 4th."""
    made = service_with(admin_key=ADMIN_KEY)
    for seed in range(3):
        made.publish("acme", "support", seed=seed, live=False)
    made.publish("acme", "support", seed=9, live=False, verdict="rejected")
    return made


async def put(client: httpx.AsyncClient, document: dict[str, Any]) -> dict[str, Any]:
    return check_document(await client.put(ROLLOUT, json=document), 200, RolloutDocument)


async def test_a_rollout_names_canary_and_shadows_and_is_put_whole(service: FakeService) -> None:
    document = {"live": 1, "canary": {"version": 2, "percent": 12.5}, "shadow": [3]}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        answer = await client.put(ROLLOUT, json=document)
        made = check_document(answer, 200, RolloutDocument)
        assert made | document == made
        assert answer.headers["etag"] == '"1"'
        shown = await client.get(ROLLOUT)
        assert (shown.json(), shown.headers["etag"]) == (made, '"1"')
        assert await put(client, document) == made, "the same again is no change"
        later = await put(client, {"live": 2})
        assert (later["revision"], later["previous"]) == (2, 1)
        assert "canary" not in later
        assert "shadow" not in later


async def test_a_rollback_brings_canary_and_shadows_back(service: FakeService) -> None:
    document = {"live": 1, "canary": {"version": 2, "percent": 10.0}, "shadow": [3]}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        await put(client, document)
        await put(client, {"live": 3})
        back = check_document(await client.post(f"{ADAPTER}/rollback"), 200, RolloutDocument)
    assert back | document == back
    assert (back["revision"], back["previous"]) == (3, None)


async def test_versions_and_adapters_say_what_they_are_in_the_rollout(service: FakeService) -> None:
    canary = {"version": 2, "percent": 10.0}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        before = check_document(await client.get(ADAPTER), 200, AdapterDocument)
        assert (before["live"], before["canary"], before["shadows"]) == (None, None, [])
        await put(client, {"live": 1, "canary": canary, "shadow": [3]})
        shown = check_document(await client.get(ADAPTER), 200, AdapterDocument)
        assert (shown["live"], shown["canary"], shown["shadows"]) == (1, canary, [3])
        listed = check_document(await client.get("/v1/tenants/acme/adapters"), 200, AdapterList)
        assert listed["adapters"] == [{k: v for k, v in shown.items() if k != "revision"}]
        states = []
        for number in (1, 2, 3, 4):
            answer = await client.get(f"{ADAPTER}/versions/{number}")
            states.append(check_document(answer, 200, VersionDocument)["state"])
        assert states == ["live", "canary", "shadow", "rejected"]
        for number in (1, 2, 3):
            check_problem(await client.delete(f"{ADAPTER}/versions/{number}"), 409, "conflict")
        assert (await client.delete(f"{ADAPTER}/versions/4")).status_code == 204


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"live": 9},
        {"live": 0},
        {"live": "1"},
        {"live": True},
        {"live": 1, "canary": {"version": 2}},
        {"live": 1, "canary": {"version": 2, "percent": 0}},
        {"live": 1, "canary": {"version": 2, "percent": 100.5}},
        {"live": 1, "canary": {"version": 1, "percent": 10}},
        {"live": 1, "canary": {"version": 9, "percent": 10}},
        {"live": None, "canary": {"version": 2, "percent": 10}},
        {"live": 1, "canary": {"version": 2, "percent": 10, "sticky": True}},
        {"live": 1, "shadow": 2},
        {"live": 1, "shadow": [2, 2]},
        {"live": 1, "shadow": [1]},
        {"live": 1, "shadow": [9]},
        {"live": 1, "shadow": ["2"]},
        {"live": 1, "shadow": list(range(1, 1000))},
        {"live": 1, "force": {}},
        {"live": 1, "force": {"reason": " "}},
        {"live": 1, "force": {"reason": "x" * 10_000}},
        {"live": 1, "force": "please"},
        {"live": 1, "canary": [], "shadow": {}, "force": [], "more": 1},
    ],
)
async def test_a_rollout_that_cannot_be_is_refused_and_changes_nothing(
    service: FakeService, document: dict[str, Any]
) -> None:
    async with service.client(headers=bearer(ADMIN_KEY)) as client:
        check_problem(await client.put(ROLLOUT, json=document), 422, "unacceptable")
        assert (await client.get(ROLLOUT)).json()["revision"] == 0


async def test_everything_that_is_wrong_is_named_at_once(service: FakeService) -> None:
    document = {"live": 1, "canary": {"version": 8, "percent": 10}, "shadow": [4, 9]}
    async with service.client(headers=bearer(ADMIN_KEY)) as client:
        told = check_problem(await client.put(ROLLOUT, json=document), 422, "unacceptable")
    for number in ("8", "4 was rejected", "9"):
        assert f"version {number}" in told["detail"]


@pytest.mark.parametrize(
    "named",
    [{"live": 4}, {"live": 1, "canary": {"version": 4, "percent": 1}}, {"live": 1, "shadow": [4]}],
)
async def test_a_rejected_version_answers_by_force_alone_and_that_is_kept(
    service: FakeService, named: dict[str, Any]
) -> None:
    force = {"force": {"reason": "the hold-out is out of date"}}
    async with service.client(headers=service.bearer("acme", "admin")) as client:
        refused = check_problem(await client.put(ROLLOUT, json=named), 422, "unacceptable")
        assert "version 4 was rejected" in refused["detail"]
        assert (await put(client, named | force))["force"] == force["force"]
        lines = (await client.get("/v1/audit")).json()["lines"]
    [line] = [line for line in lines if line["action"] == "rollout.set"]
    assert line["after"]["force"] == force["force"]
    assert line["actor"].endswith("@acme")


async def test_force_needs_the_scope_admin(service: FakeService) -> None:
    forced = {"live": 4, "force": {"reason": "I want to"}}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        check_problem(await client.put(ROLLOUT, json=forced), 403, "not-permitted")
        check_problem(await client.put(ROLLOUT, json=forced | {"live": 1}), 403, "not-permitted")
        assert (await put(client, {"live": 1, "force": None}))["live"] == 1


async def test_two_operators_cannot_overwrite_each_other(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        await put(client, {"live": 1})
        known = {"if-match": '"1"'}
        mine = {"live": 1, "shadow": [3]}
        theirs = {"live": 1, "canary": {"version": 2, "percent": 50}}
        assert (await client.put(ROLLOUT, json=mine, headers=known)).status_code == 200
        late = await client.put(ROLLOUT, json=theirs, headers=known)
        check_problem(late, 412, "revision-mismatch")
        late = await client.post(f"{ADAPTER}/rollback", headers=known)
        check_problem(late, 412, "revision-mismatch")
        listed = {"if-match": '"1", "2"'}
        check_problem(
            await client.put(ROLLOUT, json=theirs, headers=listed), 412, "revision-mismatch"
        )
        assert (await client.get(ROLLOUT)).json()["shadow"] == [3]


async def test_settings_of_a_tenant_do_not_touch_its_rollout(service: FakeService) -> None:
    async with service.client(headers=bearer(ADMIN_KEY)) as client:
        await put(client, {"live": 1, "shadow": [2]})
        service.registry.put_tenant("acme", TenantSettings(weight=2.0), "tests")
        assert (await client.get(ROLLOUT)).json()["revision"] == 1
