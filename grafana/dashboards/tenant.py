"""Tenant: one tenant's adapters, and one adapter's versions side by side; for its ML team."""

from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import annotations, links, palette, variables
from grafana.dashboards.board import Board
from grafana.dashboards.canary import canary
from grafana.dashboards.expressions import VERSION, counted, largest, per_second
from grafana.dashboards.grid import Place, Section, line
from grafana.dashboards.objectives import (
    DRIFT,
    ROLES,
    accuracy_objective,
    calibrated,
    calibration_objective,
    labelled,
)
from grafana.dashboards.on_call_budgets import LEFT, NO_REQUESTS
from grafana.dashboards.panels import BAND, OBJECTIVE, Steps, Style, graph, number
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of
from grafana.dashboards.tenant_models import by_version, gets, says
from grafana.rules import budgets
from grafana.slo import Slo

TENANT = 'tenant="$tenant"'
ADAPTER = f'{TENANT}, adapter="$adapter"'
CHOSEN = f'{ADAPTER}, version=~"$version"'

TOO_FEW = "unknown: too few labels"
_ANY: Steps = ((None, palette.GOOD), (1, palette.WARNING))


def tenant(slo: Slo) -> Board:
    """Return the dashboard."""
    return Board(
        uid=links.TENANT,
        about=(
            "One tenant: how it is served, how good its adapters are, and one adapter's versions"
            " side by side, the canary against the live one."
        ),
        since="now-24h",
        refresh="1m",
        variables=(
            variables.datasource(),
            variables.tenant(everyone=False),
            variables.adapter(everyone=False),
            variables.versions(),
        ),
        annotations=(*annotations.of_tenants(ADAPTER),),
        sections=(
            _served(slo),
            _versions(slo),
            canary(ADAPTER),
            says(CHOSEN),
            gets(CHOSEN, ADAPTER),
        ),
    )


def _served(slo: Slo) -> Section:

    return Section(
        "$tenant: how it is served",
        (
            _answers(slo),
            line(8, _adapters(slo)),
        ),
    )


def _answers(slo: Slo) -> tuple[Place, ...]:
    answers = counted("tenantry_tenant_answers_total", where=TENANT)

    def share(outcome: str) -> str:
        where = f'{TENANT}, outcome="{outcome}"'
        return f"{counted('tenantry_tenant_answers_total', where=where)} / ({answers} > 0)"

    burnt = largest(budgets.burn(budgets.TENANT, "error", slo.period), where=TENANT)
    quarantined = f"tenantry_version_quarantined{{{TENANT}}}"
    return line(
        4,
        number(
            "Answered in time",
            "Share of the requests for the tenant's adapters, in the time range, that were"
            " answered within the latency objective of its class. Low: look at Failed"
            " beside it; if that is low too the answers are slow, see On call.",
            Query(share("ok")),
            "percentunit",
            nothing="no requests",
            decimals=2,
        ),
        number(
            "Failed",
            "Share of the requests that ended in 500, 503 or 504. Refusals for what the"
            " caller did (4xx, 429) are not in it. Anything above 0: On call shows the"
            " codes.",
            Query(share("failed")),
            "percentunit",
            nothing="no requests",
            decimals=3,
        ),
        number(
            "Error budget left",
            f"Of the failed requests that the objective of the tenant's class allows in"
            f" {slo.period}. Below 0: the promise to this tenant is broken.",
            Query(f"1 - {burnt}"),
            "percentunit",
            steps=LEFT,
            nothing=NO_REQUESTS,
            decimals=1,
        ),
        number(
            "Texts a second",
            "Texts, or images, that were answered, on all wires. A fall to 0 with no"
            " errors is on the tenant's side.",
            Query(per_second("tenantry_texts_total", where=TENANT), "texts"),
            "cps",
            nothing="no texts, or counted under _other",
            spark=True,
        ),
        number(
            "Refused for a limit of its own",
            "Requests that got 429 in the time range: the tenant asked for more than its"
            " rates or its part of the queue. Raise them, or tell the tenant.",
            Query(counted("tenantry_limited_total", where=TENANT)),
            "short",
            steps=_ANY,
            decimals=0,
            nothing="no requests, or counted under _other",
        ),
        number(
            "Compute used",
            "The tenant's part of the forward passes' time in the time range: what it costs.",
            Query(counted("tenantry_compute_seconds_total", where=TENANT)),
            "s",
            nothing="no texts, or counted under _other",
        ),
        number(
            "Versions out of service",
            "Versions in quarantine for outputs that are no numbers: their requests get an"
            " error. Any: roll back now, then see the runbook of"
            " TenantryAdapterQuarantined.",
            Query(
                f"count(max by ({VERSION}) ({quarantined}) == 1)"
                f" or 0 * count(tenantry_predictions_total{{{TENANT}}})"
            ),
            "short",
            steps=((None, palette.GOOD), (1, palette.BAD)),
            nothing="unknown: not told by the sidecar",
        ),
        widths=(4, 3, 4, 4, 3, 3, 3),
    )


