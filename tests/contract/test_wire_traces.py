"""Traces on every wire: W3C context in and out, who is recorded, and what a span never says."""

import re
from typing import Any

import pytest

from service.rpc.open_inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelReadyRequest,
    ModelReadyResponse,
)
from tests.fakes.noted import NoteSink, noted_tracing
from tests.fakes.rpc import serving_rpc
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
PREDICT = "/v1/tenants/acme/adapters/support/predict"
TEXTS = {"inputs": ["a secret text"]}
FORM = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("lasting_loop")]


def context(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-{flags}", "tracestate": "rojo=1,congo=2"}


class Traced:
    """A service that records, and its notes."""

    def __init__(self, make: MakeService, ratio: float = 1.0, **options: Any) -> None:
        follow = options.pop("follow", False)
        tenants = options.pop("tenants", None)
        tracing, self.sink = noted_tracing(ratio, tenants, follow=follow)
        # The fake batcher has no bare backbone whose answer the log would wait for.
        self.service: FakeService = make(tracing=tracing, base_embedding_ratio=0.0, **options)
        self.labels = self.service.publish("acme", "support").labels

    async def ask(
        self, path: str = PREDICT, json: Any = TEXTS, **headers: str
    ) -> tuple[int, tuple[str, str, str] | None]:
        """Return the status and the parts of the answer's `traceparent`."""
        async with self.service.client() as client:
            answer = await client.post(path, json=json, headers=headers)
        told = answer.headers.get("traceparent")
        if told is None:
            return answer.status_code, None
        found = FORM.fullmatch(told)
        assert found, told
        return answer.status_code, (found[1], found[2], found[3])


def only(sink: NoteSink) -> dict[str, Any]:
    """Return what the only recorded request's span says."""
    [note] = sink.requests
    return {"name": note.name, "failed": note.failed, **note.trace.attributes}


async def test_without_tracing_a_callers_trace_is_continued_and_none_is_begun(
    service_with: MakeService,
) -> None:
    service = service_with(base_embedding_ratio=0.0)
    service.publish("acme", "support")
    async with service.client() as client:
        plain = await client.post(PREDICT, json=TEXTS)
        continued = await client.post(PREDICT, json=TEXTS, headers=context())
    assert "traceparent" not in plain.headers
    assert continued.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert continued.headers["traceparent"].endswith("-01")
    assert [block.trace_id for block in service.log.blocks] == [None, TRACE]
    assert {block.trace for block in service.log.blocks} == {None}


async def test_a_recorded_request_continues_the_callers_trace_and_tells_its_own_span(
    service_with: MakeService,
) -> None:
    traced = Traced(service_with)
    status, told = await traced.ask(**context())
    [note] = traced.sink.requests
    assert (status, told) == (200, (TRACE, note.trace.span_id, "01"))
    assert (note.trace.trace_id, note.trace.parent_id) == (TRACE, PARENT)
    assert note.trace.state == b"rojo=1,congo=2"
    [block] = traced.service.log.blocks
    assert (block.trace_id, block.trace) == (TRACE, note.trace)


async def test_a_recorded_request_without_a_caller_begins_a_trace(
    service_with: MakeService,
) -> None:
    traced = Traced(service_with)
    _, told = await traced.ask()
    [note] = traced.sink.requests
    assert told == (note.trace.trace_id, note.trace.span_id, "01")
    assert note.trace.parent_id is None


async def test_a_request_that_is_not_recorded_has_a_trace_too_and_says_that_nobody_records(
    service_with: MakeService,
) -> None:
    traced = Traced(service_with, 0.0)
    _, begun = await traced.ask()
    _, continued = await traced.ask(**context("01"))
    assert begun is not None
    assert continued is not None
    assert (begun[2], continued[0], continued[2]) == ("00", TRACE, "00")
    assert [block.trace_id for block in traced.service.log.blocks] == [begun[0], TRACE]
    assert traced.sink.notes == []


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
    ],
)
async def test_a_malformed_context_is_no_context(service_with: MakeService, given: str) -> None:
    traced = Traced(service_with)
    status, told = await traced.ask(traceparent=given, tracestate="rojo=1")
    [note] = traced.sink.requests
    assert status == 200
    assert told is not None
    assert told[0] == note.trace.trace_id != TRACE
    assert (note.trace.parent_id, note.trace.state) == (None, b"")


