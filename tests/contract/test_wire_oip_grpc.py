"""The Open Inference Protocol over gRPC: the same answers, refusals and counts as over HTTP."""

import asyncio
import struct

import grpc
import numpy as np
import pytest

from service.api.problems import KINDS
from service.errors import (
    AdapterQuarantined,
    DeadlinePassed,
    InvalidSettings,
    QueueFull,
    TenantLimited,
)
from service.rpc.open_inference_pb2 import (
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    ModelStatisticsResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from service.rpc.statuses import STATUSES
from tests.fakes.rpc import Metadata, RpcClient, rpc_server_of, serving_rpc
from tests.fakes.service import ADMIN_KEY, FakeService
from tests.fakes.waiting import until
from tests.fixtures_service import MakeService

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("lasting_loop")]

MODEL = "acme.support"
Tensor = ModelInferRequest.InferInputTensor


def packed(*texts: str) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(one)) + one for one in encoded)


def texts_of(*texts: str, model: str = MODEL, version: str = "") -> ModelInferRequest:
    """Return a request with its texts among the tensors."""
    text = Tensor(name="text", datatype="BYTES", shape=[len(texts)])
    text.contents.bytes_contents.extend(one.encode() for one in texts)
    return ModelInferRequest(model_name=model, model_version=version, inputs=[text])


def raw_texts(*texts: str) -> ModelInferRequest:
    """Return a request with its texts as a raw tensor."""
    text = Tensor(name="text", datatype="BYTES", shape=[len(texts), 1])
    return ModelInferRequest(model_name=MODEL, inputs=[text], raw_input_contents=[packed(*texts)])


async def infer(
    client: RpcClient, request: ModelInferRequest, metadata: Metadata = ()
) -> ModelInferResponse:
    return await client.call("ModelInfer", request, ModelInferResponse, metadata)


async def refusal(
    client: RpcClient,
    request: ModelInferRequest | bytes,
    metadata: Metadata = (),
    timeout_s: float = 10.0,
) -> grpc.aio.AioRpcError:
    raw = request if isinstance(request, bytes) else request.SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.call_raw("ModelInfer", raw, metadata, timeout_s)
    return refused.value


def trailing(error: grpc.aio.AioRpcError) -> dict[str, str]:
    return {name: str(value) for name, value in error.trailing_metadata() or ()}


def test_every_problem_has_a_status() -> None:
    assert {kind.status for kind in KINDS.values()} | {405, 500} == STATUSES.keys()


async def test_the_server_and_its_health_are_told_without_a_key(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    async with serving_rpc(service) as client:
        live = await client.call("ServerLive", ServerLiveRequest(), ServerLiveResponse)
        ready = await client.call("ServerReady", ServerReadyRequest(), ServerReadyResponse)
        assert (live.live, ready.ready) == (True, True)
        service.lifecycle.warm = False
        ready = await client.call("ServerReady", ServerReadyRequest(), ServerReadyResponse)
        assert not ready.ready
        told = await client.call("ServerMetadata", ServerMetadataRequest(), ServerMetadataResponse)
    async with service.client() as http:
        document = (await http.get("/v2")).json()
    assert (told.name, told.version) == (document["name"], document["version"])
    assert list(told.extensions) == document["extensions"]


async def test_the_numbers_are_those_of_http(service: FakeService) -> None:
    service.publish("acme", "support")
    asked = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "ä"]}]}
    async with service.client() as http:
        plain = (await http.post(f"/v2/models/{MODEL}/infer", json=asked)).json()
    expected = {output["name"]: output for output in plain["outputs"]}
    async with serving_rpc(service) as client:
        listed = await infer(client, texts_of("a b", "ä"))
        raw = await infer(client, raw_texts("a b", "ä"))
    for answer in (listed, raw):
        assert (answer.model_name, answer.model_version) == (MODEL, "1")
        assert answer.parameters["digest"].string_param == plain["parameters"]["digest"]
        assert answer.parameters["calibrated"].bool_param is False
        assert answer.parameters["truncated"].int64_param == 0
        told = {output.name: output for output in answer.outputs}
        assert list(told) == list(expected)
        for name, output in told.items():
            assert list(output.shape) == expected[name]["shape"]
            assert output.datatype == expected[name]["datatype"]
    contents = {output.name: output.contents for output in listed.outputs}
    labels = expected["label"]["data"]
    assert [one.decode() for one in contents["label"].bytes_contents] == labels
    numbers = np.array(expected["probabilities"]["data"], dtype=np.float32)
    assert list(contents["probabilities"].fp32_contents) == numbers.tolist()
    assert not listed.raw_output_contents, "what was not raw is not answered raw"
    assert [output.name for output in raw.outputs if output.HasField("contents")] == []
    raws = dict(zip([output.name for output in raw.outputs], raw.raw_output_contents, strict=True))
    assert raws["label"] == packed(*labels)
    assert np.frombuffer(raws["probabilities"], "<f4").tolist() == numbers.tolist()


