"""The sidecar over HTTP: who sees what, in which form, and how errors are told."""

import dataclasses
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from monitoring import errors
from monitoring.report import AdapterReport, FleetReport
from monitoring.web.app import Parts, create_app
from monitoring.web.documents import Documents
from monitoring.web.gate import OPERATOR, Caller, gate_of
from monitoring.web.metrics import Metrics
from monitoring.web.problems import KINDS, Refused
from tests.fakes.reports import FakeReports, figure

pytestmark = pytest.mark.anyio

ADMIN = "correct-horse-battery-staple"
TENANT = "the-key-of-acme"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
AS_TENANT = {"authorization": f"Bearer {TENANT}"}


class Keys:
    def tenant_of(self, key: bytes) -> str | None:
        return "acme" if key == TENANT.encode() else None


class Failing(FakeReports):
    def fleet(self, tenant: str | None = None) -> FleetReport:
        raise RuntimeError(f"secrets of {tenant}")


class Loose(FakeReports):
    """Forgets to leave other tenants out."""

    def fleet(self, tenant: str | None = None) -> FleetReport:
        del tenant
        return super().fleet()


class Odd(FakeReports):
    """Gives figures that are no numbers."""

    def adapter(self, tenant: str, adapter: str) -> AdapterReport:
        report = super().adapter(tenant, adapter)
        bad = figure(float("nan"), float("inf"), 3)
        calibration = replace(report.versions[0].calibration, error=bad)
        return replace(report, versions=(replace(report.versions[0], calibration=calibration),))


class Lent(FakeReports):
    """Compares with the rows of others."""

    def adapter(self, tenant: str, adapter: str) -> AdapterReport:
        report = super().adapter(tenant, adapter)
        [version, *others] = report.versions
        lent = replace(version, reference=replace(version.reference, source="pooled"))
        return replace(report, versions=(lent, *others))


@asynccontextmanager
async def client(
    reports: FakeReports | None = None,
    *,
    keyed: bool = True,
    unready: str | None = None,
    base_url: str = "http://localhost:8001",
) -> AsyncIterator[httpx.AsyncClient]:
    shown = reports or FakeReports(problems=("the webhook cannot be reached: set another",))
    registry = CollectorRegistry()
    Metrics(registry, shown)
    gate = gate_of(ADMIN if keyed else None, None, Keys())
    app = create_app(Parts(shown, registry, gate, lambda: unready))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as made:
        yield made


