"""Who comes through to which route: held for every route, and for every kind of key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import httpx
import pytest
from starlette.routing import Route

from service.api.permissions import NEEDS, Need
from service.api.routes import GuardedRoute
from service.credentials.scopes import SCOPES
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

VALUES = {"adapter": "support", "version": "1", "key": "0123456789abcdef"}
OPERATOR, OPEN = "operator", "without a key"
NO_KEY = (OPEN, "wrong", "revoked")
# What a guard says when it does not let a request through.
GUARDS = {401: "not-authenticated", 403: "not-permitted", 404: "unknown-tenant"}


@dataclass(frozen=True)
class Estate:
    """Two tenants with an adapter each, and every kind of key."""

    service: FakeService
    headers: dict[str, dict[str, str]]


def estate_of(service: FakeService, *tenants: str) -> Estate:
    headers = {
        OPEN: {},
        "wrong": bearer("tk_0123456789abcdef_" + "A" * 43),
        OPERATOR: bearer(ADMIN_KEY),
    }
    for tenant in tenants:
        service.publish(tenant, "support")
        for scope in SCOPES:
            headers[f"{tenant} {scope}"] = service.bearer(tenant, scope)
    revoked, key = service.registry.create_key("acme", frozenset(SCOPES), "tests")
    service.registry.revoke_key("acme", revoked.id, "tests")
    headers["revoked"] = bearer(key)
    return Estate(service, headers)


@pytest.fixture
def estate(service_with: MakeService) -> Estate:
    return estate_of(service_with(admin_key=ADMIN_KEY), "acme", "globex")


def routes(service: FakeService) -> Iterator[tuple[str, str]]:
    for route in service.app.routes:
        for method in cast("Route", route).methods or ():
            yield method, cast("Route", route).path


def path_of(template: str, tenant: str) -> str:
    """Return a path of a template, in a tenant."""
    values = {**VALUES, "tenant": tenant, "model": f"{tenant}.support"}
    return template.format_map(values)


async def ask(
    estate: Estate, client: httpx.AsyncClient, kind: str, method: str, path: str
) -> httpx.Response:
    """Ask with a body that no route takes, so that whoever comes through changes nothing."""
    headers = {**estate.headers[kind], "content-type": "text/plain", "x-request-id": "mine-1"}
    return await client.request(method, path, headers=headers, content=b"no body of ours")


def expected(need: Need, kind: str, *, own_path: bool) -> int | None:
    """Return the status that a guard answers; None where it lets the request through."""
    if need == "free" or kind == OPERATOR:
        return None
    if kind in NO_KEY:
        return 401
    tenant, scope = kind.split()
    if own_path and tenant != "acme":
        return 404
    if need == "operator":
        return 403
    if need in ("key", "member") or scope in (need, "admin"):
        return None
    return 403


def test_every_route_is_guarded_and_has_its_line(service: FakeService) -> None:
    for route in service.app.routes:
        assert isinstance(route, GuardedRoute), f"{route} is not guarded"
    assert set(routes(service)) == NEEDS.keys()


@pytest.mark.parametrize(("method", "template"), sorted(NEEDS))
async def test_each_kind_of_key_comes_as_far_as_the_table_says(
    estate: Estate, method: str, template: str
) -> None:
    own_path = "{tenant}" in template or "{model}" in template
    path = path_of(template, "acme")
    # The operator comes last, because what they delete is not there for anybody after them.
    kinds = [kind for kind in estate.headers if kind != OPERATOR]
    async with estate.service.client() as client:
        for kind in [*kinds, OPERATOR]:
            answer = await ask(estate, client, kind, method, path)
            status = expected(NEEDS[method, template], kind, own_path=own_path)
            if status is None:
                assert answer.status_code not in (401, 403), (kind, answer.text)
                assert GUARDS[404] not in answer.text or kind == OPERATOR, (kind, answer.text)
            else:
                assert answer.status_code == status, (kind, answer.text)
                assert method == "HEAD" or GUARDS[status] in answer.text, (kind, answer.text)
                assert status != 401 or answer.headers["www-authenticate"] == "Bearer"


def told(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status_code, answer.content, sorted(answer.headers.items())


BY_TENANT = sorted(
    (method, template)
    for method, template in NEEDS
    if "{tenant}" in template or "{model}" in template
)


@pytest.mark.parametrize(("method", "template"), BY_TENANT)
async def test_a_foreign_tenant_is_told_of_as_one_that_does_not_exist(
    estate: Estate, service_with: MakeService, method: str, template: str
) -> None:
    without = estate_of(service_with(admin_key=ADMIN_KEY), "acme")
    path = path_of(template, "globex")
    for scope in SCOPES:
        answers = []
        for one in (estate, without):
            async with one.service.client() as client:
                answers.append(await ask(one, client, f"acme {scope}", method, path))
        assert answers[0].status_code == 404
        assert told(answers[0]) == told(answers[1])


@pytest.mark.parametrize("scope", ["predict", "admin"])
async def test_a_foreign_model_in_a_body_is_told_of_as_one_that_does_not_exist(
    estate: Estate, service_with: MakeService, scope: str
) -> None:
    without = estate_of(service_with(admin_key=ADMIN_KEY), "acme")
    asked = {"model": "globex.support", "input": "a text"}
    answers = []
    for one in (estate, without):
        headers = {**one.headers[f"acme {scope}"], "x-request-id": "mine-1"}
        async with one.service.client(headers=headers) as client:
            answers.append(await client.post("/classify", json=asked))
    assert answers[0].status_code == 404
    assert told(answers[0]) == told(answers[1])
    async with estate.service.client(headers=estate.headers[f"acme {scope}"]) as client:
        own = await client.post("/classify", json={**asked, "model": "acme.support"})
    assert own.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("GET", "/v1/tenants/nobody", None),
        ("GET", "/v1/tenants/nobody/adapters", None),
        ("GET", "/v1/tenants/nobody/keys", None),
        ("GET", "/v1/tenants/nobody/usage", None),
        ("POST", "/v1/tenants/nobody/keys", {"scopes": ["predict"]}),
        ("DELETE", "/v1/tenants/nobody", None),
        ("DELETE", "/v1/tenants/nobody/adapters/support", None),
        ("PUT", "/v1/tenants/nobody/adapters/support/rollout", {"live": 1}),
        ("POST", "/v1/tenants/nobody/adapters/support/predict", {"inputs": ["a"]}),
        ("GET", "/v2/models/nobody.support", None),
        ("POST", "/tei/nobody.support/predict", {"inputs": "a"}),
        ("POST", "/hf/nobody.support", {"inputs": "a"}),
        ("POST", "/classify", {"model": "nobody.support", "input": "a"}),
    ],
)
async def test_the_operator_is_told_of_no_tenant_in_the_same_words(
    estate: Estate, method: str, path: str, document: object
) -> None:
    answers = []
    for kind in (OPERATOR, "acme admin"):
        headers = {**estate.headers[kind], "x-request-id": "mine-1"}
        async with estate.service.client(headers=headers) as client:
            answers.append(await client.request(method, path, json=document))
    assert answers[0].status_code == 404
    assert told(answers[0]) == told(answers[1])


async def test_nothing_is_asked_of_the_batcher_for_a_foreign_tenant(estate: Estate) -> None:
    async with estate.service.client(headers=estate.headers["globex admin"]) as client:
        for path in (
            "/v1/tenants/acme/adapters/support/predict",
            "/v2/models/acme.support/infer",
            "/tei/acme.support/predict",
            "/hf/acme.support",
        ):
            answer = await client.post(path, json={"inputs": ["a text"]})
            assert answer.status_code == 404
    assert estate.service.batcher.jobs == []


async def test_listings_show_what_the_key_sees(estate: Estate) -> None:
    async with estate.service.client() as client:
        for kind, names in (
            ("acme predict", ["acme.support"]),
            ("globex predict", ["globex.support"]),
            (OPERATOR, ["acme.support", "globex.support"]),
        ):
            headers = estate.headers[kind]
            tenants = (await client.get("/v1/tenants", headers=headers)).json()["tenants"]
            assert [f"{tenant['name']}.support" for tenant in tenants] == names
            index = await client.post("/v2/repository/index", headers=headers, json={})
            assert [model["name"] for model in index.json()] == names
            models = (await client.get("/v1/models", headers=headers)).json()["data"]
            assert [model["id"] for model in models if model["parent"] is not None] == names


async def test_an_open_server_asks_for_no_key_and_honours_one(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("globex", "support")
    path = "/v1/tenants/globex"
    async with service.client() as client:
        assert (await client.get(path)).status_code == 200
        for scope in SCOPES:
            headers = service.bearer("acme", scope)
            assert (await client.get(path, headers=headers)).status_code == 404
        assert (await client.get(path, headers=bearer("wrong"))).status_code == 401
        assert (await client.get("/livez", headers=bearer("wrong"))).status_code == 401


async def test_an_admin_key_of_the_settings_does_not_outlive_the_settings(
    service: FakeService,
) -> None:
    async with service.client(headers=bearer(ADMIN_KEY)) as client:
        assert (await client.get("/v1/tenants")).status_code == 401
