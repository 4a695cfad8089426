"""The exporter against a real receiver: taken, refused in part, failing, hanging and gone."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from service.tracing.notes import RequestNote, Trace
from service.tracing.otlp import Exported, OtlpExporter
from service.tracing.spans import Spans, resource_of
from tests.fakes.otlp_receiver import OtlpReceiver, otlp_receiver


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as listening:
        yield listening


@pytest.fixture
def spans() -> list[ReadableSpan]:
    made = Spans(resource_of("1", "sha256:b", "one"), "1")
    notes = [
        RequestNote(Trace(f"{n:032x}", f"{n:016x}", None, b"", 10.0, {"n": n}), "POST /x", 11, None)
        for n in (1, 2, 3)
    ]
    return made.make(notes)


def exported(
    receiver: OtlpReceiver,
    spans: list[ReadableSpan],
    file: Path | None = None,
    timeout_s: float = 5,
) -> Exported:
    exporter = OtlpExporter(receiver.url, file, timeout_s)
    try:
        return exporter.export(spans)
    finally:
        exporter.close()


def test_spans_arrive_as_they_are(receiver: OtlpReceiver, spans: list[ReadableSpan]) -> None:
    assert exported(receiver, spans) == Exported(3)
    assert [one.span_id for one in receiver.spans] == [f"{n:016x}" for n in (1, 2, 3)]
    first = receiver.spans[0]
    assert (first.name, first.kind, first.attributes) == ("POST /x", "SERVER", {"n": 1})
    assert first.resource["service.name"] == "tenantry"
    assert first.scope == ("tenantry", "1")
    assert first.schema_url.startswith("https://opentelemetry.io/schemas/")


def test_one_connection_is_kept(receiver: OtlpReceiver, spans: list[ReadableSpan]) -> None:
    exporter = OtlpExporter(receiver.url, None)
    for _ in range(3):
        exporter.export(spans)
    exporter.close()
    assert (receiver.connections, len(receiver.bodies)) == (1, 3)


def test_the_headers_of_the_file_are_sent_and_read_again_each_time(
    receiver: OtlpReceiver, spans: list[ReadableSpan], tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    exporter = OtlpExporter(receiver.url, file)
    assert exporter.export(spans).taken == 0
    for key in ("old", "new"):
        file.write_text(f"authorization: Bearer {key}\n")
        assert exporter.export(spans).taken == 3
    exporter.close()
    assert [one["authorization"] for one in receiver.headers] == ["Bearer old", "Bearer new"]


def test_headers_of_the_environment_are_not(
    receiver: OtlpReceiver, spans: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    exported(receiver, spans)
    assert "authorization" not in receiver.headers[0]


def test_spans_that_a_receiver_does_not_take_are_told(
    receiver: OtlpReceiver, spans: list[ReadableSpan]
) -> None:
    receiver.rejected = 2
    assert exported(receiver, spans) == Exported(1, "it refused 2 spans")


def test_a_refusal_is_not_repeated(receiver: OtlpReceiver, spans: list[ReadableSpan]) -> None:
    receiver.status = 401
    assert exported(receiver, spans) == Exported(0, "it answered 401")
    assert len(receiver.bodies) == 1


def test_a_receiver_that_is_full_is_asked_again(
    receiver: OtlpReceiver, spans: list[ReadableSpan]
) -> None:
    receiver.status = 503
    assert exported(receiver, spans) == Exported(0, "it answered 503")
    assert len(receiver.bodies) == 3


def test_a_receiver_that_does_not_answer_ends_the_export(
    receiver: OtlpReceiver, spans: list[ReadableSpan]
) -> None:
    receiver.hold.clear()
    told = exported(receiver, spans, timeout_s=0.2)
    assert told.taken == 0
    assert told.why in ("it cannot be reached (ReadTimeout)", "it did not answer in time")


def test_nothing_is_sent_any_more_once_it_shall_end(
    receiver: OtlpReceiver, spans: list[ReadableSpan]
) -> None:
    exporter = OtlpExporter(receiver.url, None)
    exporter.hurry(time.monotonic())
    assert exporter.export(spans) == Exported(0, "it did not answer in time")
    exporter.close()
    assert receiver.connections == 0


def test_nobody_there_is_a_failure_without_words_of_the_request(spans: list[ReadableSpan]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        exporter = OtlpExporter(f"http://127.0.0.1:{taken.getsockname()[1]}", None, 0.3)
        assert exporter.export(spans) == Exported(0, "it cannot be reached (ConnectError)")
        exporter.close()


def test_the_receiver_reads_gzip_too(receiver: OtlpReceiver, spans: list[ReadableSpan]) -> None:
    exported(receiver, spans)
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    body = gzip.compress(receiver.bodies[0])
    assert httpx.post(f"{receiver.url}/v1/traces", content=body, headers=headers).is_success
    assert len(receiver.spans) == 6


def test_a_receiver_that_drips_its_head_is_left_in_time(spans: list[ReadableSpan]) -> None:
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        caller, _ = listening.accept()
        with caller:
            caller.recv(65_536)
            caller.sendall(b"HTTP/1.1 200 OK\r\n")
            with suppress(OSError):  # the exporter has left
                while not ended.wait(0.05):
                    caller.sendall(b"X-More: more\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=(listening,))
        dripping.start()
        exporter = OtlpExporter(f"http://127.0.0.1:{listening.getsockname()[1]}", None, 0.3)
        assert exporter.export(spans).taken == 0  # it would not return
        ended.set()
        dripping.join()
        exporter.close()


def test_no_proxy_of_the_environment_gets_spans(
    receiver: OtlpReceiver, spans: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert exported(receiver, spans) == Exported(3)
