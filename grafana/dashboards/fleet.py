"""Fleet: is anything wrong, whose is it, since when, and what does it cost; for a manager."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import annotations, changes, links, palette, variables
from grafana.dashboards.alerting import NOBODY_WATCHES, alerts_table, firing, pages
from grafana.dashboards.board import Board
from grafana.dashboards.expressions import VERSION, counted, largest, live, per_second
from grafana.dashboards.fleet_cost import capacity, cost
from grafana.dashboards.grid import Section, line
from grafana.dashboards.objectives import (
    ANY_IS_A_WARNING,
    ANY_IS_BAD,
    DRIFT,
    MARGIN,
    accuracy_margin,
    accuracy_objective,
    calibrated,
    calibration_margin,
    calibration_objective,
    labelled,
    number_of,
    unknown,
)
from grafana.dashboards.panels import Style, graph, number
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of
from grafana.rules import budgets
from grafana.slo import Slo

TROUBLE = 'severity=~"critical|warning", tenant!=""'


def fleet(slo: Slo) -> Board:
    """Return the dashboard."""
    return Board(
        uid=links.FLEET,
        about=(
            "All tenants together: whether anything is wrong, whose it is and since when, how"
            " good the adapters are against their objectives, and what it all costs."
        ),
        since="now-7d",
        refresh="5m",
        variables=(variables.datasource(), variables.price()),
        annotations=(*annotations.of_tenants(""),),
        sections=(
            _verdict(slo),
            _whose(slo),
            _quality(slo),
            _traffic(),
            capacity(),
            cost(),
        ),
    )


def _verdict(slo: Slo) -> Section:
    accuracy, calibration = accuracy_margin(slo), calibration_margin(slo)
    burnt = budgets.burn(budgets.SERVICE, "error", slo.period)
    return Section(
        "Is anything wrong?",
        (
            line(
                4,
                number(
                    "Tenants in trouble",
                    "Tenants with a critical or a warning alert that fires. Above 0: the table"
                    " below says whose, what and since when. Unknown: rules are not evaluated.",
                    Query(firing(TROUBLE, "tenant")),
                    "short",
                    steps=ANY_IS_BAD,
                    nothing=NOBODY_WATCHES,
                    decimals=0,
                ),
                pages(),
                number(
                    "Below accuracy objective",
                    "Live versions whose accuracy by labels is proven to be below the objective:"
                    " the whole 95 % interval. Above 0: customers get wrong answers; ask the"
                    " owner for a rollback or a retrain.",
                    Query(number_of(f"{accuracy} < 0", accuracy)),
                    "short",
                    steps=ANY_IS_BAD,
                    nothing="unknown: too few labels",
                    decimals=0,
                ),
                number(
                    "Beyond calibration objective",
                    "Live versions whose scores are proven to mislead: the whole 95 % interval of"
                    " the calibration error is beyond the objective of the tenant's class.",
                    Query(number_of(f"{calibration} < 0", calibration)),
                    "short",
                    steps=ANY_IS_BAD,
                    nothing="unknown: too few labels",
                    decimals=0,
                ),
                number(
                    "Of unknown accuracy",
                    "Live versions for which too few labels came back to tell how good they are."
                    " Unknown is not good, nor bad: ask their owners for feedback.",
                    Query(number_of(unknown(), live())),
                    "short",
                    steps=ANY_IS_A_WARNING,
                    nothing="unknown: nothing is live, or the sidecar is not scraped",
                    decimals=0,
                ),
                number(
                    "Error budget left",
                    f"Of the failed requests that the objective allows in {slo.period}. At 0 or"
                    " below the promise is broken: stop rollouts until it recovers.",
                    Query(f"1 - {burnt}"),
                    "percentunit",
                    steps=((None, palette.BAD), (0, palette.WARNING), (0.25, palette.GOOD)),
                    nothing="unknown: no requests yet",
                    decimals=1,
                    link=links.to(links.ON_CALL),
                ),
            ),
        ),
    )


def _whose(slo: Slo) -> Section:
    accuracy, calibration = accuracy_margin(slo), calibration_margin(slo)
    drift = f"({largest('tenantry_drift_alarm', VERSION)} and on ({VERSION}) {live()})"
    return Section(
        "Whose is it, and since when?",
        (
            line(
                9,
                alerts_table(
                    "Tenants with alerts",
                    "What fires for a tenant, the newest first. Click a tenant for its adapters,"
                    " an alert for its runbook.",
                    TROUBLE,
                    slo,
                ),
                graph(
                    "Live versions outside their objectives",
                    "How many, over time: proven below accuracy, proven beyond calibration, in a"
                    " drift alarm (a warning: other inputs, harm is not proven), and unknown for"
                    " want of labels. A step together with a rollout's mark: that rollout.",
                    (
                        Query(number_of(f"{accuracy} < 0", accuracy), "below accuracy"),
                        Query(number_of(f"{calibration} < 0", calibration), "beyond calibration"),
                        Query(number_of(f"{drift} == 1", drift), "drifting"),
                        Query(number_of(unknown(), live()), "unknown"),
                    ),
                    "short",
                    styles=(
                        Style("/^below/", palette.BAD),
                        Style("/^beyond/", palette.SERIOUS),
                        Style("/^drifting/", palette.WARNING),
                        Style("/^unknown/", palette.UNKNOWN, dashed=True),
                    ),
                    low=0,
                    nothing="unknown: the sidecar is not scraped",
                ),
                widths=(14, 10),
            ),
        ),
    )


def _quality(slo: Slo) -> Section:
    # The ten that are worst at the end of the range, over all of it: not another ten each step.
    worst_accuracy = f"bottomk(10, {accuracy_margin(slo, at='end()')})"
    worst_calibration = f"bottomk(10, {calibration_margin(slo, at='end()')})"
    moved, watched = largest("tenantry_fleet_moved"), largest("tenantry_fleet_watched")
    return Section(
        "How good are the adapters?",
        (
            line(10, _live(slo)),
            line(
                8,
                graph(
                    "Accuracy: smallest margins",
                    "Upper end of the 95 % interval less the objective, of the ten live versions"
                    " that are worst now. Below 0: proven harm. Sinking towards 0: next week's"
                    " trouble.",
                    (
                        Query(
                            f"{accuracy_margin(slo)} and on ({VERSION}) {worst_accuracy}",
                            "{{tenant}}/{{adapter}} {{version}}",
                        ),
                    ),
                    "percentunit",
                    steps=MARGIN,
                    nothing="unknown: too few labels",
                ),
                graph(
                    "Calibration: smallest margins",
                    "The objective less the lower end of the 95 % interval, of the ten live"
                    " versions that are worst now. Below 0: scores mislead, proven.",
                    (
                        Query(
                            f"{calibration_margin(slo)} and on ({VERSION}) {worst_calibration}",
                            "{{tenant}}/{{adapter}} {{version}}",
                        ),
                    ),
                    "percentunit",
                    steps=MARGIN,
                    nothing="unknown: too few labels",
                ),
                graph(
                    "Adapters that moved",
                    "Share of the watched adapters whose inputs drifted. A few: those tenants."
                    " Nearly all: the backbone, or what is before it; call the platform's team.",
                    (Query(f"{moved} / ({watched} > 0)", "moved"),),
                    "percentunit",
                    low=0,
                    high=1,
                    nothing="unknown: nobody is watched",
                ),
            ),
        ),
    )


def _live(slo: Slo) -> Builder[Panel]:
    link = links.of_row(links.TENANT, "tenant", "adapter")
    return table_of(
        "Live versions against their objectives",
        "Every live version, the smallest margin first. Margins are from the interval's end that"
        " speaks for the version: red is proven harm, and only that. An empty margin is unknown:"
        " too few labels, or no hold-out to set an objective. Click a tenant or an adapter to see"
        " it.",
        (
            Value(live(), "Share", "percentunit", decimals=0, shown=False),
            Label("tenant", "Tenant", link),
            Label("adapter", "Adapter", link),
            Label("version", "Version", width=80),
            Value(
                accuracy_margin(slo),
                "Accuracy margin",
                "percentunit",
                decimals=1,
                steps=MARGIN,
                nothing="unknown",
            ),
            Value(labelled("lower"), "Accuracy, lower", "percentunit", 1, nothing="unknown"),
            Value(labelled("upper"), "Accuracy, upper", "percentunit", 1, nothing="unknown"),
            Value(accuracy_objective(slo), "Objective", "percentunit", 1, nothing="none"),
            Value(
                calibration_margin(slo),
                "Calibration margin",
                "percentunit",
                decimals=1,
                steps=MARGIN,
                nothing="unknown",
            ),
            Value(calibrated("lower"), "Cal. error, lower", "percentunit", 1, nothing="unknown"),
            Value(calibrated("upper"), "Cal. error, upper", "percentunit", 1, nothing="unknown"),
            Value(calibration_objective(slo), "At most", "percentunit", 1, nothing="unknown"),
            Value(
                largest("tenantry_drift_effect_ratio", VERSION),
                "Drift over tolerance",
                "none",
                decimals=2,
                steps=DRIFT,
                nothing="unknown",
            ),
            Value(counted("tenantry_predictions_total", VERSION), "Predictions", "short"),
            Value(counted("tenantry_labels_total", VERSION), "Labels", "short"),
        ),
        nothing="unknown: nothing is live, or the sidecar is not scraped",
        only=live(),
        sort="Accuracy margin",
        descending=False,
    )


def _traffic() -> Section:
    by_tenant = per_second("tenantry_texts_total", "tenant")
    most = "topk(10, sum by (tenant) (increase(tenantry_texts_total[$__range] @ end())))"
    outcomes = per_second("tenantry_tenant_answers_total", "outcome")
    answers = per_second("tenantry_tenant_answers_total")
    triggers = "sum by (reason) (increase(tenantry_retrain_triggers_total[$__rate_interval]))"
    return Section(
        "Traffic, rollouts and retrains",
        (
            line(
                8,
                graph(
                    "Texts a second, largest tenants",
                    "Texts, or images, answered for the ten tenants with most in the time range,"
                    " and for all. `_other` adds up those without series of their own.",
                    (
                        Query(f"{by_tenant} and on (tenant) {most}", "{{tenant}}"),
                        Query(per_second("tenantry_texts_total"), "all tenants"),
                    ),
                    "cps",
                    styles=(Style("/^all tenants$/", palette.OBJECTIVE, dashed=True),),
                    low=0,
                ),
                graph(
                    "Answers, by outcome",
                    "Share of the requests for adapters that were answered in time, late, or not"
                    " at all. Anything but a full band of ok is what customers feel.",
                    (Query(f"{outcomes} / on () group_left () ({answers} > 0)", "{{outcome}}"),),
                    "percentunit",
                    styles=(
                        Style("/^ok$/", palette.GOOD),
                        Style("/^slow$/", palette.WARNING),
                        Style("/^failed$/", palette.BAD),
                    ),
                    stacked=True,
                    low=0,
                    high=1,
                    nothing="no requests",
                ),
                graph(
                    "Retrain triggers, by reason",
                    "How many the sidecar raised. Many at once: look at Adapters that moved first,"
                    " since nobody should retrain all for one broken backbone.",
                    (Query(triggers, "{{reason}}"),),
                    "short",
                    bars=True,
                    stacked=True,
                    low=0,
                    interval="1h",
                ),
            ),
            line(7, changes.rollouts(), changes.rollbacks(), changes.triggers()),
        ),
    )