def _adapters(slo: Slo) -> Builder[Panel]:
    def told(name: str) -> str:
        return largest(name, VERSION, TENANT)

    in_rollout = largest("tenantry_rollout_share_ratio", f"{VERSION}, role", TENANT)
    link = links.of_row(links.TENANT, "tenant", "adapter")
    return table_of(
        "Adapters of $tenant",
        "What is in the rollouts, a row a version. Accuracy and calibration error are from labels"
        " with a 95 % interval; an empty cell says unknown, which is not 0: too few labels came"
        " back. Harm is proven where the interval's near end is beyond the objective. Click an"
        " adapter to see its versions below.",
        (
            Value(
                in_rollout,
                "Share",
                "percentunit",
                decimals=0,
            ),
            Label("adapter", "Adapter", link),
            Label("version", "Version", width=80),
            Label("role", "Role", words=ROLES, width=90),
            Value(counted("tenantry_predictions_total", VERSION, TENANT), "Predictions", "short"),
            Value(
                labelled("lower", TENANT), "Accuracy, lower", "percentunit", 1, nothing="unknown"
            ),
            Value(
                labelled("upper", TENANT), "Accuracy, upper", "percentunit", 1, nothing="unknown"
            ),
            Value(accuracy_objective(slo, TENANT), "At least", "percentunit", 1, nothing="none"),
            Value(
                calibrated("lower", TENANT),
                "Cal. error, lower",
                "percentunit",
                1,
                nothing="unknown",
            ),
            Value(
                calibrated("upper", TENANT),
                "Cal. error, upper",
                "percentunit",
                1,
                nothing="unknown",
            ),
            Value(
                calibration_objective(slo, TENANT), "At most", "percentunit", 1, nothing="unknown"
            ),
            Value(
                told("tenantry_drift_effect_ratio"),
                "Drift over tolerance",
                "none",
                decimals=2,
                steps=DRIFT,
                nothing="unknown",
            ),
            Value(
                told("tenantry_data_freshness_seconds"),
                "Last prediction",
                "s",
                nothing="never",
            ),
        ),
        nothing="unknown: the sidecar tells of no rollout of this tenant",
        only=in_rollout,
        sort="Adapter",
        descending=False,
    )


def _versions(slo: Slo) -> Section:
    share = largest("tenantry_rollout_share_ratio", "version, role", CHOSEN)
    return Section(
        "$adapter: versions side by side",
        (
            line(
                8,
                graph(
                    "Share of requests",
                    "Which version answers how much: live, canary, shadow (0: it answers"
                    " nobody). A step is a rollout; who made it is in the annotations.",
                    (Query(share, "{{version}} {{role}}"),),
                    "percentunit",
                    styles=(
                        Style("/live$/", palette.LIVE),
                        Style("/canary$/", palette.CANARY),
                        Style("/shadow$/", palette.SHADOW),
                    ),
                    low=0,
                    high=1,
                    nothing="unknown: no rollout is told of",
                ),
                graph(
                    "Predictions a second",
                    "What each version answered, shadows too. Read from the event log, so it is"
                    " late by the log's lag. No line for a version that has traffic: its"
                    " predictions are not logged, and nothing below can be known of it.",
                    (
                        Query(
                            per_second("tenantry_predictions_total", "version", CHOSEN),
                            "{{version}}",
                        ),
                    ),
                    "cps",
                    low=0,
                ),
                graph(
                    "Drift over tolerance",
                    "Distance of the newest window's embeddings from the reference, over what is"
                    " tolerated. Beyond 1: what comes in is not what the adapter was trained on;"
                    " look at class mix and inputs below, and collect labels. It is a warning, not"
                    " proof of harm.",
                    (
                        Query(
                            largest("tenantry_drift_effect_ratio", "version", CHOSEN),
                            "{{version}}",
                        ),
                    ),
                    "none",
                    steps=DRIFT,
                    low=0,
                    soft_high=1.2,
                    nothing="unknown: the window is too small, or there is no reference",
                ),
            ),
            line(8, by_version(_accuracy(slo))),
            line(8, by_version(_calibration(slo))),
        ),
    )


def _accuracy(slo: Slo) -> Graph:
    def told(method: str, bound: str) -> str:
        where = f'{CHOSEN}, method="{method}", bound="{bound}"'
        return largest("tenantry_accuracy_ratio", where=where)

    return graph(
        "Accuracy, version $version",
        "Share of right answers among the labels that came back, with its 95 % interval as a band,"
        " and the objective: the hold-out's accuracy less the tolerated drop. The whole band below"
        " the line is harm: roll back or retrain. The estimate needs no labels and is not to be"
        " trusted while there is drift. No band: too few labels, the accuracy is unknown.",
        (
            Query(told("labels", "point"), "by labels"),
            Query(told("labels", "lower"), "lower"),
            Query(told("labels", "upper"), "upper"),
            Query(told("estimate", "point"), "estimated without labels"),
            Query(accuracy_objective(slo, CHOSEN), "objective"),
        ),
        "percentunit",
        styles=(
            *BAND,
            Style("/^by labels/", palette.LABELS),
            Style("/^estimated/", palette.ESTIMATE),
            OBJECTIVE,
        ),
        high=1,
        nothing=TOO_FEW,
    )


def _calibration(slo: Slo) -> Graph:
    def told(bound: str) -> str:
        where = f'{CHOSEN}, bound="{bound}"'
        return largest("tenantry_calibration_error_ratio", where=where)

    return graph(
        "Calibration error, version $version",
        "How far confidence and accuracy are apart, from labels, with its 95 % interval as a band."
        " The whole band above the class's line is a page, above the sidecar's a retrain"
        " trigger: a score of 0.9 no longer means nine in ten, and who acts"
        " on scores is misled; fit a temperature or retrain. No band: too few labels.",
        (
            Query(told("point"), "by labels"),
            Query(told("lower"), "lower"),
            Query(told("upper"), "upper"),
            Query(calibration_objective(slo, CHOSEN), "objective of the class"),
            Query(largest("tenantry_calibration_objective_ratio"), "objective of the sidecar"),
        ),
        "percentunit",
        styles=(*BAND, Style("/^by labels/", palette.LABELS), OBJECTIVE),
        low=0,
        nothing=TOO_FEW,
    )
