"""What every answer has in common, on every route: ids, traces, keys, methods, draining."""

import gzip
import json
import logging
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.middleware import OPERATOR_PATHS
from service.api.permissions import FREE_PATHS
from service.errors import AdapterUnreadable
from tests.contract.test_wire_native import PREDICT, TEXTS, check_problem
from tests.fakes.service import FakeService
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

KEY = "correct-horse-battery-staple"
BEARER = {"authorization": f"Bearer {KEY}"}
EVERYWHERE = [
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/v1/tenants"),
    ("PUT", "/v1/tenants/acme"),
    ("POST", PREDICT),
    ("GET", "/v1/audit"),
    ("POST", "/v2/models/acme.support/infer"),
    ("GET", "/no/such/route"),
]


FREE = [("GET", path) for path in sorted(FREE_PATHS)]


@pytest.mark.parametrize(("method", "path"), [*EVERYWHERE, *FREE])
async def test_every_answer_carries_the_request_s_id_and_trace(
    service: FakeService, method: str, path: str
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    async with service.client() as client:
        answer = await client.request(method, path, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["traceparent"].startswith(f"00-{trace}-")
        assert "b7ad6b7169203331" not in answer.headers["traceparent"]
        plain = await client.request(method, path, headers={"x-request-id": "not plain"})
    assert plain.headers["x-request-id"] != "not plain"
    assert "traceparent" not in plain.headers


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
async def test_with_an_admin_key_every_route_but_the_probes_needs_it(
    service_with: MakeService, method: str, path: str
) -> None:
    service = service_with(admin_key=KEY)
    async with service.client() as client:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert KEY not in answer.text
        assert (await client.request(method, path, headers=BEARER)).status_code != 401


@pytest.mark.parametrize(("method", "path"), FREE)
async def test_what_everyone_may_know_needs_no_key_and_looks_at_none(
    service_with: MakeService, method: str, path: str
) -> None:
    service = service_with(admin_key=KEY)
    async with service.client() as client:
        for headers in ({}, BEARER, {"authorization": "Bearer wrong"}):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 200
        assert (await client.patch(path)).status_code == 405
        assert (await client.get(path + "/")).status_code == 401


async def test_a_server_with_a_key_takes_any_host(service_with: MakeService) -> None:
    service = service_with(admin_key=KEY)
    headers = {**BEARER, "host": "tenantry.example.com", "origin": "https://example.com"}
    async with service.client() as client:
        assert (await client.get("/v1/tenants", headers=headers)).status_code == 200


@pytest.mark.parametrize("headers", [{"host": "example.com"}, {"origin": "http://example.com"}])
@pytest.mark.parametrize("path", ["/", "/metrics", "/v1/tenants", "/livez"])
async def test_an_open_server_answers_to_its_own_machine_alone(
    service: FakeService, path: str, headers: dict[str, str]
) -> None:
    async with service.client() as client:
        check_problem(await client.get(path, headers=headers), 403, "foreign-host")


async def test_the_operator_s_port_shows_pages_without_a_key_and_nothing_else(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key=KEY, operator_port=9000)
    async with service.client(headers={"host": "10.0.0.1:9000"}) as client:
        for path in sorted(OPERATOR_PATHS):
            answer = await client.get(f"http://localhost:9000{path}")
            assert answer.status_code == 200, path
        for method, path in EVERYWHERE:
            if path not in OPERATOR_PATHS and not path.startswith("/v2"):
                answer = await client.request(
                    method, f"http://localhost:9000{path}", headers=BEARER
                )
                check_problem(answer, 404, "unknown-path")
        check_problem(await client.get("/metrics"), 401, "not-authenticated")


async def test_the_operator_s_port_of_an_open_server_checks_the_host(
    service_with: MakeService,
) -> None:
    service = service_with(operator_port=9000)
    async with service.client() as client:
        assert (await client.get("http://localhost:9000/metrics")).status_code == 200
        foreign = await client.get("http://localhost:9000/metrics", headers={"host": "example.com"})
    check_problem(foreign, 403, "foreign-host")


async def test_an_unknown_route_is_a_problem(service: FakeService) -> None:
    async with service.client() as client:
        check_problem(await client.get("/no/such/route"), 404, "unknown-path")
        check_problem(await client.get("/v1/tenants/"), 404, "unknown-path")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/tenants/acme", "DELETE, GET, PUT"),
        ("GET", PREDICT, "POST"),
        ("DELETE", "/v1/audit", "GET"),
        ("POST", "/livez", "GET, HEAD"),
        ("PUT", "/", "GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    service: FakeService, method: str, path: str, allowed: str
) -> None:
    async with service.client() as client:
        answer = await client.request(method, path)
    check_problem(answer, 405, "wrong-method")
    assert answer.headers["allow"] == allowed


async def test_a_process_is_ready_when_it_is_warm_and_alive_always(service: FakeService) -> None:
    service.lifecycle.warm = False
    async with service.client() as client:
        assert (await client.get("/livez")).json() == {"live": True}
        cold = await client.get("/readyz")
        assert (cold.status_code, cold.json()["ready"]) == (503, False)
        assert cold.headers["retry-after"] == "1"
        service.lifecycle.warm = True
        warm = await client.get("/readyz")
        assert (warm.status_code, warm.json()) == (200, {"ready": True})
        assert (await client.head("/livez")).status_code == 200


async def test_a_draining_process_takes_nothing_new(service: FakeService) -> None:
    service.publish("acme", "support")
    service.lifecycle.draining = True
    async with service.client() as client:
        refused = await client.post(PREDICT, json=TEXTS)
        check_problem(refused, 503, "stopping")
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["connection"] == "close"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/metrics")).status_code == 200
    assert service.batcher.jobs == []


async def test_requests_are_counted_once_by_route_and_status(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        for _ in range(3):
            await client.post(PREDICT, json=TEXTS)
        await client.post(PREDICT, json={})
        await client.get("/no/such/route")
        scraped = (await client.get("/metrics")).text
    route = "POST /v1/tenants/{tenant}/adapters/{adapter}/predict"
    counts = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
        if sample.name == "tenantry_requests_total" and sample.value
    }
    assert counts == {(route, "2xx"): 3, (route, "4xx"): 1, ("unknown", "4xx"): 1}
    assert service.metric("tenantry_texts_total", tenant="acme") == 6
    assert service.metric("tenantry_queue_seconds_count") == 3


async def test_metrics_come_in_both_formats(service: FakeService) -> None:
    async with service.client() as client:
        plain = await client.get("/metrics")
        open_metrics = await client.get(
            "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
        )
    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


async def test_an_unforeseen_error_is_logged_with_its_request_and_told_to_nobody(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.publish("acme", "support")
    service.batcher.error = RuntimeError("internals")
    async with service.client() as client:
        answer = await client.post(PREDICT, json=TEXTS, headers={"x-request-id": "mine-1"})
    check_problem(answer, 500, "internal")
    [failure] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert failure.exc_info is not None
    assert "internals" in str(failure.exc_info[1])
    assert failure.message == "request"
    assert vars(failure)["fields"]["request_id"] == "mine-1"


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        (PREDICT, TEXTS, 500),
        ("/v1/tenants/acme/adapters/support/versions/1/predict", TEXTS, 500),
        ("/tei/acme.support/predict", {"inputs": "a"}, 424),
        ("/classify", {"model": "acme.support", "input": "a"}, 500),
    ],
)
async def test_a_damaged_adapter_is_named_to_its_caller_and_its_file_in_the_log_alone(
    service: FakeService,
    caplog: pytest.LogCaptureFixture,
    path: str,
    document: dict[str, object],
    status: int,
) -> None:
    digest = service.publish("acme", "support").digest
    (service.state / "store/adapters" / digest[7:9] / digest[7:] / "identity.json").unlink()
    with pytest.raises(AdapterUnreadable) as caught:
        service.registry.load_adapter(digest, service.bundle.manifest)
    service.batcher.error = caught.value
    async with service.client() as client:
        answer = await client.post(path, json=document)
    assert answer.status_code == status
    told = f"acme.support version 1: the adapter {digest} cannot be read: No such file or directory"
    assert told in answer.text
    for secret in ("identity.json", "store/", str(service.state), "Errno"):
        assert secret not in answer.text
    [line] = [record for record in caplog.records if record.message == "request"]
    fields = vars(line)["fields"]
    assert line.levelno == logging.ERROR
    assert (fields["tenant"], fields["adapter"], fields["digest"]) == ("acme", "support", digest)
    assert fields["version"] == 1
    assert fields["code"] == "adapter-unreadable"
    assert str(service.state) in fields["cause"], "whoever repairs it looks for the file"


async def test_a_failure_is_logged_with_its_adapter_and_safe_words_alone(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        for error in (OSError(5, "Input/output error"), RuntimeError("quotes a text")):
            service.batcher.error = error
            assert (await client.post(PREDICT, json=TEXTS)).status_code == 500
    system, bug = [vars(one)["fields"] for one in caplog.records if one.message == "request"]
    assert system["cause"] == "[Errno 5] Input/output error"
    assert "cause" not in bug
    for fields in (system, bug):
        assert (fields["tenant"], fields["adapter"]) == ("acme", "support")


@pytest.mark.parametrize(("wanted", "lines"), [("off", 1), ("errors", 1), ("all", 4)])
async def test_a_request_has_at_most_one_line_and_no_text_or_key_in_it(
    service_with: MakeService, caplog: pytest.LogCaptureFixture, wanted: str, lines: int
) -> None:
    caplog.set_level(logging.INFO)
    service = service_with(request_log=wanted, admin_key=KEY)
    service.publish("acme", "support")
    async with service.client(headers=BEARER) as client:
        await client.post(PREDICT, json={"inputs": ["a secret text"]})
        await client.post(PREDICT, json={"inputs": [1]})
        service.lifecycle.draining = True
        await client.post(PREDICT, json=TEXTS)
        service.lifecycle.draining = False
        service.batcher.error = RuntimeError("a bug")
        await client.post(PREDICT, json=TEXTS)
    logged = [vars(record)["fields"] for record in caplog.records if record.message == "request"]
    assert len(logged) == lines
    assert "secret" not in json.dumps(logged)
    assert KEY not in json.dumps(logged)
    if wanted == "all":
        statuses = [(line["status"], line.get("code"), line.get("texts")) for line in logged]
        assert statuses == [
            (200, None, 1),
            (422, "unacceptable", None),
            (503, "stopping", None),
            (500, "internal", None),
        ]


async def test_compressed_bodies_are_taken_on_every_route(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client(headers={"content-encoding": "gzip"}) as client:
        predicted = await client.post(PREDICT, content=gzip.compress(json.dumps(TEXTS).encode()))
        made = await client.put("/v1/tenants/other", content=gzip.compress(b"{}"))
    assert (predicted.status_code, made.status_code) == (200, 201)


async def test_a_file_of_admin_keys_opens_and_closes_the_server_by_itself(
    service_with: MakeService, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# two at once\n{KEY}\nanother-key\n")
    path.chmod(0o600)
    service = service_with(admin_key_file=path, host="0.0.0.0")
    async with service.client(headers={"host": "tenantry.example.com"}) as client:
        for headers in (BEARER, {"authorization": "Bearer another-key"}):
            assert (await client.get("/metrics", headers=headers)).status_code == 200
        check_problem(await client.get("/metrics"), 401, "not-authenticated")


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("authorization", f"Bearer {KEY}", 401, "not-authenticated"),
        ("x-timeout-ms", "1000", 400, "malformed"),
        ("content-length", "33", 400, "malformed"),
        ("content-type", "application/json", 415, "wrong-media-type"),
        ("content-encoding", "identity", 415, "wrong-media-type"),
    ],
)
async def test_a_header_that_comes_twice_is_taken_from_neither_place(
    service_with: MakeService, name: str, value: str, status: int, code: str
) -> None:
    service = service_with(admin_key=KEY)
    service.publish("acme", "support")
    async with service.client() as client:
        request = client.build_request("POST", PREDICT, json=TEXTS, headers=BEARER)
        request.headers = httpx.Headers([*request.headers.multi_items(), *[(name, value)] * 2])
        answer = await client.send(request)
    check_problem(answer, status, code)
    assert service.batcher.jobs == []
