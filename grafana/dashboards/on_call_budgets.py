"""On call's error budgets: how much is left, how fast it goes, and whose.

The series are recorded from `slo.yaml`, the windows and speeds at which alerts fire are its too.
"""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import links, palette
from grafana.dashboards.expressions import largest
from grafana.dashboards.grid import Section, line
from grafana.dashboards.panels import Steps, graph, number
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of
from grafana.rules import budgets
from grafana.slo import Slo

NO_REQUESTS = "unknown: no requests yet"
LEFT: Steps = ((None, palette.BAD), (0, palette.WARNING), (0.25, palette.GOOD))


def speeds(slo: Slo) -> Steps:
    """Return the burn rates at which alerts fire, with colours of their severity."""
    colors = {"critical": palette.BAD, "warning": palette.WARNING}
    fired = {window.burn: colors[window.severity] for window in slo.windows}
    return ((None, palette.GOOD), *sorted(fired.items()))


def shares(slo: Slo) -> tuple[Builder[Panel], Builder[Panel]]:
    """Return how many requests fail and are late now."""
    return (
        _share(
            "Failing now",
            "Share of the requests of the last five minutes that ended in a 5xx. Red: at this"
            " speed somebody is paged. See Requests for the route and the reason.",
            budgets.ratio(budgets.SERVICE, "error", budgets.STEP),
            slo.service.availability,
            slo,
        ),
        _share(
            "Late now",
            "Share of the answers of the last five minutes that came after the latency objective"
            " of their tenant's class. See Where the time goes for the stage.",
            budgets.ratio(budgets.SERVICE, "latency", budgets.STEP),
            slo.service.latency,
            slo,
        ),
    )


def _share(title: str, about: str, series: str, objective: float, slo: Slo) -> Builder[Panel]:
    allowed = 1 - objective
    page = min(window.burn for window in slo.windows if window.severity == "critical")
    steps: Steps = (
        (None, palette.GOOD),
        (round(allowed, 9), palette.WARNING),
        (round(page * allowed, 9), palette.BAD),
    )
    return number(
        title, about, Query(series), "percentunit", steps=steps, nothing=NO_REQUESTS, decimals=2
    )


def budget_left(slo: Slo, sli: str, title: str) -> Builder[Panel]:
    """Return what is left of a budget of the service."""
    what = "failed requests" if sli == "error" else "late answers"
    return number(
        title,
        f"Of the {what} that the objective allows in {slo.period}. Below 0 the promise is broken:"
        " no rollouts until it recovers.",
        Query(f"1 - {budgets.burn(budgets.SERVICE, sli, slo.period)}"),
        "percentunit",
        steps=LEFT,
        nothing=NO_REQUESTS,
        decimals=1,
    )


def burning(slo: Slo) -> Section:
    """Return how fast budgets go."""
    left = tuple(
        Query(f"1 - {budgets.burn(budgets.SERVICE, sli, slo.period)}", name)
        for sli, name in (("error", "availability"), ("latency", "latency"))
    )
    return Section(
        "Error budgets",
        (
            line(
                8,
                _burn(slo, "error", "Availability: speed of burning"),
                _burn(slo, "latency", "Latency: speed of burning"),
                graph(
                    "Budgets left",
                    f"What is left of {slo.period}, over time. A step down is an incident, its"
                    " height what it cost.",
                    left,
                    "percentunit",
                    steps=((None, palette.BAD), (0, palette.GOOD)),
                    high=1,
                    nothing=NO_REQUESTS,
                ),
            ),
            line(8, _tenants(slo)),
        ),
    )


def _burn(slo: Slo, sli: str, title: str) -> Builder[Panel]:
    windows = sorted(slo.windows, key=lambda window: -window.burn)
    return graph(
        title,
        "Multiples of the speed that uses the budget up in its period, over each window; the lines"
        " are where alerts fire, red ones page. The shortest window alone high: it has just begun,"
        " or is over soon; all of them: it has gone on for days.",
        (
            Query(budgets.burn(budgets.SERVICE, sli, windows[0].short), windows[0].short),
            *(
                Query(budgets.burn(budgets.SERVICE, sli, window.long), window.long)
                for window in windows
            ),
        ),
        "none",
        steps=speeds(slo),
        low=0,
        nothing=NO_REQUESTS,
    )


def _tenants(slo: Slo) -> Builder[Panel]:
    def worst(sli: str, window: str) -> str:
        return largest(budgets.burn(budgets.TENANT, sli, window), "tenant", 'tenant=~"$tenant"')

    fast = max(slo.windows, key=lambda window: window.burn)
    slow = min(slo.windows, key=lambda window: window.burn)
    steps = speeds(slo)
    return table_of(
        "Tenants, by speed of burning",
        "How fast each tenant's budgets burn, by the objectives of its class. One tenant red and"
        " the others not: its adapter, its load or its texts; click it. `_other` adds up those"
        " without series of their own.",
        (
            Value(worst("error", fast.long), f"Failures, {fast.long}", "none", 2, steps),
            Label("tenant", "Tenant", links.of_row(links.TENANT, "tenant")),
            Value(
                worst("latency", fast.long),
                f"Late answers, {fast.long}",
                "none",
                2,
                steps,
                nothing="no answers",
            ),
            Value(worst("error", slow.long), f"Failures, {slow.long}", "none", 2, steps),
            Value(worst("latency", slow.long), f"Late answers, {slow.long}", "none", 2, steps),
            Value(f"1 - {worst('error', slo.period)}", "Error budget left", "percentunit", 1, LEFT),
        ),
        nothing="unknown: no requests yet",
        sort=f"Failures, {fast.long}",
    )