async def test_pairs_outputs_ids_and_parameters_are_taken(service: FakeService) -> None:
    service.publish("acme", "support")
    request = texts_of("a", version="1")
    request.id = "42"
    pair = request.inputs.add(name="pair", datatype="BYTES", shape=[1, 1])
    pair.contents.bytes_contents.append(b"b")
    request.outputs.add(name="embedding")
    request.outputs.add(name="label")
    request.parameters["group"].string_param = "north"
    request.parameters["sequence_id"].int64_param = 7
    async with serving_rpc(service) as client:
        answer = await infer(client, request)
        assert [output.name for output in answer.outputs] == ["embedding", "label"]
        assert answer.id == "42"
        request.id = ""
        answer = await infer(client, request, [("x-request-id", "mine-1")])
        assert answer.id == "mine-1"
    assert service.log.blocks[0].group == "north"


async def test_a_model_tells_of_itself(service: FakeService) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2, live=False)
    service.publish("acme", "draft", live=False)
    async with serving_rpc(service) as client:
        ready = await client.call("ModelReady", ModelReadyRequest(name=MODEL), ModelReadyResponse)
        assert ready.ready
        with pytest.raises(grpc.aio.AioRpcError, match="no-live-version"):
            await client.call(
                "ModelReady", ModelReadyRequest(name="acme.draft"), ModelReadyResponse
            )
        metadata = await client.call(
            "ModelMetadata", ModelMetadataRequest(name=MODEL), ModelMetadataResponse
        )
        assert list(metadata.versions) == ["1", "2"]
        assert {one.name: list(one.shape) for one in metadata.outputs}["probabilities"] == [-1, 3]
        config = await client.call(
            "ModelConfig", ModelConfigRequest(name=MODEL, version="2"), ModelConfigResponse
        )
        assert [(one.name, list(one.dims)) for one in config.config.input] == [
            ("text", [-1]),
            ("pair", [-1]),
        ]
        index = await client.call(
            "RepositoryIndex", RepositoryIndexRequest(), RepositoryIndexResponse
        )
        assert {(one.name, one.state) for one in index.models} == {
            (MODEL, "READY"),
            ("acme.draft", "UNAVAILABLE"),
        }
        index = await client.call(
            "RepositoryIndex", RepositoryIndexRequest(ready=True), RepositoryIndexResponse
        )
        assert [one.name for one in index.models] == [MODEL]


