"""What can be chosen at the head of a dashboard.

Tenants, adapters and versions are those that the sidecar tells of. `_other`, under which the
counters of those beyond the cap are added up, is nobody and cannot be chosen; `All` includes it.
"""

from grafana_foundation_sdk.builders.dashboard import (
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.dashboards.query import DATASOURCE

_NOBODY_ELSE = "/^(?!_other$).*/"
_ALL = VariableOption(selected=True, text="All", value="$__all")


def datasource() -> DatasourceVariable:
    """Return the choice of a Prometheus."""
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the service and the sidecar.")
        .type("prometheus")
    )


def tenant(*, everyone: bool) -> QueryVariable:
    """Return the choice of one tenant, or of all of them together."""
    about = "A tenant that the sidecar tells of."
    return _of_labels("tenant", "Tenant", about, "", everyone=everyone)


def adapter(*, everyone: bool) -> QueryVariable:
    """Return the choice of one of the tenant's adapters, or of all of them together."""
    about = "An adapter of the tenant."
    return _of_labels("adapter", "Adapter", about, 'tenant=~"$tenant"', everyone=everyone)


def versions() -> QueryVariable:
    """Return the choice of some of the adapter's versions."""
    where = 'tenant=~"$tenant", adapter=~"$adapter"'
    about = "Versions of the adapter that answered something or are in the rollout."
    found = _of_labels("version", "Version", about, where, everyone=True)
    return found.multi(True).sort(VariableSort.NUMERICAL_DESC)


def price() -> TextBoxVariable:
    """Return the price of a replica, by which compute becomes money."""
    return (
        TextBoxVariable("price")
        .label("Price of a replica-hour")
        .description("In your currency; 1 shows replica-hours. A number, with a point.")
        .default_value("1")
        .current(VariableOption(selected=True, text="1", value="1"))
    )


def _of_labels(name: str, label: str, about: str, where: str, *, everyone: bool) -> QueryVariable:
    selector = f"tenantry_predictions_total{{{where}}}" if where else "tenantry_predictions_total"
    query = f"label_values({selector}, {name})"
    found = (
        QueryVariable(name)
        .label(label)
        .description(about)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .regex(_NOBODY_ELSE)
        .allow_custom_value(False)
    )
    return found.include_all(True).all_value(".+").current(_ALL) if everyone else found
