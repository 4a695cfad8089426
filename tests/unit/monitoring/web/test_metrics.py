"""The sidecar's series: what is told, what is left out, and who has series of their own."""

import dataclasses
import math
from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitoring.report import Figure
from monitoring.web.declared import DECLARED
from monitoring.web.metrics import RETIRED_KEPT_S, ROLLED_KEPT_S, Metrics, metrics_reference
from monitoring.web.reports import Measured, RolledBack, Rollout, VersionFigures
from tests.fakes.reports import (
    MODERATION,
    NOTES,
    NOW_S,
    SUPPORT,
    FakeReports,
    figures_of,
    rollout_of,
)

OTHERS = {"tenant": "_other", "adapter": "_other", "version": "_other"}
LABELS = {"tenant": "acme", "adapter": "support", "version": "4"}


class Source:
    """Gives what it is told to."""

    def __init__(self, *versions: VersionFigures, rollouts: tuple[Rollout, ...] = ()) -> None:
        self.now = replace(FakeReports().measured(), watched=versions, rollouts=rollouts)

    def measured(self) -> Measured:
        return self.now

    def watch(self, *versions: VersionFigures, rollouts: tuple[Rollout, ...] = ()) -> None:
        self.now = replace(self.now, watched=versions, rollouts=rollouts)


def metrics(source: Source, tenant_series_max: int = 200, now_s: float = NOW_S) -> Metrics:
    return Metrics(CollectorRegistry(), source, tenant_series_max, lambda: now_s)


def value(made: Metrics, name: str, labels: dict[str, str] | None = None) -> float | None:
    return made.registry.get_sample_value(name, labels or {})


