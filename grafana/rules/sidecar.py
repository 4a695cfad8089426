"""Alerts about the sidecar, about what it may have missed, and the dead-man's switch."""

from collections.abc import Iterator

from grafana.rules.rule import Alert
from grafana.rules.service import SIDECAR, mostly_down
from grafana.rules.telling import DEBUG, FLEET, Message, Teller
from grafana.slo import Slo

_UP = f'up{{job="{SIDECAR}"}}'
_TIME = "{{ $value | humanizeDuration }}"


def alerts(slo: Slo) -> Iterator[Alert]:
    """Yield them, the heartbeat last."""
    teller = Teller(slo)
    yield teller.alert(
        "TenantryMonitorDown",
        f"absent({_UP} == 1)\nor\n"
        f"{mostly_down(_UP, '20m', slo.limit('TenantryMonitorDown', 'up'))}",
        "critical",
        Message(
            "The sidecar does not answer",
            f"No target of the job {SIDECAR} could be scraped. Nobody would hear of drift, of lost"
            " accuracy, or of lost calibration.",
        ),
    )
    yield from _behind(slo, teller)
    yield teller.alert(
        "TenantryLogUnreadDeleted",
        "sum(increase(tenantry_event_log_unread_segments_deleted_total[1h])) > 0\n"
        "or\n"
        "sum(increase(tenantry_log_events_missing_total[1h])) > 0",
        "warning",
        Message(
            "Parts of the event log were deleted before the sidecar read them",
            "The figures of that time have a gap that nothing fills any more.",
            board=DEBUG,
        ),
    )
    yield teller.alert(
        "TenantryTenantsUncounted",
        "sum by (job) (increase(tenantry_tenant_series_dropped_total[1h])) > 0\n"
        "or\n"
        "max by (job) (last_over_time(tenantry_monitor_tenants_dropped_total[10m])) > 0",
        "info",
        Message(
            "Some tenants have no series of their own ({{ $labels.job }})",
            'They are counted under "_other", and alerts by tenant do not see them: raise'
            " TENANTRY_TENANT_SERIES_MAX or TENANTRY_MONITOR_TENANT_SERIES_MAX.",
            board=FLEET,
        ),
    )
    yield teller.alert(
        "TenantryWatchdog",
        "vector(1)",
        "none",
        Message(
            "Alerts reach their receivers",
            "Always fires. When it stops arriving, Prometheus, Alertmanager or the way from"
            " there is broken.",
        ),
    )


def _behind(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryMonitorStale"
    yield teller.alert(
        name,
        f"max(last_over_time(tenantry_monitor_idle_seconds[10m])) > {slo.limit(name, 'idle')}",
        "warning",
        Message(
            "The sidecar answers, and does not look at the log",
            f"It last looked {_TIME} ago; its figures stand still.",
            board=DEBUG,
        ),
    )
    name = "TenantryLogLag"
    yield teller.alert(
        name,
        f"max(last_over_time(tenantry_log_lag_seconds[10m])) > {slo.limit(name, 'lag')}",
        "warning",
        Message(
            "The sidecar is behind the event log",
            f"Its figures are {_TIME} old.",
            board=DEBUG,
        ),
    )
