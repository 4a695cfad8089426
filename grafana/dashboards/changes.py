"""What changed lately: rollouts, rollbacks and retrain triggers as tables."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import links, palette
from grafana.dashboards.expressions import ADAPTER, VERSION
from grafana.dashboards.panels import Words
from grafana.dashboards.tables import Label, Value, table_of

SHOWN = 20
_CAUSES: Words = (
    ("operator", "operator", palette.ROLLOUT),
    ("automatic", "automatic", palette.ROLLBACK),
)
_TENANT = links.of_row(links.TENANT, "tenant", "adapter")


def _latest(metric: str, by: str) -> str:
    """Return the times of the latest events in milliseconds, one of each kind."""
    return f"topk({SHOWN}, max by ({by}) (last_over_time({metric}[$__range]))) * 1000"


def rollouts() -> Builder[Panel]:
    """Return the last rollouts of adapters."""
    return table_of(
        "Recent rollouts",
        f"The last change of an adapter's rollout, by an operator or by the service itself; the"
        f" {SHOWN} latest. Trouble that began then began with it: roll back first, then look why.",
        (
            Value(
                _latest("tenantry_rollout_timestamp_seconds", f"{ADAPTER}, cause"),
                "When",
                "dateTimeFromNow",
            ),
            Label("tenant", "Tenant", _TENANT),
            Label("adapter", "Adapter"),
            Label("cause", "By", words=_CAUSES),
        ),
        nothing="none, as far as the sidecar knows",
        sort="When",
    )


def rollbacks() -> Builder[Panel]:
    """Return the versions that the service took out by itself."""
    return _of_versions(
        "Automatic rollbacks",
        "Canaries that the service took out by itself, and why. Nobody needs to act at once; who"
        " rolled it out must know.",
        "tenantry_automatic_rollback_timestamp_seconds",
    )


def triggers() -> Builder[Panel]:
    """Return the latest retrain triggers."""
    return _of_versions(
        "Retrain triggers",
        "When the sidecar last asked for new training, and why. Each went to the webhook, if one"
        " is configured, with its evidence. The same adapter again and again: its data changes"
        " faster than it is trained.",
        "tenantry_retrain_trigger_timestamp_seconds",
    )


def _of_versions(title: str, about: str, timestamp: str) -> Builder[Panel]:
    """Return what happened to versions, and for which reason, latest first."""
    return table_of(
        title,
        about,
        (
            Value(_latest(timestamp, f"{VERSION}, reason"), "When", "dateTimeFromNow"),
            Label("tenant", "Tenant", _TENANT),
            Label("adapter", "Adapter"),
            Label("version", "Version"),
            Label("reason", "Reason"),
        ),
        nothing="none, as far as the sidecar knows",
        sort="When",
    )
