"""What a key may send or ask for does not grow with what the others have, nor hold them up."""

from typing import NoReturn

import pytest

from service.api.documents import DOCUMENT_BYTES_MAX
from service.registry import versions
from service.registry.records import Scope
from tests.contract.test_wire_native import check_problem
from tests.fakes.service import ADMIN_KEY
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("PUT", "/v1/tenants/acme/adapters/support/rollout", "publish"),
        ("POST", "/v1/tenants/acme/keys", "admin"),
        ("POST", "/v2/repository/index", "predict"),
    ],
)
async def test_a_document_of_a_key_is_small(
    service_with: MakeService, method: str, path: str, scope: Scope
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    service.publish("acme", "support")
    padded = b"{" + b" " * DOCUMENT_BYTES_MAX + b"}"
    headers = service.bearer("acme", scope)
    async with service.client(headers=headers) as client:
        answer = await client.request(method, path, content=padded)
        assert answer.status_code == 413
        if path.startswith("/v1"):
            check_problem(answer, 413, "body-too-large")
        fits = await client.request(method, path, content=padded[:DOCUMENT_BYTES_MAX])
        assert fits.status_code != 413


@pytest.mark.parametrize("path", ["/v1/tenants", "/v1/models", "/v2/repository/index"])
async def test_a_tenant_s_listing_reads_nothing_of_others(
    service_with: MakeService, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    for tenant in ("acme", "globex"):
        service.publish(tenant, "support")
    headers = service.bearer("acme", "predict")

    def of_all() -> NoReturn:
        raise AssertionError("this reads every tenant")

    monkeypatch.setattr(service.registry, "tenants", of_all)
    async with service.client(headers=headers) as client:
        method = "POST" if path.endswith("index") else "GET"
        answer = await client.request(method, path)
    assert answer.status_code == 200
    assert "acme" in answer.text
    assert "globex" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tenants/acme/adapters/support/versions/1",
        "/v1/tenants/acme/adapters/support/versions/1/report",
        "/v1/tenants/acme/adapters/support/rollout",
        "/v2/models/acme.support",
        "/v2/models/acme.support/versions/1/config",
        "/tei/acme.support/info",
    ],
)
async def test_what_is_told_of_one_version_reads_no_others(
    service_with: MakeService, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    for seed in range(2):
        service.publish("acme", "support", seed=seed)

    def of_all(*_: object, **__: object) -> NoReturn:
        raise AssertionError("this reads every version, with its report and its card")

    monkeypatch.setattr(versions, "of_adapter", of_all)
    async with service.client(headers=service.bearer("acme", "admin")) as client:
        assert (await client.get(path)).status_code == 200
        rollout = "/v1/tenants/acme/adapters/support/rollout"
        assert (await client.put(rollout, json={"live": 1})).status_code == 200
        back = await client.post("/v1/tenants/acme/adapters/support/rollback")
        assert back.json()["live"] == 2


async def test_lists_of_versions_leave_their_cards_out(service_with: MakeService) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    service.publish("acme", "support", card="# A long one", owner="a team")
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        path = "/v1/tenants/acme/adapters/support/versions"
        [listed] = (await client.get(path)).json()["versions"]
        shown = (await client.get(f"{path}/1")).json()
    assert shown["metadata"]["card"] == "# A long one"
    del shown["metadata"]["card"]
    assert listed == shown
