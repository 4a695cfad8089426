"""`tenantry_tenant_answers_total`: each request for an adapter once, on whatever wire it came."""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import httpx
import pytest

from service.api.connection import SURPLUS
from service.batching.answers import Answer
from service.batching.jobs import Job
from service.errors import AdapterQuarantined, QueueFull, TenantLimited
from service.registry.records import TenantSettings
from service.rpc.open_inference_pb2 import ModelInferRequest
from tests.fakes.rpc import RpcClient, serving_rpc
from tests.fakes.service import ADMIN_KEY, ORIGIN, FakeService, bearer
from tests.fakes.waiting import until
from tests.fixtures_service import MakeService

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("lasting_loop")]

NATIVE = "/v1/tenants/acme/adapters/support/predict"
OIP_INPUTS = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]
# Every way to ask the adapter `support` of `acme` over HTTP.
WIRES: dict[str, tuple[str, dict[str, Any]]] = {
    "native": (NATIVE, {"inputs": ["a"]}),
    "version": ("/v1/tenants/acme/adapters/support/versions/1/predict", {"inputs": ["a"]}),
    "oip": ("/v2/models/acme.support/infer", {"inputs": OIP_INPUTS}),
    "oip-version": ("/v2/models/acme.support/versions/1/infer", {"inputs": OIP_INPUTS}),
    "tei": ("/tei/acme.support/predict", {"inputs": "a"}),
    "tei-embed": ("/tei/acme.support/embed", {"inputs": "a"}),
    "hf": ("/hf/acme.support", {"inputs": "a"}),
    "vllm": ("/classify", {"model": "acme.support", "input": "a"}),
}
NAMED_IN_PATH = sorted(WIRES.keys() - {"vllm"})  # where a request is known before it is read
EVERY_WIRE = pytest.mark.parametrize("wire", sorted(WIRES))


def answers(service: FakeService) -> dict[tuple[str, str, str], float]:
    """Return the answers that were counted, by tenant, class and outcome."""
    return {
        (sample.labels["tenant"], sample.labels["class"], sample.labels["outcome"]): sample.value
        for family in service.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tenantry_tenant_answers_total" and sample.value
    }


async def ask(service: FakeService, wire: str, headers: Mapping[str, str] | None = None) -> int:
    path, document = WIRES[wire]
    async with service.client() as client:
        return (await client.post(path, json=document, headers=dict(headers or {}))).status_code


async def infer(client: RpcClient, model: str = "acme.support", timeout_s: float = 10.0) -> None:
    tensor = ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"a")
    raw = ModelInferRequest(model_name=model, inputs=[tensor]).SerializeToString()
    await client.call_raw("ModelInfer", raw, timeout_s=timeout_s)


def of_class(service: FakeService, kind: str) -> None:
    service.registry.put_tenant("acme", TenantSettings.model_validate({"class": kind}), "tests")


@EVERY_WIRE
async def test_an_answer_counts_once_under_its_tenant_and_class(
    service: FakeService, wire: str
) -> None:
    service.publish("acme", "support")
    of_class(service, "gold")
    assert await ask(service, wire) == 200
    assert answers(service) == {("acme", "gold", "ok"): 1}
    assert service.metric("tenantry_prepare_seconds_count") == 1