async def test_tenants_are_recorded_by_their_own_ratios_on_every_wire(
    service_with: MakeService,
) -> None:
    traced = Traced(service_with, 0.0, tenants={"acme": 1.0})
    traced.service.publish("globex", "support", seed=1)
    for tenant in ("acme", "globex"):
        model = f"{tenant}.support"
        oip = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}
        for path, json in (
            (f"/v1/tenants/{tenant}/adapters/support/predict", TEXTS),
            (f"/v2/models/{model}/infer", oip),
            (f"/tei/{model}/predict", {"inputs": "x"}),
            (f"/hf/{model}", {"inputs": "x"}),
            ("/classify", {"model": model, "input": "x"}),
        ):
            status, told = await traced.ask(path, json)
            assert status == 200, path
            assert told is not None
            assert told[2] == ("01" if tenant == "acme" else "00"), path
    assert {note.trace.attributes["tenantry.tenant"] for note in traced.sink.requests} == {"acme"}
    assert [note.name for note in traced.sink.requests] == [
        "POST /v1/tenants/{tenant}/adapters/{adapter}/predict",
        "POST /v2/models/{model}/infer",
        "POST /tei/{model}/predict",
        "POST /hf/{model}",
        "POST /classify",
    ]


async def test_callers_decide_only_where_they_are_followed(service_with: MakeService) -> None:
    ignoring, following = Traced(service_with, 0.0), Traced(service_with, 1.0, follow=True)
    for flags, recorded in (("01", 1), ("00", 1)):
        await ignoring.ask(**context(flags))
        await following.ask(**context(flags))
        assert len(ignoring.sink.requests) == 0
        assert len(following.sink.requests) == recorded


async def test_the_span_says_what_the_conventions_ask_for_and_what_answered(
    service_with: MakeService,
) -> None:
    traced = Traced(service_with)
    await traced.ask(**{"x-request-id": "mine"})
    told = only(traced.sink)
    assert told.pop("tenantry.digest").startswith("sha256:")
    assert told == {
        "name": "POST /v1/tenants/{tenant}/adapters/{adapter}/predict",
        "failed": None,
        "http.request.method": "POST",
        "http.route": "/v1/tenants/{tenant}/adapters/{adapter}/predict",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": PREDICT,
        "network.protocol.version": "1.1",
        "server.address": "localhost",
        "server.port": 8000,
        "tenantry.request_id": "mine",
        "tenantry.tenant": "acme",
        "tenantry.adapter": "support",
        "tenantry.version": 1,
        "tenantry.role": "live",
        "tenantry.tokens": 3,
    }
    [note] = traced.sink.requests
    [prepare] = note.trace.stages
    assert (prepare.name, prepare.attributes) == ("prepare", {"tenantry.inputs": 1})
    assert note.trace.started_s <= prepare.started_s <= prepare.ended_s <= note.ended_s


@pytest.mark.parametrize(
    ("json", "error", "status", "code", "failed"),
    [
        ({"inputs": []}, None, 422, "unacceptable", None),
        (TEXTS, RuntimeError("a secret text"), 500, "internal", "internal"),
    ],
)
async def test_a_request_that_ends_in_an_error_says_which(
    service_with: MakeService,
    json: Any,
    error: Exception | None,
    status: int,
    code: str,
    failed: str | None,
) -> None:
    traced = Traced(service_with)
    traced.service.batcher.error = error
    await traced.ask(json=json)
    told = only(traced.sink)
    assert (told["http.response.status_code"], told["tenantry.problem"]) == (status, code)
    assert told["failed"] == failed


async def test_what_is_no_tenants_is_not_recorded(service_with: MakeService) -> None:
    traced = Traced(service_with)
    async with traced.service.client() as client:
        for path in (
            "/livez",
            "/readyz",
            "/metrics",
            "/",
            "/docs",
            "/v2",
            "/v1/models",
            "/nowhere",
        ):
            await client.get(path)
        await client.post("/v1/feedback", json={"labels": []})
    assert traced.sink.notes == []


async def test_who_is_refused_at_the_door_is_not_recorded(service_with: MakeService) -> None:
    traced = Traced(service_with, admin_key=ADMIN_KEY)
    other = traced.service.key("globex", "predict")
    assert (await traced.ask())[0] == 401
    assert (await traced.ask(**bearer(other)))[0] == 404
    assert traced.sink.notes == []


