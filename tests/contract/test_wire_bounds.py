"""What a key may send or ask for does not grow with what the others have, nor hold them up."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import httpx
import pytest

from service.api.desk import EACH_MAX
from service.api.documents import DOCUMENT_BYTES_MAX
from service.credentials.scopes import Scope
from service.registry import versions
from service.registry.records import AdapterSummary
from tests.contract.test_wire_native import check_problem
from tests.fakes.service import ADMIN_KEY
from tests.fakes.waiting import until
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
    shown["metadata"]["card"] = None
    assert listed == shown


async def test_one_tenant_s_many_questions_leave_threads_to_others(
    service_with: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    for tenant in ("acme", "globex"):
        service.publish(tenant, "support")
    acme, globex = (service.bearer(tenant, "publish") for tenant in ("acme", "globex"))
    waiting, go_on = [], threading.Event()
    adapters = service.registry.adapters

    def slow(tenant: str) -> list[AdapterSummary]:
        if tenant == "acme":
            waiting.append(tenant)
            assert go_on.wait(20)
        return adapters(tenant)

    monkeypatch.setattr(service.registry, "adapters", slow)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(EACH_MAX + 1))
    async with service.client() as client:

        async def ask(tenant: str, headers: dict[str, str]) -> httpx.Response:
            return await client.get(f"/v1/tenants/{tenant}/adapters", headers=headers)

        many = [asyncio.ensure_future(ask("acme", acme)) for _ in range(EACH_MAX + 3)]
        await until(lambda: len(waiting) == EACH_MAX)
        assert (await ask("globex", globex)).status_code == 200
        asked = await client.post(
            "/v1/tenants/acme/adapters/support/predict",
            headers=service.bearer("acme", "predict"),
            json={"inputs": ["a text"]},
        )
        assert asked.status_code == 200, "predictions have limits of their own"
        go_on.set()
        answers = await asyncio.gather(*many)
    assert sorted(answer.status_code for answer in answers) == [200] * EACH_MAX + [429] * 3
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    check_problem(refused, 429, "tenant-limited")