async def test_the_statistics_are_those_of_both_fronts(service: FakeService) -> None:
    service.publish("acme", "support")
    asked = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    async with service.client() as http, serving_rpc(service) as client:
        await http.post(f"/v2/models/{MODEL}/infer", json=asked)
        await infer(client, raw_texts("a", "b"))
        for name in ("", MODEL):
            told = await client.call(
                "ModelStatistics", ModelStatisticsRequest(name=name), ModelStatisticsResponse
            )
            [line] = told.model_stats
            assert (line.name, line.version, line.inference_count) == (MODEL, "1", 3)
            assert line.inference_stats.success.count == 2
            assert line.inference_stats.success.ns > 0


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (texts_of("a", model="nobody.support"), "NOT_FOUND", "unknown-tenant"),
        (texts_of("a", model="acme.nothing"), "NOT_FOUND", "unknown-adapter"),
        (texts_of("a", model="acme"), "NOT_FOUND", "unknown-adapter"),
        (texts_of("a", version="9"), "NOT_FOUND", "unknown-version"),
        (texts_of("a", version="latest"), "NOT_FOUND", "unknown-version"),
        (texts_of(), "INVALID_ARGUMENT", "unacceptable"),
        (ModelInferRequest(model_name=MODEL), "INVALID_ARGUMENT", "unacceptable"),
        (b"\xff\xff\xff", "INVALID_ARGUMENT", "malformed"),
        (b"\x0a\x02\xff\xfe", "INVALID_ARGUMENT", "malformed"),
    ],
)
async def test_what_cannot_be_is_refused_as_over_http(
    service: FakeService, request_: ModelInferRequest | bytes, status: str, code: str
) -> None:
    service.publish("acme", "support")
    async with serving_rpc(service) as client:
        refused = await refusal(client, request_)
    assert refused.code().name == status
    assert (refused.details() or "").endswith(f"[{code}]")
    assert "x-request-id" in trailing(refused)
    assert service.metric("tenantry_refused_total", reason=code) == 1


@pytest.mark.parametrize(
    ("raw", "shape", "what"),
    [
        (packed("a")[:-1], 1, "element 0 says 1 bytes, and 0 are left"),
        (packed("a"), 2, "ends after 1 elements"),
        (packed("a", "b"), 1, "goes on for 5 bytes"),
        (b"\xff\xff\xff\xff", 1, "element 0 says 4294967295 bytes"),
        (struct.pack("<I", 1) + b"\xff", 1, "element 0 is not UTF-8"),
    ],
)
async def test_a_raw_tensor_that_lies_is_told_by_its_place(
    service: FakeService, raw: bytes, shape: int, what: str
) -> None:
    service.publish("acme", "support")
    text = Tensor(name="text", datatype="BYTES", shape=[shape])
    request = ModelInferRequest(model_name=MODEL, inputs=[text], raw_input_contents=[raw])
    async with serving_rpc(service) as client:
        refused = await refusal(client, request)
        assert (refused.code().name, what in (refused.details() or "")) == (
            "INVALID_ARGUMENT",
            True,
        )
        request.raw_input_contents.append(b"")
        assert "1 inputs and 2 raw_input_contents" in str(
            (await refusal(client, request)).details()
        )
        both = texts_of("a")
        both.raw_input_contents.append(packed("a"))
        assert "both contents and raw" in str((await refusal(client, both)).details())


