"""Alerts that fire, as a table and as numbers, from Prometheus' own series of them.

`ALERTS_FOR_STATE` holds since when an alert's condition has held. `TenantryWatchdog` always fires:
where it does, no other alert is good news, and where it does not, nobody watches.
"""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import links
from grafana.dashboards.objectives import ANY_IS_BAD, SEVERITIES
from grafana.dashboards.panels import number
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of
from grafana.slo import Slo

WATCHED = 'max(ALERTS{alertname="TenantryWatchdog", alertstate="firing"})'
NOBODY_WATCHES = "unknown: nobody watches"


def firing(where: str, by: str = "") -> str:
    """Return how many alerts fire, or how many values of `by` have one that does."""
    alerts = f'ALERTS{{alertstate="firing", {where}}}'
    counted = f"count(count by ({by}) ({alerts}))" if by else f"count({alerts})"
    return f"{counted} or 0 * {WATCHED}"


def pages() -> Builder[Panel]:
    """Return the number of critical alerts that fire."""
    return number(
        "Pages that fire",
        "Critical alerts: users are hurt now. Above 0: the table of alerts says which, and its"
        " runbook what to do. Unknown: rules are not evaluated, so silence means nothing.",
        Query(firing('severity="critical"')),
        "short",
        steps=ANY_IS_BAD,
        nothing=NOBODY_WATCHES,
        decimals=0,
        link=links.to(links.ON_CALL),
    )


def alerts_table(title: str, about: str, where: str, slo: Slo) -> Builder[Panel]:
    """Return the alerts that fire, the newest first, with links to runbooks and tenants."""
    by = "alertname, tenant, adapter, version, severity, owner"
    runbook = ("Open the runbook", f"{slo.urls.runbooks}/${{__data.fields.alertname}}.md")
    since = (
        f"max by ({by}) (ALERTS_FOR_STATE{{{where}}} * 1000"
        f' and ignoring (alertstate) ALERTS{{alertstate="firing", {where}}})'
    )
    return table_of(
        title,
        about,
        (
            Value(since, "Since", "dateTimeFromNow"),
            Label("severity", "Severity", words=SEVERITIES, width=90),
            Label("alertname", "Alert", runbook),
            Label("tenant", "Tenant", links.of_row(links.TENANT, "tenant", "adapter")),
            Label("adapter", "Adapter", links.of_row(links.ON_CALL, "tenant", "adapter")),
            Label("version", "Version", width=80),
            Label("owner", "Owner", width=90),
        ),
        nothing="no alert fires (where the watchdog fires; else nobody watches)",
        sort="Since",
    )
