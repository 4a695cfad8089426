"""On call's row about models: drift and calibration by adapter."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import links
from grafana.dashboards.expressions import VERSION, largest, live
from grafana.dashboards.grid import Section, line
from grafana.dashboards.objectives import (
    DRIFT,
    MARGIN,
    calibrated,
    calibration_margin,
    calibration_objective,
    labelled,
)
from grafana.dashboards.panels import graph
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of
from grafana.slo import Slo

CHOSEN = 'tenant=~"$tenant", adapter=~"$adapter"'
NAME = "{{tenant}}/{{adapter}} {{version}}"


def models(slo: Slo) -> Section:
    """Return the row."""
    drift = largest("tenantry_drift_effect_ratio", VERSION, CHOSEN)
    worst = largest("tenantry_drift_effect_ratio", VERSION, CHOSEN, "end()")
    return Section(
        "Models: $tenant, $adapter",
        (
            line(
                9,
                graph(
                    "Drift over tolerance, by adapter",
                    "The ten that are furthest from their reference now. Beyond 1: inputs are not"
                    " those it was judged on. No reason to act at night by itself; with a page"
                    " about calibration it is the likely cause. All of them at once: the backbone.",
                    (Query(f"{drift} and on ({VERSION}) topk(10, {worst})", NAME),),
                    "none",
                    steps=DRIFT,
                    low=0,
                    soft_high=1.2,
                    nothing="unknown: windows are too small, or there is no reference",
                ),
                graph(
                    "Calibration margin, by adapter",
                    "The objective of the tenant's class less the lower end of the calibration"
                    " error's 95 % interval, of live versions. Below 0: proven, and a page; roll"
                    " back if it began with a rollout, or tell the tenant to distrust scores.",
                    (
                        Query(
                            f"{calibration_margin(slo)} and on ({VERSION})"
                            f" {calibrated('point', CHOSEN)}",
                            NAME,
                        ),
                    ),
                    "percentunit",
                    steps=MARGIN,
                    nothing="unknown: too few labels",
                ),
                _live(slo),
                widths=(7, 7, 10),
            ),
        ),
    )


def _live(slo: Slo) -> Builder[Panel]:
    link = links.of_row(links.TENANT, "tenant", "adapter")
    return table_of(
        "Live versions",
        "Drift, calibration error and accuracy of what is live, with 95 % intervals. Unknown: too"
        " few labels came back, which is neither good nor bad. Click one for its versions.",
        (
            Value(live(CHOSEN), "Share", "percentunit", shown=False),
            Label("tenant", "Tenant", link),
            Label("adapter", "Adapter", link),
            Label("version", "Version", width=70),
            Value(
                largest("tenantry_drift_effect_ratio", VERSION, CHOSEN),
                "Drift",
                "none",
                decimals=2,
                steps=DRIFT,
                nothing="unknown",
            ),
            Value(
                calibrated("lower", CHOSEN),
                "Cal. error, lower",
                "percentunit",
                1,
                nothing="unknown",
            ),
            Value(
                calibrated("upper", CHOSEN),
                "Cal. error, upper",
                "percentunit",
                1,
                nothing="unknown",
            ),
            Value(
                calibration_objective(slo, CHOSEN), "At most", "percentunit", 1, nothing="unknown"
            ),
            Value(
                labelled("upper", CHOSEN), "Accuracy, upper", "percentunit", 1, nothing="unknown"
            ),
        ),
        nothing="unknown: nothing is live, or the sidecar is not scraped",
        only=live(CHOSEN),
        sort="Drift",
    )
