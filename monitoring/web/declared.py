"""The names of every series that the sidecar exports, what labels they have, and what they mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import Metric

_VERSION = ("tenant", "adapter", "version")


@dataclass(frozen=True, slots=True)
class Declared:
    """One family of series."""

    name: str  # as it is exported
    kind: Literal["counter", "gauge", "info"]
    labels: tuple[str, ...]
    text: str

    def family(self) -> Metric:
        """Return it without samples."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return Metric(self.name.removesuffix(suffix), self.text, self.kind)


def _of_versions() -> Iterator[Declared]:
    def gauge(name: str, text: str, *labels: str) -> Declared:
        return Declared(f"tenantry_{name}", "gauge", (*_VERSION, *labels), text)

    def counter(name: str, text: str, *labels: str) -> Declared:
        return Declared(f"tenantry_{name}_total", "counter", (*_VERSION, *labels), text)

    yield gauge("drift_statistic", "Squared distance of window and reference; may be below 0.")
    yield gauge("drift_effect_ratio", "Drift over its tolerance: beyond 1 is beyond tolerance.")
    yield gauge("drift_pvalue", "Probability of such a statistic without drift.")
    yield gauge("drift_evidence_log10", "Evidence of the continuous watch, as a power of ten.")
    yield gauge("drift_alarm", "1 while a drift alarm stands.")
    yield counter("drift_alarms", "Drift alarms that began.")
    yield gauge("calibration_error_ratio", "Debiased calibration error; 95 % interval.", "bound")
    yield gauge("brier_score", "Brier score of the predicted class.")
    yield gauge(
        "accuracy_ratio",
        "Accuracy by labels, and as estimated from calibrated confidence; 95 % interval.",
        "method",
        "bound",
    )
    yield counter("labels", "Labels that came back, the last of each prediction.")
    yield gauge("label_coverage_ratio", "Labels over the predictions of the same time.")
    yield gauge("label_delay_seconds", "Median time from a prediction to its label.")
    yield counter(
        "input_bad",
        "Inputs with something wrong; `replaced`: with U+FFFD in them, `undecodable`: images.",
        "reason",
    )
    yield gauge("data_freshness_seconds", "Time since the last prediction.")
    yield counter("retrain_triggers", "Retrain triggers that were raised.", "reason")
    yield Declared(
        "tenantry_reference_info",
        "info",
        (*_VERSION, "standing", "digest", "source", "rows", "backbone"),
        "What a version's windows are compared with; `pooled`: borrowed from its backbone.",
    )
    yield counter("predictions", "Predictions that were read, in whatever role.")
    yield gauge(
        "predicted_class_ratio",
        "Share of the newest window's rows; the 10 largest classes, the rest as `_other`.",
        "label",
    )
    yield gauge("confidence_ratio", "Quantiles of the newest window's confidence.", "level")
    yield gauge("input_tokens", "Quantiles of a text's tokens in the newest window.", "level")
    yield gauge("accuracy_objective_ratio", "The hold-out's accuracy, less the tolerated drop.")
    yield gauge(
        "retrain_trigger_timestamp_seconds", "When a retrain trigger was raised last.", "reason"
    )


def _of_rollouts() -> Iterator[Declared]:
    def gauge(name: str, text: str, *labels: str) -> Declared:
        return Declared(f"tenantry_{name}", "gauge", (*_VERSION, *labels), text)

    yield gauge(
        "rollout_share_ratio",
        "Share of the requests that the rollout has a version answer; 0: it is a shadow.",
        "role",
    )
    yield gauge(
        "version_quarantined", "1 while a version is out of service that the rollout names."
    )
    yield gauge(
        "automatic_rollback_timestamp_seconds",
        "When the service last took a version out by itself; for a week.",
        "reason",
    )
    yield Declared(
        "tenantry_rollout_timestamp_seconds",
        "gauge",
        ("tenant", "adapter", "cause"),
        "When the rollout was changed last: by an `operator`, or `automatic`.",
    )


def _of_the_sidecar() -> Iterator[Declared]:
    def gauge(name: str, text: str) -> Declared:
        return Declared(f"tenantry_{name}", "gauge", (), text)

    def counter(name: str, text: str) -> Declared:
        return Declared(f"tenantry_{name}_total", "counter", (), text)

    yield gauge("fleet_drift_alarm", "1 while everyone moved: the backbone or what is before it.")
    yield counter("fleet_drift_alarms", "Fleet alarms that began.")
    yield gauge("fleet_drift_evidence_log10", "Evidence that everyone moved, as a power of ten.")
    yield gauge("fleet_moved", "Adapters in alarm.")
    yield gauge("fleet_watched", "Adapters that are watched.")
    yield gauge("log_lag_seconds", "Age of the oldest part of the log that is not read yet.")
    yield gauge("log_backlog_bytes", "Log that is not read yet.")
    yield gauge("log_backlog_segments", "Segments with log that is not read yet.")
    yield counter("log_events_read", "Events that were read.")
    yield counter("log_events_damaged", "Frames of the log that could not be read.")
    yield counter("log_events_missing", "Events that the log lost before they were read.")
    yield counter("log_events_late", "Events that came after their time was settled.")
    yield gauge("calibration_objective_ratio", "Calibration error that is tolerated: a setting.")
    yield gauge("monitor_idle_seconds", "Time since the log was read, if only to find nothing.")
    yield counter(
        "monitor_tenants_dropped",
        "Times that a tenant was put under `_other`, all places for series being taken.",
    )
    yield Declared("tenantry_monitor_info", "info", ("version",), "The version of this sidecar.")


DECLARED = (*_of_versions(), *_of_rollouts(), *_of_the_sidecar())
