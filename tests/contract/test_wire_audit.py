"""The audit trail is what was done: every change by every route, in order, and nothing else."""

from typing import Any

import pytest

from service.api.permissions import NEEDS
from tests.contract.test_wire_native import ROLLOUT, VERSIONS, check_problem, upload
from tests.fakes.packages import metadata_of
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

TENANT = "/v1/tenants/acme"
ADAPTER = f"{TENANT}/adapters/support"
RATES = {"requests_per_s": None, "tokens_per_s": None, "concurrent_requests": None}
DEFAULTS = {
    "class": "standard",
    "weight": 1.0,
    "rates": RATES,
    "log": {"text": False, "embedding": True, "sample": 1.0},
}


class Trail:
    """What the trail should say: a line for each change, in order."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def add(
        self, actor: str, action: str, before: Any, after: Any, adapter: str | None = None
    ) -> None:
        line = {"actor": actor, "action": action, "before": before, "after": after}
        self.lines.append({**line, "tenant": "acme", "adapter": adapter})


def named(version: dict[str, Any]) -> dict[str, Any]:
    return {name: version[name] for name in ("version", "digest")}


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    return service_with(admin_key=ADMIN_KEY)


async def test_each_change_has_its_line_and_what_was_refused_has_none(
    service: FakeService,
) -> None:
    trail = Trail()
    async with service.client(headers=bearer(ADMIN_KEY)) as admin:
        assert (await admin.put(TENANT, json={})).status_code == 201
        trail.add("admin", "tenant.created", None, DEFAULTS)
        assert (await admin.put(TENANT, json={"weight": 2})).status_code == 200
        trail.add("admin", "tenant.changed", DEFAULTS, {**DEFAULTS, "weight": 2.0})
        assert (await admin.put(TENANT, json={"weight": 2})).status_code == 200  # no change
        check_problem(await admin.put(TENANT, json={"weight": "3"}), 422, "unacceptable")
        made = (await admin.post(f"{TENANT}/keys", json={"scopes": ["admin"]})).json()
        trail.add("admin", "key.created", None, {"id": made["id"], "scopes": ["admin"]})
    own = f"key:{made['id']}@acme"
    async with service.client(headers=bearer(made["key"])) as client:
        key = (await client.post(f"{TENANT}/keys", json={"scopes": ["publish"]})).json()
        trail.add(own, "key.created", None, {"id": key["id"], "scopes": ["publish"]})
        shown = {}
        for number in (1, 2):
            answer = await upload(client, service.zipped(seed=number), metadata_of(3))
            assert answer.status_code == 201
            shown[number] = {
                "version": number,
                "digest": answer.json()["digest"],
                "verdict": "validated",
            }
            trail.add(own, "version.published", None, shown[number], "support")
        assert (
            await upload(client, service.zipped(seed=1), metadata_of(3))
        ).status_code == 200  # known already
        problems = (await upload(client, service.zipped(seed=3), b"{}")).json()["problems"]
        said = [f"{one['where']}: {one['what']}" for one in problems]
        after = {"problems": said, "count": len(said)}
        trail.add(own, "version.refused", None, after, "support")
        await roll_to_and_fro(client, trail, own)
        check_problem(await client.delete(f"{VERSIONS}/1"), 409, "conflict")
        assert (await client.delete(f"{VERSIONS}/2")).status_code == 204
        trail.add(own, "version.deleted", named(shown[2]), None, "support")
        assert (await client.put(ROLLOUT, json={"live": None})).status_code == 200
        before = {"revision": 3, "live": 1}
        trail.add(own, "rollout.set", before, {"revision": 4, "live": None}, "support")
        assert (await client.delete(ADAPTER)).status_code == 204
        trail.add(own, "version.deleted", named(shown[1]), None, "support")
        assert (await client.delete(f"{TENANT}/keys/{key['id']}")).status_code == 204
        trail.add(own, "key.revoked", {"id": key["id"], "scopes": ["publish"]}, None)
        check_problem(await client.delete(f"{TENANT}/keys/{key['id']}"), 404, "unknown-key")
        check_problem(await client.delete(TENANT), 403, "not-permitted")
    async with service.client(headers=bearer(ADMIN_KEY)) as admin:
        assert (await admin.delete(TENANT)).status_code == 204
        trail.add("admin", "key.revoked", {"id": made["id"], "scopes": ["admin"]}, None)
        trail.add("admin", "tenant.deleted", {**DEFAULTS, "weight": 2.0}, None)
        lines = (await admin.get("/v1/audit")).json()["lines"]
    assert [{name: line[name] for name in trail.lines[0]} for line in lines] == trail.lines
    assert [line["id"] for line in lines] == sorted({line["id"] for line in lines})
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


async def roll_to_and_fro(client: Any, trail: Trail, own: str) -> None:
    first = {"live": 1}
    assert (await client.put(ROLLOUT, json=first)).status_code == 200
    trail.add(
        own, "rollout.set", {"revision": 0, "live": None}, {"revision": 1, **first}, "support"
    )
    assert (await client.put(ROLLOUT, json=first)).status_code == 200  # no change
    second = {
        "live": 1,
        "canary": {"version": 2, "percent": 10.0},
        "force": {"reason": "ticket 7"},
    }
    late = await client.put(ROLLOUT, json=second, headers={"if-match": '"0"'})
    check_problem(late, 412, "revision-mismatch")
    assert (await client.put(ROLLOUT, json=second)).status_code == 200
    trail.add(own, "rollout.set", {"revision": 1, **first}, {"revision": 2, **second}, "support")
    assert (await client.post(f"{ADAPTER}/rollback")).status_code == 200
    trail.add(own, "rollout.back", {"revision": 2, **second}, {"revision": 3, **first}, "support")
    check_problem(await client.post(f"{ADAPTER}/rollback"), 409, "conflict")


def test_the_routes_that_change_something_are_those_above() -> None:
    changing = {
        (method, path)
        for (method, path), need in NEEDS.items()
        if method != "GET" and need in ("publish", "admin", "operator")
    }
    adapter = "/v1/tenants/{tenant}/adapters/{adapter}"
    assert changing == {
        ("PUT", "/v1/tenants/{tenant}"),
        ("DELETE", "/v1/tenants/{tenant}"),
        ("POST", "/v1/tenants/{tenant}/keys"),
        ("DELETE", "/v1/tenants/{tenant}/keys/{key}"),
        ("POST", f"{adapter}/versions"),
        ("DELETE", f"{adapter}/versions/{{version}}"),
        ("DELETE", adapter),
        ("PUT", f"{adapter}/rollout"),
        ("POST", f"{adapter}/rollback"),
    }