async def test_the_operator_sees_all_adapters_worst_first() -> None:
    async with client() as asking:
        answer = await asking.get("/v1/report", headers=AS_ADMIN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    report = answer.json()
    states = [line["state"] for line in report["adapters"]]
    assert states == ["alarm", "warning", "unknown", "ok", "ok"]
    assert report["fleet"]["watched"] == 5
    assert report["problems"]


async def test_a_tenant_s_key_shows_its_own_part_and_no_more() -> None:
    async with client(Loose(problems=("of the sidecar",))) as asking:
        everything = (await asking.get("/v1/report", headers=AS_TENANT)).json()
        named = (await asking.get("/v1/report/acme", headers=AS_TENANT)).json()
    for report in (everything, named):
        assert {line["tenant"] for line in report["adapters"]} == {"acme"}
        assert {trigger["tenant"] for trigger in report["triggers"]} == {"acme"}
        assert report["fleet"] is None
        assert report["problems"] == []
        assert report["log"]["lag_s"] == 0.8
        assert {value for name, value in report["log"].items() if name != "lag_s"} == {None}
        assert "globex" not in json.dumps(report)


@pytest.mark.parametrize("path", ["/v1/report/globex", "/v1/report/globex/spam"])
async def test_another_tenant_is_a_404_in_the_words_for_one_that_is_not_there(path: str) -> None:
    missing = path.replace("globex", "nobody")
    async with client() as asking:
        other = await asking.get(path, headers=AS_TENANT)
        nobody = await asking.get(missing, headers=AS_TENANT)
    assert (other.status_code, nobody.status_code) == (404, 404)
    assert other.json()["detail"].replace("globex", "nobody") == nobody.json()["detail"]
    assert other.json()["code"] == nobody.json()["code"] == "unknown-watched"


async def test_a_tenant_without_adapters_sees_an_empty_report() -> None:
    async with client(FakeReports(cases=())) as asking:
        own = await asking.get("/v1/report/acme", headers=AS_TENANT)
        operator = await asking.get("/v1/report/acme", headers=AS_ADMIN)
    assert own.json()["adapters"] == []
    assert operator.status_code == 404


async def test_an_adapter_s_report_is_whole() -> None:
    async with client() as asking:
        answer = await asking.get("/v1/report/acme/support", headers=AS_TENANT)
        unknown = await asking.get("/v1/report/acme/nothing", headers=AS_TENANT)
    report = answer.json()
    assert [version["role"] for version in report["versions"]] == ["live", "canary", "shadow"]
    assert len(report["versions"][0]["windows"]) == 3
    assert unknown.status_code == 404


async def test_figures_that_are_not_known_are_null_and_never_nan() -> None:
    async with client(Odd()) as asking:
        answer = await asking.get("/v1/report/globex/spam", headers=AS_ADMIN)
        unknown = await asking.get("/v1/report/hooli/notes", headers=AS_ADMIN)
    assert answer.json()["versions"][0]["calibration"]["error"]["value"] is None
    assert "NaN" not in answer.text
    window = unknown.json()["versions"][0]["windows"][0]
    assert window["drift"]["effect"]["value"] is None
    assert window["drift"]["effect"]["unknown"] == "too few rows: 31 of 50"


@pytest.mark.parametrize(
    "path", ["/v1/report", "/v1/report/acme", "/v1/report/acme/support", "/metrics", "/nowhere"]
)
async def test_without_a_key_there_is_nothing_to_see(path: str) -> None:
    async with client() as asking:
        answer = await asking.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:tenantry:problem:not-authenticated"


async def test_metrics_are_for_the_operator_alone() -> None:
    async with client() as asking:
        admin = await asking.get("/metrics", headers=AS_ADMIN)
        tenant = await asking.get("/metrics", headers=AS_TENANT)
        accept = {"accept": "application/openmetrics-text;version=1.0.0"}
        openmetrics = await asking.get("/metrics", headers=AS_ADMIN | accept)
    assert admin.headers["content-type"].startswith("text/plain")
    assert 'tenantry_drift_alarm{adapter="support",tenant="acme",version="4"} 1.0' in admin.text
    assert tenant.status_code == 403
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


async def test_the_page_is_there_without_a_key_and_has_no_figure_in_it() -> None:
    async with client() as asking:
        answer = await asking.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "acme" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/", "/v1/report", "/metrics"])
async def test_an_open_sidecar_answers_its_own_machine_alone(path: str) -> None:
    async with client(keyed=False) as asking:
        own = await asking.get(path)
        rebound = await asking.get(path, headers={"host": "monitor.example"})
        foreign = await asking.get(path, headers={"origin": "http://evil.example"})
    assert own.status_code == 200
    assert (rebound.status_code, foreign.status_code) == (403, 403)
    assert rebound.json()["code"] == "foreign-host"


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_probes_need_no_key_and_no_name(*, keyed: bool, method: str) -> None:
    async with client(keyed=keyed, unready="catching up", base_url="http://10.1.2.3") as asking:
        live = await asking.request(method, "/livez")
        ready = await asking.request(method, "/readyz")
    assert live.status_code == 200
    assert ready.status_code == 503
    assert ready.headers["retry-after"] == "1"


async def test_a_tenant_sees_no_row_of_a_reference_that_others_lent() -> None:
    documents = Documents(Lent())

    def dots(caller: Caller) -> set[bool]:
        [version, *_] = json.loads(documents.adapter(caller, "acme", "support").body)["versions"]
        return {dot["prediction_id"] is None for dot in version["projection"]}

    assert dots(OPERATOR) == {True, False}
    assert dots(Caller("acme")) == {False}


async def test_it_is_ready_once_nothing_stands_against_it() -> None:
    async with client() as asking:
        assert (await asking.get("/readyz")).json() == {"ready": True}
    async with client(unready="2 days behind the log") as asking:
        answer = (await asking.get("/readyz")).json()
    assert answer == {"ready": False, "reason": "2 days behind the log"}


async def test_an_unchanged_report_is_not_sent_again() -> None:
    reports = FakeReports()
    async with client(reports) as asking:
        first = await asking.get("/v1/report", headers=AS_ADMIN)
        tag = {"if-none-match": first.headers["etag"]}
        same = await asking.get("/v1/report", headers=AS_ADMIN | tag)
        reports.made_s += 1
        other = await asking.get("/v1/report", headers=AS_ADMIN | tag)
    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200
    assert other.headers["etag"] != first.headers["etag"]


async def test_large_answers_are_compressed_for_those_who_ask() -> None:
    async with client() as asking:
        request = asking.build_request("GET", "/v1/report", headers=AS_ADMIN)
        request.headers["accept-encoding"] = "gzip"
        answer = await asking.send(request, stream=True)
        body = b"".join([part async for part in answer.aiter_raw()])
        plain = await asking.get("/v1/report", headers=AS_ADMIN | {"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(body) < len(plain.content) / 3
    assert json.loads(gzip.decompress(body)) == plain.json()


async def test_every_answer_carries_a_request_id_and_continues_the_trace() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    async with client() as asking:
        kept = await asking.get("/v1/report", headers=given)
        made = await asking.get("/livez", headers={"x-request-id": "not plain", "traceparent": "x"})
    assert kept.headers["x-request-id"] == "mine-1" == kept.json()["request_id"]
    assert kept.headers["traceparent"].split("-")[1] == trace
    assert kept.headers["traceparent"].split("-")[2] != "00f067aa0ba902b7"
    assert len(made.headers["x-request-id"]) == 24
    assert "traceparent" not in made.headers


async def test_errors_are_problems_that_tell_nothing_of_the_inside() -> None:
    async with client(Failing()) as asking:
        failed = await asking.get("/v1/report", headers=AS_ADMIN)
        missing = await asking.get("/v2", headers=AS_ADMIN)
        wrong = await asking.post("/v1/report", headers=AS_ADMIN)
    assert failed.status_code == 500
    assert "secrets" not in failed.text
    for answer, code in ((failed, "internal"), (missing, "unknown-path"), (wrong, "wrong-method")):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        problem = answer.json()
        assert problem["type"] == f"urn:tenantry:problem:{code}"
        assert (problem["code"], problem["status"]) == (code, answer.status_code)
        assert problem["request_id"] == answer.headers["x-request-id"]
    assert wrong.headers["allow"] == "GET"


async def test_a_doubled_authorization_opens_nothing() -> None:
    twice = [("authorization", f"Bearer {ADMIN}"), ("authorization", f"Bearer {ADMIN}")]
    async with client() as asking:
        answer = await asking.get("/v1/report", headers=twice)
    assert answer.status_code == 401


def test_every_error_of_the_sidecar_has_its_kind() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    known = {kind for kind in below(errors.MonitorError) if kind.__module__ == errors.__name__}
    assert (known | below(Refused)) - {errors.MonitorError, Refused} <= set(KINDS)
    codes = [dataclasses.astuple(kind)[1] for kind in KINDS.values()]
    assert all(code == code.lower() and " " not in code for code in codes)
