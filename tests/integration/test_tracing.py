"""Traces of the real service in a real receiver of OTLP: complete, by tenant, and never in the way.

A tiny bundle, the command in a process of its own, and a receiver on the loopback address that
parses what comes.
"""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.engine.bundle import Bundle
from tests.fakes.otlp_receiver import OtlpReceiver, Received, otlp_receiver
from tests.fakes.traced import refused_service, traced_service

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
DROPPED = 'tenantry_spans_total{outcome="dropped"}'
EXPORTED = 'tenantry_spans_total{outcome="exported"}'
PREDICT = "POST /v1/tenants/{tenant}/adapters/{adapter}/predict"


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as listening:
        yield listening


def named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name == name]


def trace_of(answer: str) -> tuple[str, str]:
    _, trace_id, span_id, flags = answer.split("-")
    assert flags == "01"
    return trace_id, span_id


def test_a_request_is_told_from_its_head_to_the_log(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with traced_service(bundle, state, None) as service:  # so that the adapter is cold later
        service.put(bundle, "acme")
        assert service.stop() == 0
    assert receiver.connections == 0
    with traced_service(
        bundle, state, receiver.url, trace_ratio="1", base_embedding_ratio="0"
    ) as service:
        answer = service.ask(
            "acme",
            ["where is my parcel", "I want my money back"],
            traceparent=f"00-{TRACE}-{PARENT}-01",
            tracestate="rojo=1",
        )
        assert trace_of(answer.headers["traceparent"])[0] == TRACE
        receiver.await_spans(lambda spans: bool(named(spans, "log.write")))
        assert service.stop() == 0
    spans = receiver.of_trace(TRACE)
    [server] = named(spans, PREDICT)
    assert (server.kind, server.parent_id, server.state) == ("SERVER", PARENT, "rojo=1")
    assert server.span_id == trace_of(answer.headers["traceparent"])[1]
    assert server.attributes["tenantry.digest"] == answer.json()["model"]["digest"]
    assert server.attributes["tenantry.request_id"] == answer.headers["x-request-id"]
    children = {span.name: span for span in spans if span is not server}
    assert sorted(children) == ["bank.load", "compute", "log.write", "prepare", "queue"]
    assert len(spans) == 6
    assert {child.parent_id for child in children.values()} == {server.span_id}
    assert {child.kind for child in children.values()} == {"INTERNAL"}
    for name in ("bank.load", "compute", "prepare", "queue"):
        child = children[name]
        assert server.started_ns <= child.started_ns <= child.ended_ns <= server.ended_ns, name
    assert children["log.write"].started_ns >= children["compute"].ended_ns
    assert (
        children["bank.load"].attributes["tenantry.digest"] == server.attributes["tenantry.digest"]
    )
    assert children["queue"].ended_ns == children["compute"].started_ns
    [batch] = [one for one in receiver.spans if one.name == "batch"]
    assert batch.trace_id != TRACE
    assert batch.parent_id == ""
    assert batch.links == ((TRACE, server.span_id),)
    assert children["compute"].links == ((batch.trace_id, batch.span_id),)
    assert (batch.attributes["tenantry.batch.texts"], batch.failed) == (2, False)
    assert batch.attributes["tenantry.batch.provider"] == "cpu"
    assert batch.resource["tenantry.bundle.digest"] == bundle.digest
    assert batch.resource["service.name"] == "tenantry"
    assert batch.resource["service.instance.id"]


def test_a_batch_leads_to_the_requests_of_its_tenants_and_names_none(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    with traced_service(bundle, tmp_path / "state", receiver.url, trace_ratio="1") as service:
        service.put(bundle, "acme")
        service.put(bundle, "globex", seed=1)
        texts = [f"text {number}" for number in range(64)]

        def two_tenants_met(spans: list[Received]) -> bool:
            return any(len(batch.links) > 1 for batch in named(spans, "batch"))

        for _ in range(50):
            with ThreadPoolExecutor(8) as pool:
                asked = [
                    pool.submit(service.ask, tenant, texts)
                    for tenant in ("acme", "globex", "acme", "globex") * 2
                ]
            assert {one.result().status_code for one in asked} == {200}
            if two_tenants_met(receiver.spans):
                break
        receiver.await_spans(two_tenants_met)
        assert service.stop() == 0
    tenant_of = {
        (span.trace_id, span.span_id): span.attributes["tenantry.tenant"]
        for span in named(receiver.spans, PREDICT)
    }
    met = [{tenant_of[link] for link in batch.links} for batch in named(receiver.spans, "batch")]
    assert {"acme", "globex"} in met
    batches = {(batch.trace_id, batch.span_id) for batch in named(receiver.spans, "batch")}
    backwards = {link for span in named(receiver.spans, "compute") for link in span.links}
    assert backwards == batches
    for span in receiver.spans:
        owners = {"acme", "globex"} & set(str(span.attributes).replace("'", "/").split("/"))
        assert len(owners) <= (0 if span.name in ("batch", "queue", "compute") else 1), span


def test_only_tenants_that_are_to_be_recorded_are(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    with traced_service(
        bundle, tmp_path / "state", receiver.url, trace_ratio="0", trace_tenants='["acme=1"]'
    ) as service:
        service.put(bundle, "acme")
        service.put(bundle, "globex", seed=1)
        for _ in range(5):
            unheard = service.ask("globex", traceparent=f"00-{TRACE}-{PARENT}-01")
            assert unheard.headers["traceparent"].startswith(f"00-{TRACE}-")
            assert unheard.headers["traceparent"].endswith("-00")
            service.ask("acme")
        assert service.stop() == 0
    assert {span.attributes["tenantry.tenant"] for span in named(receiver.spans, PREDICT)} == {
        "acme"
    }
    assert len(named(receiver.spans, PREDICT)) == 5
    assert receiver.of_trace(TRACE) == []


def test_a_collector_that_fails_stops_no_answer_and_is_told_of_in_counts_and_one_line(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    receiver.status = 503
    with traced_service(bundle, tmp_path / "state", receiver.url, trace_ratio="1") as service:
        service.put(bundle, "acme")
        service.await_count(DROPPED, 1.0)
        assert service.ask("acme").status_code == 200
        receiver.status = 200
        service.ask("acme")
        service.await_count(EXPORTED, 1.0)
        assert service.stop() == 0
        told = [line["message"] for line in service.lines if line["message"].startswith("traces:")]
    assert told == [
        "traces: the collector does not take them, they are dropped: it answered 503",
        "traces: the collector takes them again",
    ]


def test_a_collector_that_hangs_holds_up_neither_answers_nor_the_end(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    receiver.hold.clear()
    with traced_service(bundle, tmp_path / "state", receiver.url, trace_ratio="1") as service:
        service.put(bundle, "acme")
        with receiver.arrived:
            assert receiver.arrived.wait_for(lambda: bool(receiver.bodies), 20.0)
        assert {service.ask("acme").status_code for _ in range(20)} == {200}
        assert service.stop() == 0
        assert "could not be sent before the end" in str(service.lines)


def test_nobody_at_the_endpoint_is_no_reason_not_to_serve(bundle: Bundle, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with traced_service(bundle, tmp_path / "state", url, trace_ratio="1") as service:
            service.put(bundle, "acme")
            assert service.ask("acme").status_code == 200
            service.await_count(DROPPED, 1.0)
            assert service.count(EXPORTED) == 0.0
            assert service.stop() == 0


def test_the_key_of_the_collector_is_sent_and_logged_nowhere(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    file.write_text("authorization: Bearer canary-of-the-collector\n")
    with traced_service(
        bundle,
        tmp_path / "state",
        receiver.url,
        trace_ratio="1",
        otlp_headers_file=str(file),
        log_level="debug",
    ) as service:
        service.put(bundle, "acme")
        receiver.status = 401
        service.ask("acme")
        service.await_count(DROPPED, 1.0)
        assert service.stop() == 0
        assert "canary-of-the-collector" not in str(service.lines)
    assert {one["authorization"] for one in receiver.headers} == {"Bearer canary-of-the-collector"}


def test_an_exemplar_of_a_batch_leads_to_the_batch(
    bundle: Bundle, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    with traced_service(bundle, tmp_path / "state", receiver.url, trace_ratio="1") as service:
        service.put(bundle, "acme")
        service.ask("acme")
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        text = service.client.get("/metrics", headers=accept).text
        assert service.stop() == 0
    exemplars = {
        line.partition("_bucket")[0]: line.partition('# {trace_id="')[2][:32]
        for line in text.splitlines()
        if "# {trace_id=" in line
    }
    traces = {span.name: span.trace_id for span in receiver.spans}
    assert exemplars["tenantry_batch_seconds"] == traces["batch"]
    assert exemplars["tenantry_queue_seconds"] == traces[PREDICT]


def test_other_settings_of_opentelemetry_are_not_read_and_that_is_said(
    bundle: Bundle,
    receiver: OtlpReceiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    with traced_service(bundle, tmp_path / "state", receiver.url, trace_ratio="1") as service:
        service.put(bundle, "acme")
        assert service.stop() == 0
        told = service.line("traces: not read")["message"]
    assert told.endswith("OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER")
    assert receiver.spans[0].resource["deployment.environment.name"] == "staging"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"otlp_endpoint": "http://user:secret@127.0.0.1:1"}, "TENANTRY_OTLP_ENDPOINT"),
        ({"trace_tenants": '["acme"]'}, "TENANTRY_TRACE_TENANTS"),
        ({"otlp_endpoint": "http://127.0.0.1:1", "otlp_headers_file": "/nowhere"}, "HEADERS_FILE"),
    ],
)
def test_what_cannot_be_meant_is_told_at_the_start(
    bundle: Bundle, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    started = refused_service(bundle, tmp_path / "state", **variables)
    assert started.returncode != 0
    assert words in started.stderr
    assert "secret" not in started.stderr
