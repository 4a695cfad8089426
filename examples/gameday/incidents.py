"""The incidents of a game day, and who must hear of each."""

from collections.abc import Sequence

from examples.gameday import strikes
from examples.gameday.errors import GameDayFailed
from examples.gameday.incident import Expected, Incident
from examples.gameday.stack import Ground

_LIMIT = {"rates": {"requests_per_s": 8.0}}
_SMALL_DISK = 160  # megabytes
# A week with labels and half a week without would be four hours.
_LABELS_SOONER = {
    ("TenantryLabelsStopped", "since"): 15.0,
    ("TenantryLabelsStopped", "before"): 8.0,
    ("TenantryLabelsStopped", "known"): 20.0,
}


def _of(alert: str, tenant: str) -> Expected:
    return Expected(alert, {"tenant": tenant})


EVERY = (
    Incident(
        name="flooding tenant",
        story="garage asks 60 times a second; its limit is 8",
        strike=strikes.flood,
        ground=Ground(tenants={"garage": _LIMIT}),
        expected=(_of("TenantryTenantLimited", "garage"),),
    ),
    Incident(
        name="broken adapter",
        story="hotel's new version is live, and its outputs are no numbers",
        strike=strikes.break_adapter,
        expected=(_of("TenantryAdapterQuarantined", "hotel"),),
    ),
    Incident(
        name="bad adapter",
        story="bakery's new version learned something else, and labelled its own hold-out",
        strike=strikes.roll_out_worse,
        expected=(
            _of("TenantryAccuracyBelowObjective", "bakery"),
            _of("TenantryCalibrationBeyondObjective", "bakery"),
        ),
        may=(_of("TenantryRetrainRequested", "bakery"),),
    ),
    Incident(
        name="worse canary",
        story="bakery's new version learned something else; half of the callers get it as a canary",
        strike=strikes.roll_out_stranger,
        expected=(_of("TenantryCanaryRolledBack", "bakery"),),
        may=(
            _of("TenantryAccuracyBelowObjective", "bakery"),
            _of("TenantryCalibrationBeyondObjective", "bakery"),
        ),
    ),
    Incident(
        name="base model swapped",
        story="the service starts again with another backbone",
        prepare=lambda stack: stack.town.other_bundle(),
        strike=strikes.swap_the_base,
        expected=(Expected("TenantryMixedBundles"),),
        may=(Expected("TenantryServiceDown"),),  # a restart of five seconds is one of five minutes
    ),
    Incident(
        name="drift",
        story="florist gets somebody else's mail",
        strike=strikes.drift,
        expected=(_of("TenantryDrift", "florist"),),
        may=(_of("TenantryRetrainRequested", "florist"),),
    ),
    Incident(
        name="everyone drifts",
        story="what prepares the texts loses every space, for all tenants",
        prepare=strikes.be_busy,
        within_s=90.0,
        strike=strikes.drift_of_all,
        expected=(Expected("TenantryFleetDrift"),),
        may=(Expected("TenantryDrift"), Expected("TenantryRetrainRequested")),
        inhibited=("TenantryDrift",),
    ),
    Incident(
        name="label turn",
        story="the people of hotel judge by new rules",
        strike=strikes.turn_labels,
        expected=(_of("TenantryAccuracyBelowObjective", "hotel"),),
        may=(
            _of("TenantryCalibrationBeyondObjective", "hotel"),
            _of("TenantryRetrainRequested", "hotel"),
        ),
    ),
    Incident(
        name="calibration loss",
        story="library's new version answers the same, and is far too sure of it",
        strike=strikes.lose_calibration,
        expected=(_of("TenantryCalibrationBeyondObjective", "library"),),
        may=(_of("TenantryRetrainRequested", "library"),),
    ),
    Incident(
        name="full disk",
        story="something else takes all the room of the state's file system",
        strike=strikes.fill_disk,
        ground=Ground(disk_megabytes=_SMALL_DISK),
        expected=(
            Expected("TenantryEventLogFailing"),
            Expected("TenantryDiskFilling"),
            Expected("TenantryEventsDropped"),
        ),
    ),
    Incident(
        name="sidecar dead",
        story="kill -9 of the sidecar",
        strike=strikes.kill_sidecar,
        expected=(Expected("TenantryMonitorDown"),),
    ),
    Incident(
        name="registry gone",
        story="the registry's file is moved away",
        strike=strikes.lose_registry,
        expected=(Expected("TenantryRegistryUnreachable"),),
    ),
    Incident(
        name="slow disk",
        story="each sync of the event log waits for a second and a half",
        strike=strikes.slow_disk,
        expected=(Expected("TenantryEventLogSlow"),),
    ),
    Incident(
        name="slow model",
        story="every forward pass takes 0.8 s, and half a second is promised",
        strike=strikes.slow_model,
        expected=(Expected("TenantryLatencyBudgetBurn", {"severity": "critical"}),),
        may=(Expected("TenantryLatencyBudgetBurn"), Expected("TenantryTenantLatencyBudgetBurn")),
        inhibited=("TenantryTenantLatencyBudgetBurn",),
    ),
    Incident(
        name="archives",
        story="cinema sends a thousand texts in a request, which take too long",
        prepare=strikes.be_real_sized,
        strike=strikes.send_archives,
        expected=(_of("TenantryTenantLatencyBudgetBurn", "cinema"),),
        may=(Expected("TenantryLatencyBudgetBurn", {"severity": "warning"}),),
    ),
    Incident(
        name="too few slots",
        story="six tenants begin a canary at the same time, twelve adapters for eight slots",
        ground=Ground(service={"bank_slots": 8, "host_cache_bytes_max": 0}),
        prepare=strikes.prepare_canaries,
        strike=strikes.begin_canaries,
        expected=(Expected("TenantryBankThrashing"),),
    ),
    Incident(
        name="broken encoding",
        story="florist's texts are decoded with the wrong character set",
        strike=strikes.break_encoding,
        expected=(_of("TenantryInputQuality", "florist"),),
        may=(_of("TenantryDrift", "florist"), _of("TenantryRetrainRequested", "florist")),
    ),
    Incident(
        name="empty texts",
        by_name=True,
        story="a field is renamed, and what cinema sends is empty",
        strike=strikes.send_nothing,
        expected=(_of("TenantryInputQuality", "cinema"),),
        may=(
            _of("TenantryDrift", "cinema"),
            _of("TenantryRetrainRequested", "cinema"),
            _of("TenantryAccuracyBelowObjective", "cinema"),
            _of("TenantryCalibrationBeyondObjective", "cinema"),
        ),
    ),
    Incident(
        name="tenant gone",
        story="the callers of library go home, and do not come back",
        ground=Ground(sooner={("TenantryDataStale", "age"): 20.0}),
        strike=strikes.stop_sending,
        expected=(_of("TenantryDataStale", "library"),),
    ),
    Incident(
        name="half drift",
        by_name=True,
        story="three tenants of six get somebody else's mail",
        strike=strikes.drift_of_half,
        expected=tuple(_of("TenantryDrift", name) for name in ("bakery", "cinema", "florist")),
        may=tuple(
            _of("TenantryRetrainRequested", name) for name in ("bakery", "cinema", "florist")
        ),
    ),
    Incident(
        name="unread log deleted",
        story="the sidecar hangs, and retention deletes what it has not read",
        ground=Ground(
            service={"events_segment_bytes": 1 << 16, "events_kept_bytes": 1 << 20},
        ),
        strike=strikes.hang_sidecar,
        within_s=90.0,  # retention looks each half minute
        expected=(Expected("TenantryMonitorDown"), Expected("TenantryLogUnreadDeleted")),
    ),
    Incident(
        name="sidecar starved",
        story="the sidecar gets a twentieth of a core, and all callers ask more",
        prepare=strikes.be_busy,
        strike=strikes.starve_sidecar,
        expected=(Expected("TenantryLogLag"),),
    ),
    Incident(
        name="service dead",
        by_name=True,
        story="kill -9 of the service",
        strike=strikes.kill_service,
        expected=(Expected("TenantryServiceDown", {"severity": "critical"}),),
    ),
    Incident(
        name="service hangs",
        story="the service is stopped where it is: it listens, and answers nobody",
        strike=strikes.hang_service,
        expected=(Expected("TenantryServiceDown", {"severity": "critical"}),),
    ),
    Incident(
        name="replica dead",
        story="kill -9 of one of two replicas",
        prepare=strikes.start_replica,
        strike=strikes.kill_replica,
        expected=(Expected("TenantryServiceDown", {"severity": "warning"}),),
    ),
    Incident(
        name="replicas differ",
        story="a second replica starts with another backbone",
        prepare=lambda stack: stack.town.other_bundle(),
        strike=strikes.start_other_replica,
        expected=(Expected("TenantryMixedBundles"),),
    ),
    Incident(
        name="damaged adapter",
        story="garage's stored weights are damaged, and the service starts again",
        strike=strikes.damage_adapter,
        expected=(
            Expected("TenantryErrorBudgetBurn", {"severity": "critical"}),
            _of("TenantryTenantErrorBudgetBurn", "garage"),
        ),
        may=(
            Expected("TenantryErrorBudgetBurn"),
            Expected("TenantryServiceDown"),  # a restart of five seconds is one of five minutes
        ),
    ),
    Incident(
        name="overload",
        story="all callers send 300 texts in a request, four times a second",
        ground=Ground(service={"queue_texts_max": 1000, "tenant_queue_ratio": 10.0}),
        prepare=strikes.be_real_sized,
        strike=strikes.overload,
        expected=(Expected("TenantryQueueSaturated"),),
        may=(
            Expected("TenantryLatencyBudgetBurn"),
            Expected("TenantryTenantLatencyBudgetBurn"),
            Expected("TenantryErrorBudgetBurn"),
            Expected("TenantryTenantErrorBudgetBurn"),
        ),
    ),
    Incident(
        name="worse canary kept",
        story="the same worse canary, and the service may not take it out",
        ground=Ground(service={"automatic_rollback": "off"}),
        strike=strikes.roll_out_stranger,
        expected=(_of("TenantryCanaryWorse", "bakery"),),
        may=(
            _of("TenantryAccuracyBelowObjective", "bakery"),
            _of("TenantryCalibrationBeyondObjective", "bakery"),
            _of("TenantryRetrainRequested", "bakery"),
        ),
    ),
    Incident(
        name="too many tenants",
        story="two tenants more than have series of their own",
        ground=Ground(service={"tenant_series_max": 6}),
        strike=strikes.open_branches,
        expected=(Expected("TenantryTenantsUncounted"),),
    ),
    Incident(
        name="labels stop",
        story="the people of cinema label no more, and go on asking",
        ground=Ground(sooner=_LABELS_SOONER),
        strike=strikes.stop_labels,
        expected=(_of("TenantryLabelsStopped", "cinema"),),
    ),
    Incident(
        name="collector dead",
        by_name=True,
        story="every request is recorded, and the collector of traces is not there",
        ground=Ground(service={"otlp_endpoint": "http://127.0.0.1:9", "trace_ratio": 1.0}),
        strike=lambda _: None,
        expected=(),
    ),
    Incident(
        name="clock ahead",
        by_name=True,
        story="the service's clock is set ten minutes ahead",
        strike=strikes.set_clock_ahead,
        expected=(),
    ),
    Incident(
        name="clock behind",
        by_name=True,
        story="the service's clock is set ten minutes back",
        strike=strikes.set_clock_back,
        expected=(Expected("TenantryLogLag"),),
    ),
)


def incidents_of(only: Sequence[str] = ()) -> tuple[Incident, ...]:
    """Return the incidents of a whole day, or those of some names, with hyphens perhaps.

    Raises `GameDayFailed` where one of the names is none's.
    """
    by_name = {incident.name.replace(" ", "-"): incident for incident in EVERY}
    names = [name.strip().replace(" ", "-") for name in only]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise GameDayFailed(f"no incident {', '.join(unknown)}; there are {', '.join(by_name)}")
    if names:
        return tuple(by_name[name] for name in names)
    return tuple(incident for incident in EVERY if not incident.by_name)