async def test_a_key_in_the_place_of_a_name_or_an_id_is_in_no_span(
    service_with: MakeService,
) -> None:
    traced = Traced(service_with, admin_key=ADMIN_KEY)
    key = traced.service.key("acme", "admin")
    async with traced.service.client(headers=bearer(ADMIN_KEY)) as client:
        await client.delete(f"/v1/tenants/acme/keys/{key}")
        await client.get(f"/v1/tenants/{key}")
        await client.get(f"/v1/tenants/acme/adapters/{key}")
        await client.post(PREDICT, json=TEXTS, params={"key": key})
    assert len(traced.sink.requests) == 3
    told = str([note.trace.attributes for note in traced.sink.requests])
    assert key.rpartition("_")[2] not in told
    assert "/v1/tenants/acme/keys/{key}" in told


async def test_no_span_holds_a_text_a_label_or_a_key(service_with: MakeService) -> None:
    traced = Traced(service_with, admin_key=ADMIN_KEY)
    json = {"inputs": ["a secret text"], "routing_key": "secret-user", "group": "secret-group"}
    assert (await traced.ask(json=json, **bearer(ADMIN_KEY)))[0] == 200
    told = str([(note, note.trace) for note in traced.sink.requests])
    for secret in ("secret", ADMIN_KEY, *traced.labels):
        assert secret not in told


async def test_grpc_continues_a_trace_in_its_metadata(service_with: MakeService) -> None:
    traced = Traced(service_with)
    request = ModelInferRequest(model_name="acme.support")
    given = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    given.contents.bytes_contents.append(b"a secret text")
    async with serving_rpc(traced.service) as client:
        metadata = tuple(context().items())
        call = client.method("ModelInfer")(request.SerializeToString(), metadata=metadata)
        answer = ModelInferResponse.FromString(await call)
        told = dict(await call.trailing_metadata() or ())
        await client.call("ModelReady", ModelReadyRequest(name="acme.support"), ModelReadyResponse)
    assert answer.model_version == "1"
    note = traced.sink.requests[0]
    assert told["traceparent"] == f"00-{TRACE}-{note.trace.span_id}-01"
    assert (note.trace.trace_id, note.trace.parent_id) == (TRACE, PARENT)
    assert note.name == "inference.GRPCInferenceService/ModelInfer"
    assert note.trace.attributes["rpc.system.name"] == "grpc"
    assert note.trace.attributes["rpc.method"] == note.name
    assert note.trace.attributes["rpc.response.status_code"] == "OK"
    assert note.trace.attributes["tenantry.tenant"] == "acme"
    assert "secret" not in str(note)


async def test_a_call_of_grpc_that_fails_tells_its_span_too(service_with: MakeService) -> None:
    traced = Traced(service_with)
    request = ModelInferRequest(model_name="acme.nowhere")
    given = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    given.contents.bytes_contents.append(b"x")
    async with serving_rpc(traced.service) as client:
        call = client.method("ModelInfer")(request.SerializeToString())
        assert (await call.code()).name == "NOT_FOUND"
        told = dict(await call.trailing_metadata() or ())
    [note] = traced.sink.requests
    assert told["traceparent"] == f"00-{note.trace.trace_id}-{note.trace.span_id}-01"
    assert note.trace.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert note.trace.attributes["tenantry.problem"] == "unknown-adapter"
    assert note.failed is None


async def test_recorded_requests_are_exemplars_in_openmetrics(service_with: MakeService) -> None:
    traced = Traced(service_with, 0.0, tenants={"acme": 1.0})
    traced.service.publish("globex", "support", seed=1)
    _, recorded = await traced.ask()
    _, other = await traced.ask("/v1/tenants/globex/adapters/support/predict")
    assert recorded is not None
    assert other is not None
    async with traced.service.client() as client:
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        text = (await client.get("/metrics", headers=accept)).text
        plain = (await client.get("/metrics")).text
    lines = [line for line in text.splitlines() if f'# {{trace_id="{recorded[0]}"}}' in line]
    names = {line.partition("_bucket")[0] for line in lines}
    assert names == {"tenantry_request_seconds", "tenantry_queue_seconds"}
    assert other[0] not in text
    assert "trace_id" not in plain