async def test_a_live_adapter_s_tenant_is_counted_from_zero(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("globex", "support", seed=1, live=False)
    of_class(service, "gold")
    async with service.client() as client:
        told = (await client.get("/metrics")).text
    assert 'tenantry_tenant_answers_total{class="gold",outcome="failed",tenant="acme"} 0.0' in told
    assert 'tenant="globex"' not in told


async def test_more_tenants_than_series_have_them_as_they_ask(service_with: MakeService) -> None:
    service = service_with(tenant_series_max=1)
    service.publish("globex", "support", seed=1)
    service.publish("acme", "support")
    async with service.client() as client:
        assert 'tenant="globex"' not in (await client.get("/metrics")).text
    await ask(service, "native")
    assert answers(service) == {("acme", "standard", "ok"): 1}


@EVERY_WIRE
async def test_an_answer_beyond_the_objective_of_its_class_is_slow(
    service_with: MakeService, wire: str
) -> None:
    service = service_with(class_latency_objectives=("gold=0.000000001",))
    service.publish("acme", "support")
    await ask(service, wire)
    of_class(service, "gold")
    await ask(service, wire)
    assert answers(service) == {("acme", "standard", "ok"): 1, ("acme", "gold", "slow"): 1}


@EVERY_WIRE
@pytest.mark.parametrize("error", [QueueFull("full"), RuntimeError("a bug")])
async def test_an_error_of_ours_is_a_failure_whatever_status_its_wire_says(
    service: FakeService, wire: str, error: Exception
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    assert await ask(service, wire) >= 429  # a full queue, as Text Embeddings Inference says it
    assert answers(service) == {("acme", "standard", "failed"): 1}


@EVERY_WIRE
@pytest.mark.parametrize("error", [AdapterQuarantined("gone"), TenantLimited("enough", 1.0)])
async def test_what_is_refused_is_not_counted(
    service: FakeService, wire: str, error: Exception
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    assert await ask(service, wire) in {409, 424, 429}
    async with service.client() as client:
        path, _ = WIRES[wire]
        assert (await client.post(path, content=b"{")).status_code >= 400
    assert answers(service) == {}


@EVERY_WIRE
async def test_a_request_for_an_adapter_that_is_not_there_is_nobody_s(
    service: FakeService, wire: str
) -> None:
    service.publish("acme", "other")
    service.batcher.error = RuntimeError("a bug")
    assert await ask(service, wire) == 404
    assert answers(service) == {}


@pytest.mark.parametrize("wire", NAMED_IN_PATH)
async def test_a_request_that_is_turned_away_unread_is_a_failure_of_the_adapter_in_its_path(
    service: FakeService, wire: str
) -> None:
    service.publish("acme", "support")
    service.lifecycle.draining = True
    assert await ask(service, wire) == 503
    assert answers(service) == {("acme", "standard", "failed"): 1}


async def test_a_connection_too_many_fails_the_adapter_that_it_asks_for(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    app = service.app

    class Crowded:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, SURPLUS: True}, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Crowded()), base_url=ORIGIN
    ) as client:
        for path in (NATIVE, "/v1/tenants/acme/adapters/gone/predict", "/v1/tenants/x", "/nowhere"):
            assert (await client.post(path, json={"inputs": ["a"]})).status_code == 503
    assert answers(service) == {("acme", "standard", "failed"): 1}


async def test_bodies_that_find_no_room_fail_the_adapter_that_they_are_for(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    bodies = service.app.shared.bodies
    bodies.held_bytes = bodies._bytes_max
    assert await ask(service, "native") == 503
    assert answers(service) == {("acme", "standard", "failed"): 1}


@pytest.mark.parametrize(
    ("headers", "counted"),
    [
        ({}, {}),
        (bearer("no-such-key"), {}),
        (bearer(ADMIN_KEY), {("acme", "standard", "failed"): 1}),
    ],
)
async def test_only_who_may_ask_can_be_failed(
    service_with: MakeService, headers: dict[str, str], counted: dict[tuple[str, str, str], float]
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    service.publish("acme", "support")
    service.lifecycle.draining = True
    assert await ask(service, "native", headers) == 503
    assert answers(service) == counted


async def test_a_key_fails_with_the_adapters_of_its_own_tenant_alone(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    service.publish("acme", "support")
    foreign, own = service.bearer("other", "predict"), service.bearer("acme", "predict")
    publisher = service.bearer("acme", "publish")
    service.lifecycle.draining = True
    for headers in (foreign, publisher, own):
        assert await ask(service, "native", headers) == 503
    assert answers(service) == {("acme", "standard", "failed"): 1}


@pytest.mark.parametrize(
    ("given", "counted"),
    [("20", {}), ("199", {}), ("200", {("acme", "standard", "failed"): 1})],
)
async def test_a_deadline_is_our_failure_where_the_caller_left_us_the_objective(
    service_with: MakeService, given: str, counted: dict[tuple[str, str, str], float]
) -> None:
    service = service_with(latency_objective_s=0.2)
    service.publish("acme", "support")
    service.batcher.gate.clear()
    assert await ask(service, "native", {"x-timeout-ms": given}) == 504
    assert answers(service) == counted


async def test_a_deadline_of_the_server_s_own_is_our_failure(service_with: MakeService) -> None:
    service = service_with(request_timeout_s_max=0.02)
    service.publish("acme", "support")
    service.batcher.gate.clear()
    assert await ask(service, "native") == 504
    assert answers(service) == {("acme", "standard", "failed"): 1}


async def test_a_client_that_left_is_not_counted(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    scope = {
        "type": "http",
        "method": "POST",
        "path": NATIVE,
        "raw_path": NATIVE.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost:8000"), (b"content-type", b"application/json")],
        "server": ("localhost", 8000),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "http_version": "1.1",
    }
    messages = [{"type": "http.request", "body": b'{"inputs": ["a"]}', "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await until(lambda: bool(service.batcher.waiting))
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await service.app(scope, receive, send)
    assert sent == []
    assert answers(service) == {}


async def test_what_is_no_question_to_an_adapter_is_not_counted(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        for path in ("/", "/v1/tenants/acme/adapters/support", "/v2/models/acme.support"):
            assert (await client.get(path)).status_code == 200
        service.lifecycle.draining = True
        for path in ("/v1/tenants/acme/adapters/support", "/tei/acme.support/health"):
            assert (await client.get(path)).status_code == 503
        versions = "/v1/tenants/acme/adapters/support/versions"
        assert (await client.post(versions, content=b"")).status_code == 503
    assert answers(service) == {}


async def test_calls_over_grpc_count_as_requests_over_http_do(service: FakeService) -> None:
    service.publish("acme", "support")
    async with serving_rpc(service) as client:
        await infer(client)
        assert answers(service) == {("acme", "standard", "ok"): 1}
        for error in (QueueFull("full"), RuntimeError("a bug"), TenantLimited("enough", 1.0)):
            service.batcher.error = error
            with pytest.raises(grpc.aio.AioRpcError):
                await infer(client)
        service.batcher.error = None
        with pytest.raises(grpc.aio.AioRpcError):
            await infer(client, "acme.gone")
    assert answers(service) == {("acme", "standard", "ok"): 1, ("acme", "standard", "failed"): 2}


@pytest.mark.parametrize(
    ("objective_s", "counted"), [(5.0, {}), (0.05, {("acme", "standard", "failed"): 1})]
)
async def test_a_deadline_over_grpc_is_our_failure_where_it_left_us_the_objective(
    service_with: MakeService, objective_s: float, counted: dict[tuple[str, str, str], float]
) -> None:
    service = service_with(latency_objective_s=objective_s)
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with serving_rpc(service) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await infer(client, timeout_s=0.2)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: service.lifecycle.under_way == 0)
    assert answers(service) == counted


@pytest.mark.parametrize(
    ("objective_s", "counted"), [(5.0, {}), (0.05, {("acme", "standard", "failed"): 1})]
)
async def test_a_deadline_that_grpc_notices_before_the_service_is_a_failure_too(
    service_with: MakeService, objective_s: float, counted: dict[tuple[str, str, str], float]
) -> None:
    service = service_with(latency_objective_s=objective_s)
    service.publish("acme", "support")

    async def never(job: Job) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError(job)

    service.batcher.answer = never  # type: ignore[method-assign]
    async with serving_rpc(service) as client:
        with pytest.raises(grpc.aio.AioRpcError):
            await infer(client, timeout_s=0.2)
        await until(lambda: service.lifecycle.under_way == 0)
    assert answers(service) == counted


async def test_a_call_that_was_cancelled_is_not_counted(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with serving_rpc(service) as client:
        asking = asyncio.create_task(infer(client))
        await until(lambda: bool(service.batcher.waiting))
        asking.cancel()
        await until(lambda: service.lifecycle.under_way == 0)
    assert answers(service) == {}