def tenants(made: Metrics, name: str = "tenantry_labels_total") -> set[str]:
    return {
        sample.labels["tenant"]
        for family in made.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def of(tenant: str, first_s: float = NOW_S, **changes: object) -> VersionFigures:
    made = figures_of(dataclasses.replace(MODERATION, tenant=tenant))
    return replace(made, first_s=first_s, **changes)


def rolled(tenant: str, first_s: float = NOW_S, **changes: object) -> Rollout:
    made = rollout_of(dataclasses.replace(MODERATION, tenant=tenant))
    return replace(made, first_s=first_s, **changes)


def all_samples(made: Metrics) -> Iterable[tuple[str, dict[str, str], float]]:
    for family in made.registry.collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def test_every_figure_of_a_version_has_its_series() -> None:
    made = metrics(Source(figures_of(SUPPORT)))
    told = {
        name: value(made, name, LABELS) for name, labels, _ in all_samples(made) if labels == LABELS
    }
    assert told["tenantry_drift_statistic"] == pytest.approx(2.31 * 0.0131)
    assert told["tenantry_drift_effect_ratio"] == 2.31
    assert told["tenantry_drift_pvalue"] == 0.341
    assert told["tenantry_drift_evidence_log10"] == 0.4
    assert told["tenantry_drift_alarm"] == 1
    assert told["tenantry_drift_alarms_total"] == 2
    assert told["tenantry_brier_score"] == pytest.approx(0.171)
    assert told["tenantry_labels_total"] == 1240
    assert told["tenantry_label_coverage_ratio"] == 0.067
    assert told["tenantry_label_delay_seconds"] == 5.2 * 3600
    assert told["tenantry_data_freshness_seconds"] == 12
    assert value(made, "tenantry_retrain_triggers_total", LABELS | {"reason": "drift"}) == 1
    assert value(made, "tenantry_retrain_triggers_total", LABELS | {"reason": "accuracy"}) == 0
    assert value(made, "tenantry_input_bad_total", LABELS | {"reason": "truncated"}) == 7
    assert told["tenantry_predictions_total"] == 184_302
    assert told["tenantry_accuracy_objective_ratio"] == 0.88
    assert told["tenantry_version_quarantined"] == 0
    for name, more, expected in (
        ("predicted_class_ratio", {"label": "refund"}, 0.125),
        ("confidence_ratio", {"level": "0.5"}, 0.9),
        ("input_tokens", {"level": "0.95"}, 31.0),
        ("retrain_trigger_timestamp_seconds", {"reason": "drift"}, NOW_S - 3 * 3600),
    ):
        assert value(made, f"tenantry_{name}", LABELS | more) == expected, name


def test_figures_come_with_both_ends_of_their_interval() -> None:
    made = metrics(Source(figures_of(SUPPORT)))
    for bound, error, right in (("lower", 0.037, 0.843), ("point", 0.061, 0.861)):
        labels = LABELS | {"bound": bound}
        assert value(made, "tenantry_calibration_error_ratio", labels) == pytest.approx(error)
        by_labels = labels | {"method": "labels"}
        assert value(made, "tenantry_accuracy_ratio", by_labels) == pytest.approx(right)
    estimated = LABELS | {"method": "estimate", "bound": "upper"}
    assert value(made, "tenantry_accuracy_ratio", estimated) == pytest.approx(0.911)


def test_what_is_not_known_has_no_series() -> None:
    made = metrics(Source(figures_of(NOTES)))
    names = {name for name, labels, _ in all_samples(made) if labels.get("tenant") == "hooli"}
    assert names == {
        "tenantry_data_freshness_seconds",
        "tenantry_drift_alarms_total",
        "tenantry_input_bad_total",
        "tenantry_labels_total",
        "tenantry_predictions_total",
        "tenantry_reference_info",
        "tenantry_retrain_triggers_total",
        "tenantry_version_quarantined",
    }


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_series(odd: float) -> None:
    made = metrics(Source(of("acme", drift_effect=odd, calibration_error=Figure(value=odd))))
    assert all(math.isfinite(number) for _, _, number in all_samples(made))
    assert not tenants(made, "tenantry_drift_effect_ratio")
    assert not tenants(made, "tenantry_calibration_error_ratio")


def test_a_version_without_a_prediction_has_no_freshness() -> None:
    assert not tenants(metrics(Source(of("acme", last_s=None))), "tenantry_data_freshness_seconds")


def test_the_reference_says_where_it_comes_from() -> None:
    made = metrics(Source(figures_of(NOTES)))
    [labels] = [
        labels for name, labels, _ in all_samples(made) if name == "tenantry_reference_info"
    ]
    assert labels["source"] == "pooled"
    assert labels["rows"] == "4100"
    assert labels["backbone"].startswith("sha256:b7")
    assert labels["standing"] == "live"


def test_tenants_beyond_the_bound_share_counters_and_have_no_gauges() -> None:
    source = Source(of("b", 2.0), of("a", 1.0), of("c", 3.0))
    made = metrics(source, tenant_series_max=2)
    assert tenants(made) == {"a", "b", "_other"}
    assert tenants(made, "tenantry_drift_effect_ratio") == {"a", "b"}
    assert value(made, "tenantry_monitor_tenants_dropped_total") == 1


def test_the_shared_counters_count_from_the_first_scrape_on() -> None:
    source = Source(of("a", 1.0), of("b", 2.0, labels=100))
    made = metrics(source, tenant_series_max=1)
    assert value(made, "tenantry_labels_total", OTHERS) == 0
    source.watch(of("a", 1.0), of("b", 2.0, labels=130), of("c", 3.0, labels=5))
    assert value(made, "tenantry_labels_total", OTHERS) == 35
    assert value(made, "tenantry_labels_total", OTHERS) == 35


def test_the_shared_counters_never_fall_when_a_tenant_leaves_them() -> None:
    source = Source(of("a", 1.0), of("b", 2.0, labels=0))
    made = metrics(source, tenant_series_max=1)
    value(made, "tenantry_labels_total", OTHERS)
    source.watch(of("a", 1.0), of("b", 2.0, labels=40))
    assert value(made, "tenantry_labels_total", OTHERS) == 40
    source.watch(of("b", 2.0, labels=50))  # which takes the place of the one that is gone
    assert tenants(made) == {"b", "_other"}
    assert value(made, "tenantry_labels_total", OTHERS) == 40
    source.watch()
    assert value(made, "tenantry_labels_total", OTHERS) == 40


def test_a_count_that_began_anew_adds_all_of_itself() -> None:
    source = Source(of("a", 1.0), of("b", 2.0, labels=100))
    made = metrics(source, tenant_series_max=1)
    value(made, "tenantry_labels_total", OTHERS)
    source.watch(of("a", 1.0), of("b", 2.0, labels=7))
    assert value(made, "tenantry_labels_total", OTHERS) == 7


def test_an_evicted_tenant_vanishes_at_once() -> None:
    source = Source(of("a"), of("b"))
    made = metrics(source)
    assert tenants(made) == {"a", "b", "_other"}
    source.watch(of("b"))
    assert tenants(made) == {"b", "_other"}


def test_a_version_in_two_roles_has_the_gauges_of_now_and_the_counters_of_both() -> None:
    canary = of("acme", role="canary", standing="live", drift_effect=9.0, labels=10)
    live = of("acme", role="live", standing="live", drift_effect=0.5, labels=5)
    made = metrics(Source(canary, live))
    labels = {"tenant": "acme", "adapter": "moderation", "version": "1"}
    assert value(made, "tenantry_drift_effect_ratio", labels) == 0.5
    assert value(made, "tenantry_labels_total", labels) == 15


def test_every_series_stands_once() -> None:
    versions = [of("acme", role=role, standing="live") for role in ("live", "canary", "pinned")]
    rollouts = tuple(rolled(tenant, out_of_service=(1, 9)) for tenant in ("acme", "globex"))
    made = metrics(Source(*versions, of("globex"), rollouts=rollouts))
    series = [(name, tuple(sorted(labels.items()))) for name, labels, _ in all_samples(made)]
    assert len(series) == len(set(series))


def test_the_last_trigger_of_a_version_is_that_of_all_its_roles() -> None:
    canary = of("acme", role="canary", standing="live", triggered_s={"drift": 7.0, "accuracy": 3.0})
    live = of("acme", role="live", standing="live", triggered_s={"drift": 5.0})
    made = metrics(Source(canary, live))
    labels = {"tenant": "acme", "adapter": "moderation", "version": "1"}
    name = "tenantry_retrain_trigger_timestamp_seconds"
    assert value(made, name, labels | {"reason": "drift"}) == 7.0
    assert value(made, name, labels | {"reason": "accuracy"}) == 3.0
    assert value(made, name, labels | {"reason": "calibration"}) is None


def test_a_rollout_says_who_answers_how_much() -> None:
    made = metrics(Source(rollouts=(rollout_of(SUPPORT),)))
    adapter = {"tenant": "acme", "adapter": "support"}
    shares = {
        (labels["version"], labels["role"]): share
        for name, labels, share in all_samples(made)
        if name == "tenantry_rollout_share_ratio"
    }
    assert shares == {("4", "live"): 0.9, ("5", "canary"): 0.1, ("6", "shadow"): 0.0}
    name = "tenantry_rollout_timestamp_seconds"
    assert value(made, name, adapter | {"cause": "operator"}) == NOW_S - 2 * 3600
    assert value(made, name, adapter | {"cause": "automatic"}) == NOW_S - 8 * 3600
    back = adapter | {"version": "5", "reason": "accuracy"}
    assert value(made, "tenantry_automatic_rollback_timestamp_seconds", back) == NOW_S - 8 * 3600


def test_a_rollout_that_nobody_made_has_no_time() -> None:
    made = metrics(Source(rollouts=(rolled("acme", rolled_s={"operator": 5.0}, rolled_back=()),)))
    labels = {"tenant": "acme", "adapter": "moderation"}
    name = "tenantry_rollout_timestamp_seconds"
    assert value(made, name, labels | {"cause": "operator"}) == 5.0
    assert value(made, name, labels | {"cause": "automatic"}) is None
    assert not tenants(made, "tenantry_automatic_rollback_timestamp_seconds")


@pytest.mark.parametrize(("age_s", "told"), [(ROLLED_KEPT_S - 1, True), (ROLLED_KEPT_S + 1, False)])
def test_what_a_rollout_did_is_told_of_for_a_week(age_s: float, told: bool) -> None:
    back = RolledBack(version=2, reason="latency", time_s=NOW_S - age_s)
    gone = rolled("gone", shares={}, rolled_s={"automatic": NOW_S - age_s}, rolled_back=(back,))
    answering = replace(gone, tenant="answering", shares={(1, "live"): 1.0})
    made = metrics(Source(rollouts=(gone, answering)))
    changed = tenants(made, "tenantry_rollout_timestamp_seconds")
    assert changed == ({"gone", "answering"} if told else {"answering"})
    backs = tenants(made, "tenantry_automatic_rollback_timestamp_seconds")
    assert backs == ({"gone", "answering"} if told else set())


def test_a_version_that_never_answered_can_be_out_of_service() -> None:
    quarantined = of("acme", standing="quarantined", out_of_service=True)
    made = metrics(Source(quarantined, rollouts=(rolled("acme", out_of_service=(1, 9)),)))
    labels = {"tenant": "acme", "adapter": "moderation"}
    for version, found in (("1", 1), ("9", 1), ("2", None)):
        named = labels | {"version": version}
        assert value(made, "tenantry_version_quarantined", named) == found


def test_tenants_with_rollouts_alone_have_places_by_the_same_order() -> None:
    source = Source(of("b", 2.0), of("c", 3.0), rollouts=(rolled("a", 1.0), rolled("c", 9.0)))
    made = metrics(source, tenant_series_max=2)
    assert tenants(made, "tenantry_rollout_share_ratio") == {"a"}
    assert tenants(made, "tenantry_predictions_total") == {"b", "_other"}
    source.watch(of("b", 2.0), of("c", 3.0), rollouts=(rolled("c", 9.0),))
    assert tenants(made, "tenantry_rollout_share_ratio") == {"c"}
    assert tenants(made, "tenantry_predictions_total") == {"b", "c", "_other"}


def test_what_is_told_of_an_evicted_adapter_vanishes_at_once() -> None:
    source = Source(of("a"), rollouts=(rolled("a", out_of_service=(9,)), rolled("b")))
    made = metrics(source)
    per_tenant = {each.name for each in DECLARED if "tenant" in each.labels}
    assert any("a" in tenants(made, name) for name in per_tenant)
    source.watch(rollouts=(rolled("b"),))
    assert not any("a" in tenants(made, name) for name in per_tenant)
    assert tenants(made, "tenantry_rollout_share_ratio") == {"b"}


@pytest.mark.parametrize(("out_of_service", "told"), [(True, True), (False, False)])
def test_a_quarantined_version_that_no_rollout_names_goes_as_a_retired_one(
    out_of_service: bool, told: bool
) -> None:
    last_s = NOW_S - RETIRED_KEPT_S - 1
    old = of("acme", standing="quarantined", last_s=last_s, out_of_service=out_of_service)
    assert ("acme" in tenants(metrics(Source(old)))) is told


def test_the_tolerated_calibration_error_is_there_before_anybody_answers() -> None:
    assert value(metrics(Source()), "tenantry_calibration_objective_ratio") == 0.1


@pytest.mark.parametrize(
    ("age_s", "told"), [(RETIRED_KEPT_S - 1, True), (RETIRED_KEPT_S + 1, False)]
)
def test_a_retired_version_is_told_of_for_a_day(age_s: float, told: bool) -> None:
    made = metrics(Source(of("acme", standing="retired", last_s=NOW_S - age_s)))
    assert ("acme" in tenants(made)) is told


def test_the_sidecar_tells_how_far_it_has_read() -> None:
    made = metrics(Source(), now_s=NOW_S + 7)
    assert value(made, "tenantry_log_lag_seconds") == 0.8
    assert value(made, "tenantry_log_backlog_bytes") == 0
    assert value(made, "tenantry_log_backlog_segments") == 0
    assert value(made, "tenantry_log_events_read_total") == 1_204_331
    assert value(made, "tenantry_log_events_late_total") == 12
    assert value(made, "tenantry_monitor_idle_seconds") == 7
    assert value(made, "tenantry_monitor_info", {"version": "0.1.0"}) == 1


def test_the_fleet_has_series_of_its_own() -> None:
    made = metrics(Source())
    assert value(made, "tenantry_fleet_drift_alarm") == 0
    assert value(made, "tenantry_fleet_drift_alarms_total") == 1
    assert value(made, "tenantry_fleet_drift_evidence_log10") == 0.2
    assert value(made, "tenantry_fleet_watched") == 5


def test_counters_of_others_are_there_at_zero_before_there_are_others() -> None:
    made = metrics(Source())
    assert value(made, "tenantry_labels_total", OTHERS) == 0
    assert value(made, "tenantry_predictions_total", OTHERS) == 0
    assert value(made, "tenantry_retrain_triggers_total", OTHERS | {"reason": "accuracy"}) == 0


def test_both_formats_can_be_read() -> None:
    made = metrics(Source(*FakeReports().measured().watched))
    assert b"tenantry_drift_effect_ratio{" in generate_latest(made.registry)
    text = generate_openmetrics(made.registry).decode()  # type: ignore[no-untyped-call]
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"tenantry_labels", "tenantry_drift_alarm"}


def test_what_is_exported_is_what_is_declared() -> None:
    source = FakeReports().measured()
    made = metrics(Source(*source.watched, rollouts=source.rollouts))
    declared = {each.name: each for each in DECLARED}
    seen = set()
    for name, labels, _ in all_samples(made):
        assert set(labels) == set(declared[name].labels), name
        seen.add(name)
    assert seen == set(declared)


def test_the_reference_page_names_every_series() -> None:
    page = metrics_reference()
    assert all(f"| `{each.name}` | {each.kind} |" in page for each in DECLARED)
    assert len({each.name for each in DECLARED}) == len(DECLARED)
