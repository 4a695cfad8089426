from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from service.metrics import Metrics, Objectives, metrics_reference
from service.series.tenants import CLASSES_MAX


@dataclass
class Busy:
    queue_texts: int = 5
    running_texts: int = 4
    slots: int = 3
    slots_used: int = 2
    queue_tokens: int = 80
    quarantined: tuple[str, ...] = ("sha256:a",)


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


def answers(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """Return the answers that were counted, by tenant, class and outcome."""
    return {
        (sample.labels["tenant"], sample.labels["class"], sample.labels["outcome"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tenantry_tenant_answers_total" and sample.value
    }


def test_an_answer_is_judged_by_the_objective_of_its_class() -> None:
    metrics = Metrics(CollectorRegistry(), objectives=Objectives(0.5, {"gold": 0.1}))
    for kind in ("standard", "gold"):
        for seconds in (0.1, 0.11, 0.5, 0.51):
            metrics.tenant_answered(kind[0], kind, seconds, failed=False)
        metrics.tenant_answered(kind[0], kind, 0.01, failed=True)
    assert answers(metrics) == {
        ("s", "standard", "ok"): 3,
        ("s", "standard", "slow"): 1,
        ("s", "standard", "failed"): 1,
        ("g", "gold", "ok"): 1,
        ("g", "gold", "slow"): 3,
        ("g", "gold", "failed"): 1,
    }
    for kind, seconds in (("standard", 0.5), ("gold", 0.1)):
        assert value(metrics, "tenantry_latency_objective_seconds", **{"class": kind}) == seconds


def test_every_outcome_of_a_tenant_is_there_with_its_first_answer(metrics: Metrics) -> None:
    metrics.tenant_answered("a", "standard", 0.1, failed=False)
    labels = {"tenant": "a", "class": "standard"}
    for outcome, count in (("ok", 1), ("slow", 0), ("failed", 0)):
        assert value(metrics, "tenantry_tenant_answers_total", outcome=outcome, **labels) == count


def test_a_tenant_whose_class_changed_goes_on_under_the_new_one(metrics: Metrics) -> None:
    for kind in ("standard", "gold", "gold", "standard"):
        metrics.tenant_answered("a", kind, 0.1, failed=False)
    assert answers(metrics) == {("a", "standard", "ok"): 2, ("a", "gold", "ok"): 2}


def test_tenants_beyond_the_bound_share_the_answers_of_their_class(metrics: Metrics) -> None:
    for tenant, kind in (("a", "x"), ("b", "x"), ("c", "x"), ("d", "y"), ("e", "y"), ("a", "x")):
        metrics.tenant_answered(tenant, kind, 0.1, failed=False)
    assert answers(metrics) == {
        ("a", "x", "ok"): 2,
        ("b", "x", "ok"): 1,
        ("_other", "x", "ok"): 1,
        ("_other", "y", "ok"): 2,
    }


def test_a_request_that_finds_no_series_is_told_of_once(metrics: Metrics) -> None:
    for tenant in ("a", "b", "c"):
        metrics.answered(tenant, 1, 0, 0.001)
        metrics.tenant_answered(tenant, "standard", 0.1, failed=False)
    assert value(metrics, "tenantry_tenant_series_dropped_total") == 1
    metrics.tenant_answered("c", "standard", 0.1, failed=True)  # nothing else counted this one
    assert value(metrics, "tenantry_tenant_series_dropped_total") == 2


def test_classes_beyond_the_bound_share_a_series_and_configured_ones_keep_theirs() -> None:
    metrics = Metrics(CollectorRegistry(), objectives=Objectives(0.5, {"gold": 0.1}))
    for number in range(CLASSES_MAX + 10):
        metrics.tenant_answered("a", f"class-{number}", 0.1, failed=False)
    metrics.tenant_answered("a", "gold", 0.2, failed=False)
    counted = answers(metrics)
    assert counted["a", "gold", "slow"] == 1
    assert counted["a", "_other", "ok"] == 12  # two places are the default's and gold's
    assert value(metrics, "tenantry_latency_objective_seconds", **{"class": "_other"}) == 0.5


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from(["standard", "gold", "batch"]),
            st.floats(0, 10),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_every_answer_is_counted_once_and_under_its_class(
    seen: list[tuple[str, str, float, bool]],
) -> None:
    objectives = Objectives(0.5, {"gold": 0.1, "batch": 5.0})
    metrics = Metrics(CollectorRegistry(), tenant_series_max=3, objectives=objectives)
    expected: Counter[tuple[str, str]] = Counter()
    for tenant, kind, seconds, failed in seen:
        metrics.tenant_answered(tenant, kind, seconds, failed=failed)
        late = seconds > {"standard": 0.5, "gold": 0.1, "batch": 5.0}[kind]
        expected[kind, "failed" if failed else "slow" if late else "ok"] += 1
    counted: Counter[tuple[str, str]] = Counter()
    for (_, kind, outcome), count in answers(metrics).items():
        counted[kind, outcome] += int(count)
    assert counted == expected
    own = {tenant for tenant, _, _ in answers(metrics)} - {"_other"}
    assert own == set(list(dict.fromkeys(tenant for tenant, *_ in seen))[:3])


def test_the_file_system_of_the_state_is_read_at_each_scrape(
    metrics: Metrics, tmp_path: Path
) -> None:
    assert value(metrics, "tenantry_state_free_bytes") is None
    metrics.watch_state(tmp_path)
    free, size = (value(metrics, f"tenantry_state_{kind}_bytes") for kind in ("free", "size"))
    assert free is not None
    assert size is not None
    assert 0 < free <= size


def test_what_nobody_knows_of_the_state_is_absent(metrics: Metrics, tmp_path: Path) -> None:
    metrics.watch_state(tmp_path / "gone")
    assert value(metrics, "tenantry_state_free_bytes") is None
    assert value(metrics, "tenantry_state_size_bytes") is None
    assert b"tenantry_state_free_bytes" in generate_latest(metrics.registry)


def test_the_age_of_the_registry_is_that_of_its_last_answer(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert value(metrics, "tenantry_registry_age_seconds") is None, "it has not answered yet"
    now = [100.0]
    monkeypatch.setattr("service.series.state.time.monotonic", lambda: now[0])
    metrics.polled()
    now[0] = 130.0
    assert value(metrics, "tenantry_registry_age_seconds") == 30
    metrics.polled()
    assert value(metrics, "tenantry_registry_age_seconds") == 0


def test_limits_and_stages_are_exported(metrics: Metrics) -> None:
    assert value(metrics, "tenantry_queue_texts_max") is None
    metrics.limits(100, 2000)
    assert value(metrics, "tenantry_queue_texts_max") == 100
    assert value(metrics, "tenantry_queue_tokens_max") == 2000
    metrics.prepared(0.25)
    metrics.log_wrote(0.5)
    assert value(metrics, "tenantry_prepare_seconds_sum") == 0.25
    assert value(metrics, "tenantry_event_log_write_seconds_sum") == 0.5


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
    assert value(metrics, "tenantry_queue_tokens") == 80
    assert value(metrics, "tenantry_quarantined_adapters") == 1


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