@pytest.mark.parametrize(
    ("error", "status", "code", "pushback"),
    [
        (QueueFull("full"), "UNAVAILABLE", "queue-full", "1000"),
        (TenantLimited("too fast", 2.5), "RESOURCE_EXHAUSTED", "tenant-limited", "3000"),
        (DeadlinePassed("late"), "DEADLINE_EXCEEDED", "deadline-passed", None),
        (AdapterQuarantined("inf"), "FAILED_PRECONDITION", "adapter-quarantined", None),
        (RuntimeError("internals"), "INTERNAL", "internal", None),
    ],
)
async def test_each_failure_has_its_status_and_says_when_to_come_again(
    service: FakeService, error: Exception, status: str, code: str, pushback: str | None
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    async with serving_rpc(service) as client:
        refused = await refusal(client, texts_of("a"))
    assert (refused.code().name, (refused.details() or "").endswith(f"[{code}]")) == (status, True)
    assert trailing(refused).get("grpc-retry-pushback-ms") == pushback
    assert "internals" not in str(refused)


async def test_a_key_opens_its_tenant_alone(service_with: MakeService) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    service.publish("acme", "support")
    service.publish("globex", "support")
    mine = list(service.bearer("acme", "predict").items())
    async with serving_rpc(service) as client:
        assert (await refusal(client, texts_of("a"))).code().name == "UNAUTHENTICATED"
        wrong = await refusal(client, texts_of("a"), [("authorization", "Bearer wrong")])
        assert wrong.code().name == "UNAUTHENTICATED"
        assert (await infer(client, texts_of("a"), mine)).model_version == "1"
        foreign = await refusal(client, texts_of("a", model="globex.support"), mine)
        absent = await refusal(client, texts_of("a", model="nobody.support"), mine)
        assert foreign.code() == absent.code() == grpc.StatusCode.NOT_FOUND
        assert str(foreign.details()).replace("globex", "nobody") == absent.details()
        for name, asked in (
            ("ModelReady", ModelReadyRequest(name="globex.support")),
            ("ModelMetadata", ModelMetadataRequest(name="globex.support")),
            ("ModelConfig", ModelConfigRequest(name="globex.support")),
            ("ModelStatistics", ModelStatisticsRequest(name="globex.support")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as hidden:
                await client.call(name, asked, ModelReadyResponse, mine)
            assert hidden.value.details() == foreign.details()
        index = await client.call(
            "RepositoryIndex", RepositoryIndexRequest(), RepositoryIndexResponse, mine
        )
        assert [one.name for one in index.models] == [MODEL]
        admin = [("authorization", f"Bearer {ADMIN_KEY}")]
        await infer(client, texts_of("a", model="globex.support"), admin)
        told = await client.call(
            "ModelStatistics", ModelStatisticsRequest(), ModelStatisticsResponse, mine
        )
        assert [one.name for one in told.model_stats] == [MODEL]
        publish = list(service.bearer("acme", "publish").items())
        assert (await refusal(client, texts_of("a"), publish)).code().name == "PERMISSION_DENIED"


async def test_the_deadline_of_the_call_and_the_metadata_hold(service: FakeService) -> None:
    service.publish("acme", "support")
    async with serving_rpc(service) as client:
        await client.call("ModelInfer", texts_of("a"), ModelInferResponse, timeout_s=None)
        [job] = service.batcher.jobs
        loose = job.deadline_s
        await infer(client, texts_of("a"), [("x-timeout-ms", "700")])
        await client.call("ModelInfer", texts_of("a"), ModelInferResponse, timeout_s=0.9)
        _, short, shorter = service.batcher.jobs
        assert loose is not None
        assert short.deadline_s is not None
        assert shorter.deadline_s is not None
        assert short.deadline_s < loose - 50
        assert shorter.deadline_s < loose - 50
        wrong = await refusal(client, texts_of("a"), [("x-timeout-ms", "soon")])
        assert wrong.code().name == "INVALID_ARGUMENT"


async def test_a_trace_is_continued_and_every_call_is_counted(service: FakeService) -> None:
    service.publish("acme", "support")
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = (("traceparent", f"00-{trace}-b7ad6b7169203331-01"), ("x-request-id", "r-1"))
    async with serving_rpc(service) as client:
        method = client.method("ModelInfer")
        call = method(texts_of("a").SerializeToString(), metadata=metadata)
        await call
        told = dict(tuple(await call.trailing_metadata()))
        assert told["x-request-id"] == "r-1"
        assert str(told["traceparent"]).startswith(f"00-{trace}-")
        await refusal(client, texts_of("a", model="acme.nothing"))
    assert service.log.blocks[0].trace_id == trace
    for status, count in (("2xx", 1), ("4xx", 1), ("5xx", 0)):
        counted = service.metric("tenantry_requests_total", route="grpc ModelInfer", status=status)
        assert counted == count
    assert service.lifecycle.under_way == 0


async def test_a_message_beyond_the_limit_is_refused_compressed_or_not(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    large = texts_of("x" * 5000)
    bomb = texts_of("x" * 50_000_000).SerializeToString()
    async with serving_rpc(service, max_body_bytes=4096) as client:
        assert (await refusal(client, large)).code().name == "RESOURCE_EXHAUSTED"
        method = client.method("ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(bomb, compression=grpc.Compression.Gzip, timeout=10)
        assert refused.value.code().name == "RESOURCE_EXHAUSTED"
        small = await method(
            texts_of("x" * 3000).SerializeToString(), compression=grpc.Compression.Gzip, timeout=10
        )
        assert ModelInferResponse.FromString(small).model_version == "1"
    assert service.app.shared.bodies.held_bytes == 0


async def test_a_call_that_sends_no_message_ends_by_itself(service: FakeService) -> None:
    async with serving_rpc(service, body_timeout_s=0.2) as client:
        method = client.streaming("ModelInfer")
        silent = method(timeout=10)
        with pytest.raises(grpc.aio.AioRpcError, match="did not arrive"):
            await silent
        empty = method(timeout=10)
        await empty.done_writing()
        with pytest.raises(grpc.aio.AioRpcError, match="without a message"):
            await empty
        probe = client.streaming("ServerLive")(timeout=10)
        assert ServerLiveResponse.FromString(await probe).live, "a probe is not waited for"
    assert service.lifecycle.under_way == 0


async def test_a_tenant_that_sends_no_messages_holds_up_nobody_else(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    for tenant in ("acme", "globex"):
        service.publish(tenant, "support")
    acme, globex = (
        tuple(service.bearer(tenant, "predict").items()) for tenant in ("acme", "globex")
    )
    two_places = {"max_body_bytes": 1024, "bodies_bytes_max": 2048}
    async with serving_rpc(service, **two_places) as client:
        silent = [client.streaming("ModelInfer")(metadata=acme, timeout=20) for _ in range(5)]
        await until(lambda: service.lifecycle.under_way == 5)
        answer = await infer(client, texts_of("a", model="globex.support"), globex)
        assert answer.model_name == "globex.support"
        for call in silent:
            call.cancel()
        await until(lambda: service.lifecycle.under_way == 0)


async def test_a_client_that_leaves_is_counted_as_left(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with serving_rpc(service) as client:
        method = client.method("ModelInfer")
        call = method(texts_of("a").SerializeToString(), timeout=10)
        await until(lambda: bool(service.batcher.jobs))
        call.cancel()
        await until(lambda: service.lifecycle.under_way == 0)
    left = service.metric("tenantry_requests_total", route="grpc ModelInfer", status="left")
    assert left == 1
    assert service.app.shared.bodies.held_bytes == 0


async def test_while_draining_new_calls_are_turned_away_and_old_ones_end(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with serving_rpc(service) as client:
        accepted = asyncio.create_task(infer(client, texts_of("a")))
        await until(lambda: bool(service.batcher.jobs))
        service.lifecycle.draining = True
        refused = await refusal(client, texts_of("a"))
        assert (refused.code().name, trailing(refused)["retry-after"]) == ("UNAVAILABLE", "1")
        ready = await client.call("ServerReady", ServerReadyRequest(), ServerReadyResponse)
        assert not ready.ready
        service.batcher.gate.set()
        assert (await accepted).model_version == "1"


async def test_what_is_not_offered_is_unimplemented(service: FakeService) -> None:
    async with serving_rpc(service) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call_raw("RepositoryModelLoad", b"")
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_that_is_taken_is_an_error_that_names_the_setting(
    service: FakeService,
) -> None:
    first, second = rpc_server_of(service), rpc_server_of(service)
    port = await first.start("127.0.0.1", 0)
    try:
        with pytest.raises(InvalidSettings, match="TENANTRY_GRPC_PORT"):
            await second.start("127.0.0.1", port)
    finally:
        await first.stop(0)
        await second.stop(0)
