from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.metrics import Metrics, metrics_reference


@dataclass
class Busy:
    queue_texts: int = 5
    running_texts: int = 4
    slots: int = 3
    slots_used: int = 2


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), tenant_series_max=2)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_counters_are_there_at_zero_before_anything_happened(metrics: Metrics) -> None:
    metrics.declare_reasons(["queue-full"])
    metrics.route("GET /x")
    assert value(metrics, "tenantry_requests_total", route="GET /x", status="5xx") == 0
    assert value(metrics, "tenantry_refused_total", reason="queue-full") == 0
    assert value(metrics, "tenantry_uploads_total", outcome="created") == 0
    assert value(metrics, "tenantry_texts_total", tenant="_other") == 0
    assert value(metrics, "tenantry_quarantines_total") == 0


def test_a_request_counts_under_its_route_and_status_class(metrics: Metrics) -> None:
    series = metrics.route("GET /x")
    for status in (200, 204, 404, 503, 0):
        series.answered(status, 0.02)
    counted = {
        status: value(metrics, "tenantry_requests_total", route="GET /x", status=status)
        for status in ("2xx", "4xx", "5xx", "left")
    }
    assert counted == {"2xx": 2, "4xx": 1, "5xx": 1, "left": 1}
    assert value(metrics, "tenantry_request_seconds_count", route="GET /x") == 5


def test_tenants_beyond_the_bound_share_one_series(metrics: Metrics) -> None:
    for tenant in ("a", "b", "c", "d", "a", "c"):
        metrics.answered(tenant, 10, 0, 0.001)
    texts = {
        tenant: value(metrics, "tenantry_texts_total", tenant=tenant)
        for tenant in ("a", "b", "c", "_other")
    }
    assert texts == {"a": 20, "b": 10, "c": None, "_other": 30}
    assert value(metrics, "tenantry_tenant_series_dropped_total") == 3


def test_a_pass_is_observed_from_every_side(metrics: Metrics) -> None:
    metrics.batch_ran(texts=3, tokens=96, capacity=128, adapters=2, seconds=0.01)
    assert value(metrics, "tenantry_batch_texts_sum") == 3
    assert value(metrics, "tenantry_batch_tokens_sum") == 96
    assert value(metrics, "tenantry_batch_fill_ratio_sum") == 0.75
    assert value(metrics, "tenantry_batch_adapters_sum") == 2
    assert value(metrics, "tenantry_batch_seconds_sum") == 0.01


def test_the_bank_counts_what_comes_and_goes(metrics: Metrics) -> None:
    metrics.adapter_loaded(0.002)
    metrics.adapter_evicted()
    metrics.quarantined()
    assert value(metrics, "tenantry_bank_loads_total") == 1
    assert value(metrics, "tenantry_bank_load_seconds_sum") == 0.002
    assert value(metrics, "tenantry_bank_evictions_total") == 1
    assert value(metrics, "tenantry_quarantines_total") == 1


def test_gauges_ask_the_batcher_at_each_scrape(metrics: Metrics) -> None:
    busy = Busy()
    metrics.watch(lambda: busy)
    assert value(metrics, "tenantry_queue_texts") == 5
    busy.queue_texts = 9
    assert value(metrics, "tenantry_queue_texts") == 9
    assert value(metrics, "tenantry_bank_slots_used") == 2


def test_truncations_and_uploads_are_counted(metrics: Metrics) -> None:
    metrics.answered("a", 3, 2, 0.001)
    metrics.uploaded("refused")
    assert value(metrics, "tenantry_truncations_total") == 2
    assert value(metrics, "tenantry_uploads_total", outcome="refused") == 1


def test_the_process_says_what_it_serves(metrics: Metrics) -> None:
    metrics.serves("sha256:b", "cpu", "fp32")
    labels = {"bundle": "sha256:b", "provider": "cpu", "precision": "fp32"}
    assert value(metrics, "tenantry_process_info", **labels) == 1


def test_every_exported_series_stands_in_the_reference(metrics: Metrics) -> None:
    metrics.serves("sha256:b", "cpu", "fp32")
    metrics.watch(Busy)
    page = metrics_reference()
    families = [
        line.split()[2]
        for line in generate_latest(metrics.registry).decode().splitlines()
        if line.startswith("# TYPE") and not line.split()[2].endswith("_created")
    ]
    assert len(families) > 15
    for family in families:
        assert f"| `{family}` |" in page
        assert family.startswith("tenantry_")
