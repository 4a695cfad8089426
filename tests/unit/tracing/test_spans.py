"""Notes become spans: ids, parents, links, times and names, and nothing of other tenants."""

import time
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from service.batching.traces import TracedLoad, TracedPart, TracedPass
from service.tracing.notes import (
    LINKS_MAX,
    LoadNote,
    Note,
    PassNote,
    RequestNote,
    Trace,
    WriteNote,
)
from service.tracing.spans import Spans, resource_of

BATCH = "b" * 32
PASS = TracedPass(
    parts=[],
    started_s=11.0,
    ended_s=12.0,
    texts=5,
    tokens=40,
    capacity=64,
    adapters=2,
    provider="cpu",
    precision="fp32",
)


@pytest.fixture
def spans() -> Spans:
    return Spans(resource_of("1.2.3", "sha256:b", "one"), "1.2.3")


def trace_of(number: int = 1, tenant: str = "acme", parent: str | None = None) -> Trace:
    return Trace(
        f"{number:032x}", f"{number:016x}", parent, b"k=v", 10.0, {"tenantry.tenant": tenant}
    )


def made_of(spans: Spans, *notes: Note) -> list[ReadableSpan]:
    made = spans.make(notes)
    assert len(made) == sum(note.spans for note in notes)
    return made


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    context = span.context
    assert context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", parent


def test_a_request_has_the_ids_that_its_caller_was_told(spans: Spans) -> None:
    trace = trace_of(7, parent="c" * 16)
    trace.stage("prepare", 10.5, 10.75, {"tenantry.inputs": 2})
    server, prepare = made_of(spans, RequestNote(trace, "POST /x", 11.0, None))
    assert ids(server) == (f"{7:032x}", f"{7:016x}", "c" * 16)
    assert ids(prepare)[0] == f"{7:032x}"
    assert ids(prepare)[2] == f"{7:016x}"
    assert (server.kind, prepare.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
    assert server.parent is not None
    assert server.parent.is_remote
    assert prepare.parent is not None
    assert not prepare.parent.is_remote
    assert server.context is not None
    assert server.context.trace_state.to_header() == "k=v"
    assert dict(prepare.attributes or {}) == {"tenantry.inputs": 2}
    assert server.status.status_code is StatusCode.UNSET


def test_a_request_without_a_caller_is_a_root(spans: Spans) -> None:
    [server] = made_of(spans, RequestNote(trace_of(), "POST /x", 11.0, None))
    assert server.parent is None


def test_a_failure_of_ours_is_an_error_with_its_kind(spans: Spans) -> None:
    [server] = made_of(spans, RequestNote(trace_of(), "POST /x", 11.0, "internal"))
    assert server.status.status_code is StatusCode.ERROR
    assert (server.attributes or {})["error.type"] == "internal"


def test_times_are_of_the_wall_clock_and_keep_their_distances(spans: Spans) -> None:
    now_s = time.monotonic()
    trace = trace_of()
    trace.started_s = now_s - 0.25
    [server] = made_of(spans, RequestNote(trace, "POST /x", now_s, None))
    assert server.start_time is not None
    assert server.end_time is not None
    assert server.end_time - server.start_time == pytest.approx(250_000_000, abs=2_000)
    assert abs(server.end_time - time.time_ns()) < 60_000_000_000


def test_a_batch_is_a_trace_of_its_own_with_links_both_ways(spans: Spans) -> None:
    mine, other = trace_of(1, "acme"), trace_of(2, "globex")
    ran = replace(PASS, parts=[TracedPart(mine, 10.0, 2), TracedPart(other, None, 1)])
    batch, queue, compute, others = made_of(spans, PassNote(ran, BATCH))
    assert (batch.name, queue.name, compute.name, others.name) == (
        "batch",
        "queue",
        "compute",
        "compute",
    )
    assert ids(batch)[0] == BATCH
    assert batch.parent is None
    assert [f"{link.context.span_id:016x}" for link in batch.links] == [mine.span_id, other.span_id]
    for child, trace in ((queue, mine), (compute, mine), (others, other)):
        assert ids(child)[0] == trace.trace_id
        assert ids(child)[2] == trace.span_id
        assert [link.context for link in child.links] == [batch.context]
    assert dict(batch.attributes or {}) == {
        "tenantry.batch.texts": 5,
        "tenantry.batch.tokens": 40,
        "tenantry.batch.fill_ratio": 0.625,
        "tenantry.batch.adapters": 2,
        "tenantry.batch.traced_requests": 2,
        "tenantry.batch.provider": "cpu",
        "tenantry.batch.precision": "fp32",
    }
    assert queue.end_time == compute.start_time == batch.start_time


def test_no_span_of_a_pass_names_a_tenant(spans: Spans) -> None:
    parts = [TracedPart(trace_of(1, "acme"), 10.0, 1), TracedPart(trace_of(2, "globex"), 10.0, 1)]
    for span in made_of(spans, PassNote(replace(PASS, parts=parts), BATCH)):
        told = span.to_json()
        assert "acme" not in told
        assert "globex" not in told


def test_a_batch_has_a_bounded_number_of_links_and_says_how_many_there_were(spans: Spans) -> None:
    parts = [TracedPart(trace_of(number + 1), 10.0, 1) for number in range(LINKS_MAX + 5)]
    batch, *children = made_of(spans, PassNote(replace(PASS, parts=parts), BATCH))
    assert len(batch.links) == LINKS_MAX
    assert len(children) == 2 * LINKS_MAX
    assert (batch.attributes or {})["tenantry.batch.traced_requests"] == LINKS_MAX + 5


def test_a_pass_that_failed_is_an_error_for_everyone_in_it(spans: Spans) -> None:
    ran = replace(PASS, parts=[TracedPart(trace_of(), None, 1)], failed="RuntimeError")
    made = made_of(spans, PassNote(ran, BATCH))
    assert {span.status.status_code for span in made} == {StatusCode.ERROR}


def test_a_load_is_a_part_of_those_who_waited_from_when_they_did(spans: Spans) -> None:
    early, late = trace_of(1), trace_of(2)
    load = TracedLoad("sha256:a", [(early, 9.0), (late, 10.75)], 10.0, 11.0, None)
    first, second = made_of(spans, LoadNote(load))
    assert ids(first)[2] == early.span_id
    assert ids(second)[2] == late.span_id
    seconds = [(one.end_time or 0) - (one.start_time or 0) for one in (first, second)]
    assert seconds == pytest.approx([1e9, 0.25e9], abs=2000)
    assert dict(second.attributes or {}) == {
        "tenantry.digest": "sha256:a",
        "tenantry.load.seconds": 1.0,
    }


def test_a_write_of_the_log_is_a_part_of_each_request_that_has_rows_in_it(spans: Spans) -> None:
    made = made_of(spans, WriteNote([trace_of(1), trace_of(2)], 12.0, 12.5, 40, taken=False))
    assert [ids(span)[2] for span in made] == [f"{1:016x}", f"{2:016x}"]
    assert {span.name for span in made} == {"log.write"}
    assert {span.status.status_code for span in made} == {StatusCode.ERROR}


def test_the_resource_says_what_runs_and_the_environment_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tenantry-eu")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    told = resource_of("1.2.3", "sha256:b", "one").attributes
    assert told["service.name"] == "tenantry-eu"
    assert told["service.version"] == "1.2.3"
    assert told["service.instance.id"] == "one"
    assert told["tenantry.bundle.digest"] == "sha256:b"
    assert told["deployment.environment.name"] == "staging"
