"""The ways from one dashboard to another, to runbooks and to traces.

A link carries the data source, the time range and what was chosen; names of tenants and adapters
are of letters, digits and `-`, so they are safe in an address as they are.
"""

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

FLEET = "tenantry-fleet"
ON_CALL = "tenantry-on-call"
TENANT = "tenantry-tenant"
DEBUG = "tenantry-debug"

TITLES = {FLEET: "Fleet", ON_CALL: "On call", TENANT: "Tenant", DEBUG: "Debug"}
_WHEN = "${datasource:queryparam}&${__url_time_range}"


def all_but(uid: str) -> list[DashboardLink]:
    """Return the links at the head of a dashboard: to the others, with variables and time."""
    return [
        DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .url(f"/d/{other}")
        .icon("dashboard")
        .tooltip(f"{title}, for the same tenant, adapter and time")
        .include_vars(True)
        .keep_time(True)
        for other, title in TITLES.items()
        if other != uid
    ]


def of_row(uid: str, *fields: str) -> tuple[str, str]:
    """Return the link of a table's cell, with the row's labels as the variables of that name."""
    given = "&".join(f"var-{field}=${{__data.fields.{field}}}" for field in fields)
    return f"Open {TITLES[uid]}", f"/d/{uid}?{given}&{_WHEN}"


def of_series(uid: str, *labels: str) -> tuple[str, str]:
    """Return the link of a series, with its labels as the variables of that name."""
    given = "&".join(f"var-{label}=${{__field.labels.{label}}}" for label in labels)
    return f"Open {TITLES[uid]}", f"/d/{uid}?{given}&{_WHEN}"


def to(uid: str) -> tuple[str, str]:
    """Return a panel's link to a dashboard."""
    return f"Open {TITLES[uid]}", f"/d/{uid}?{_WHEN}"
