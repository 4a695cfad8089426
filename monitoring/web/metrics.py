"""Every series that the sidecar exports, in one collector that takes its registry.

Series are made anew at each scrape from what is watched, so one that is evicted vanishes at once,
and what is not known has none: there is no 0 for want of data. Labels are `tenant`, `adapter` and
`version`; where a version has been watched in several roles, its gauges tell of the role that it
has now, and its counters of all of them. A version that answers nobody any more is told of for a
day after its last prediction; what rollouts did is told of as long as a rollout names a version of
the adapter, and else for a week.

Tenants have series of their own up to a bound, whoever came first (`admission`). The counters of
the others are added up under `_other`, beginning at zero with the process; their gauges, which do
not add up, are not told at all.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from monitoring.report import Figure, FleetState, LogState
from monitoring.web.admission import Admission
from monitoring.web.declared import DECLARED
from monitoring.web.reports import BAD_INPUTS, TRIGGER_REASONS, Measured, Measurements, Rollout
from monitoring.web.reports import VersionFigures as Version

OTHER_TENANTS = "_other"
RETIRED_KEPT_S = 86_400.0
ROLLED_KEPT_S = 7 * 86_400.0

_ANSWERING = ("live", "canary", "shadow")
_Total = tuple[str, str]  # name of a counter, and its reason or ""


class Metrics(Collector):
    """Every series of the sidecar.

    `clock` is this machine's, in seconds since 1970: freshness is a matter of now.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        measurements: Measurements,
        tenant_series_max: int = 200,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry = registry
        self._measurements = measurements
        self._clock = clock
        self._lock = threading.Lock()
        self._admission = Admission(tenant_series_max)
        self._others = _Others()
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples: there may be nothing to tell yet."""
        return [declared.family() for declared in DECLARED]

    def collect(self) -> Iterable[Metric]:
        """Return the families with the samples of this moment."""
        with self._lock:
            return self._collect(self._measurements.measured())

    def _collect(self, measured: Measured) -> list[Metric]:
        now_s = self._clock()
        admitted = self._admission.admit(_by_arrival(measured))
        scrape = _Scrape()
        self._others.count(
            version for version in measured.watched if version.tenant not in admitted
        )
        scrape.others(self._others.totals)
        for roles in _by_version(measured.watched):
            if roles[0].tenant in admitted and _is_told(roles, now_s):
                scrape.version(roles, now_s)
        for rollout in measured.rollouts:
            if rollout.tenant in admitted:
                scrape.rollout(rollout, now_s)
        scrape.add("calibration_objective_ratio", {}, measured.calibration_objective)
        scrape.fleet(measured.fleet, measured.fleet_alarms)
        scrape.log(measured.log)
        scrape.add("monitor_idle_seconds", {}, max(0.0, now_s - measured.looked_s))
        scrape.add("monitor_tenants_dropped_total", {}, self._admission.dropped)
        scrape.add("monitor_info", {"version": measured.version}, 1)
        return list(scrape.families.values())


class _Others:
    """Adds up what tenants without series count, from the first scrape on."""

    def __init__(self) -> None:
        self.totals: Counter[_Total] = Counter(dict.fromkeys(_no_totals(), 0))
        self._seen: dict[tuple[str, str, int, str], dict[_Total, int]] | None = None

    def count(self, versions: Iterable[Version]) -> None:
        """Add what was counted since the last time.

        The first time, nothing is: it was counted before this process began.
        """
        seen: dict[tuple[str, str, int, str], dict[_Total, int]] = {}
        for version in versions:
            key = (version.tenant, version.adapter, version.version, version.role)
            totals = seen[key] = dict(_totals(version))
            if self._seen is None:
                continue
            before = self._seen.get(key, {})
            for name, total in totals.items():
                last = before.get(name, 0)
                self.totals[name] += total - last if total >= last else total
        self._seen = seen


class _Scrape:
    """The families of one scrape, as they fill."""

    def __init__(self) -> None:
        self.families = {declared.name: declared.family() for declared in DECLARED}
        self._told: set[tuple[str, str, int]] = set()  # versions

    def add(self, name: str, labels: dict[str, str], value: float | None) -> None:
        """Add a sample; one that is not known, or no number, is left out."""
        if value is None or not math.isfinite(value):
            return
        name = f"tenantry_{name}"
        self.families[name].samples.append(Sample(name, labels, value))

    def others(self, totals: Counter[_Total]) -> None:
        """Add the counters of those who have no series of their own."""
        labels = {"tenant": OTHER_TENANTS, "adapter": OTHER_TENANTS, "version": OTHER_TENANTS}
        self._totals(totals.items(), labels)

    def version(self, roles: list[Version], now_s: float) -> None:
        """Add everything of one version; the role that it has now comes first in `roles`."""
        now = roles[0]
        self._told.add((now.tenant, now.adapter, now.version))
        labels = {"tenant": now.tenant, "adapter": now.adapter, "version": str(now.version)}
        self.add("drift_statistic", labels, now.drift_statistic)
        self.add("drift_effect_ratio", labels, now.drift_effect)
        self.add("drift_pvalue", labels, now.drift_pvalue)
        self.add("drift_evidence_log10", labels, now.drift_evidence_log10)
        self.add("drift_alarm", labels, now.drift_alarm)
        self._figure("calibration_error_ratio", labels, now.calibration_error)
        self.add("brier_score", labels, now.brier.value)
        self._figure("accuracy_ratio", labels | {"method": "labels"}, now.accuracy)
        self._figure("accuracy_ratio", labels | {"method": "estimate"}, now.estimated)
        self.add("label_coverage_ratio", labels, now.label_coverage)
        self.add("label_delay_seconds", labels, now.label_delay_s)
        last_s = max((role.last_s for role in roles if role.last_s is not None), default=None)
        age_s = None if last_s is None else max(0.0, now_s - last_s)
        self.add("data_freshness_seconds", labels, age_s)
        self.add("accuracy_objective_ratio", labels, now.accuracy_objective)
        self.add("version_quarantined", labels, now.out_of_service)
        self._answers(now, labels)
        triggered: dict[str, float] = {}
        for role in roles:
            for reason, time_s in role.triggered_s.items():
                triggered[reason] = max(time_s, triggered.get(reason, time_s))
        for raised, time_s in triggered.items():
            self.add("retrain_trigger_timestamp_seconds", labels | {"reason": raised}, time_s)
        self._reference(now, labels)
        sums: Counter[_Total] = Counter()
        for role in roles:
            for name, total in _totals(role):
                sums[name] += total
        self._totals(sums.items(), labels)

    def rollout(self, rollout: Rollout, now_s: float) -> None:
        """Add what rollouts say of an adapter, after its versions."""
        adapter = {"tenant": rollout.tenant, "adapter": rollout.adapter}
        for (version, role), share in rollout.shares.items():
            labels = adapter | {"version": str(version), "role": role}
            self.add("rollout_share_ratio", labels, share)
        last_s = max(rollout.rolled_s.values(), default=-math.inf)
        if rollout.shares or now_s - last_s < ROLLED_KEPT_S:
            for cause, time_s in rollout.rolled_s.items():
                self.add("rollout_timestamp_seconds", adapter | {"cause": cause}, time_s)
        for one in rollout.rolled_back:
            if now_s - one.time_s < ROLLED_KEPT_S:
                labels = adapter | {"version": str(one.version), "reason": one.reason}
                self.add("automatic_rollback_timestamp_seconds", labels, one.time_s)
        for version in rollout.out_of_service:
            # One that never answered is none of those that are watched.
            if (rollout.tenant, rollout.adapter, version) not in self._told:
                self.add("version_quarantined", adapter | {"version": str(version)}, 1)

    def fleet(self, fleet: FleetState | None, alarms: int) -> None:
        """Add what is told of all adapters together."""
        self.add("fleet_drift_alarms_total", {}, alarms)
        if fleet is not None:
            self.add("fleet_drift_alarm", {}, fleet.alarm)
            self.add("fleet_drift_evidence_log10", {}, fleet.evidence_log10)
            self.add("fleet_moved", {}, fleet.moved)
            self.add("fleet_watched", {}, fleet.watched)

    def log(self, log: LogState) -> None:
        """Add how far the log was read."""
        self.add("log_lag_seconds", {}, log.lag_s)
        self.add("log_backlog_bytes", {}, log.backlog_bytes)
        self.add("log_backlog_segments", {}, log.backlog_segments)
        self.add("log_events_read_total", {}, log.events)
        self.add("log_events_damaged_total", {}, log.damaged)
        self.add("log_events_missing_total", {}, log.missing)
        self.add("log_events_late_total", {}, log.late)

    def _answers(self, version: Version, labels: dict[str, str]) -> None:
        for name, share in version.class_shares.items():
            self.add("predicted_class_ratio", labels | {"label": name}, share)
        # Not `quantile`, which is for summaries.
        for level, value in version.confidence.items():
            self.add("confidence_ratio", labels | {"level": level}, value)
        for level, value in version.tokens.items():
            self.add("input_tokens", labels | {"level": level}, value)

    def _figure(self, name: str, labels: dict[str, str], figure: Figure) -> None:
        self.add(name, labels | {"bound": "point"}, figure.value)
        self.add(name, labels | {"bound": "lower"}, figure.lower)
        self.add(name, labels | {"bound": "upper"}, figure.upper)

    def _totals(self, totals: Iterable[tuple[_Total, int]], labels: dict[str, str]) -> None:
        for (name, reason), total in totals:
            self.add(name, labels | {"reason": reason} if reason else labels, total)

    def _reference(self, version: Version, labels: dict[str, str]) -> None:
        reference = version.reference
        more = {
            "standing": version.standing,
            "digest": version.digest,
            "source": reference.source,
            "rows": str(reference.rows),
            "backbone": reference.backbone or "",
        }
        self.add("reference_info", labels | more, 1)


def _totals(version: Version) -> Iterator[tuple[_Total, int]]:
    yield ("predictions_total", ""), version.predictions
    yield ("drift_alarms_total", ""), version.drift_alarms
    yield ("labels_total", ""), version.labels
    for reason in BAD_INPUTS:
        yield ("input_bad_total", reason), version.bad_inputs.get(reason, 0)
    for trigger in TRIGGER_REASONS:
        yield ("retrain_triggers_total", trigger), version.triggers.get(trigger, 0)


def _no_totals() -> Iterator[_Total]:
    yield from (("predictions_total", ""), ("drift_alarms_total", ""), ("labels_total", ""))
    yield from (("input_bad_total", reason) for reason in BAD_INPUTS)
    yield from (("retrain_triggers_total", reason) for reason in TRIGGER_REASONS)


def _by_arrival(measured: Measured) -> list[str]:
    """Return the tenants, those first that were seen first: a restart admits the same ones."""
    first: dict[str, float] = {}
    came = [(one.tenant, one.first_s) for one in measured.watched]
    came += [(one.tenant, one.first_s) for one in measured.rollouts]
    for tenant, first_s in came:
        first[tenant] = min(first_s, first.get(tenant, math.inf))
    return sorted(first, key=lambda tenant: (first[tenant], tenant))


def _by_version(watched: Iterable[Version]) -> Iterable[list[Version]]:
    """Return the roles of each version, the one that it has now first."""
    versions: dict[tuple[str, str, int], list[Version]] = {}
    for version in watched:
        key = (version.tenant, version.adapter, version.version)
        versions.setdefault(key, []).append(version)
    for roles in versions.values():
        if len(roles) > 1:
            roles.sort(key=lambda role: (role.role != role.standing, -(role.last_s or 0.0)))
    return versions.values()


def _is_told(roles: list[Version], now_s: float) -> bool:
    if any(role.out_of_service or role.standing in _ANSWERING for role in roles):
        return True
    return any(role.last_s is not None and now_s - role.last_s < RETIRED_KEPT_S for role in roles)


def metrics_reference() -> str:
    """Return the reference page of the sidecar's metrics, in Markdown."""
    lines = [
        "# Metrics of the sidecar",
        "",
        "`GET /metrics` of `tenantry monitor`, in Prometheus' text format or OpenMetrics by",
        "`Accept`. What is not known has no series.",
        "",
        "| series | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for declared in DECLARED:
        names = ", ".join(f"`{label}`" for label in declared.labels)
        lines.append(f"| `{declared.name}` | {declared.kind} | {names} | {declared.text} |")
    return "\n".join(lines) + "\n"
