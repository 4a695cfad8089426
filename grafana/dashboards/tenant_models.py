"""Tenant's rows about one adapter's answers and inputs."""

from grafana_foundation_sdk.builders.timeseries import Panel as Graph

from grafana.dashboards.expressions import VERSION, largest, per_second
from grafana.dashboards.grid import Section, line
from grafana.dashboards.objectives import ROLES
from grafana.dashboards.panels import graph
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of


def by_version(panel: Graph) -> Graph:
    """Return a panel that is drawn once for each chosen version, beside each other."""
    return panel.repeat("version").repeat_direction("h").max_per_row(3)


def says(chosen: str) -> Section:
    """Return what the adapter's versions answer."""
    mix = largest("tenantry_predicted_class_ratio", "label", chosen)
    confidence = largest("tenantry_confidence_ratio", "version, level", chosen)
    return Section(
        "What $adapter says",
        (
            line(
                8,
                by_version(
                    graph(
                        "Class mix, version $version",
                        "Shares of the predicted classes in the newest window; the ten largest,"
                        " the rest as _other. A class that grows or vanishes: other questions, or"
                        " a label that means something else now.",
                        (Query(mix, "{{label}}"),),
                        "percentunit",
                        stacked=True,
                        low=0,
                        high=1,
                        nothing="unknown: no predictions in the window",
                    )
                ),
            ),
            line(
                8,
                graph(
                    "Confidence",
                    "Quantiles of the top score in the newest window. Sinking: inputs that the"
                    " adapter does not know; rising to 1 with falling accuracy: overconfident,"
                    " see the calibration error.",
                    (Query(confidence, "{{version}}, quantile {{level}}"),),
                    "percentunit",
                    low=0,
                    high=1,
                    nothing="unknown: no predictions in the window",
                ),
                graph(
                    "Label coverage",
                    "Labels over the predictions of the same time. Low: the figures by labels"
                    " move late and have wide bands; ask for more feedback, or set an audit"
                    " share.",
                    (
                        Query(
                            largest("tenantry_label_coverage_ratio", "version", chosen),
                            "{{version}}",
                        ),
                    ),
                    "percentunit",
                    low=0,
                    nothing="unknown: nothing to cover",
                ),
                graph(
                    "Label delay",
                    "Median time from a prediction to its label: that much later than what"
                    " happens do accuracy and calibration tell of it.",
                    (
                        Query(
                            largest("tenantry_label_delay_seconds", "version", chosen),
                            "{{version}}",
                        ),
                    ),
                    "s",
                    low=0,
                    nothing="unknown: no labels",
                ),
            ),
        ),
    )


def gets(chosen: str, adapter: str) -> Section:
    """Return what the adapter's versions are asked, and what came of it."""
    bad = per_second("tenantry_input_bad_total", "version, reason", chosen)
    all_of_them = per_second("tenantry_predictions_total", "version", chosen)
    tokens = largest("tenantry_input_tokens", "version, level", chosen)
    labels = f"{VERSION}, standing, source, rows"
    raised = largest("tenantry_retrain_trigger_timestamp_seconds", f"{VERSION}, reason", adapter)
    return Section(
        "What $adapter gets",
        (
            line(
                8,
                graph(
                    "Inputs with something wrong",
                    "Share of the inputs that were empty, cut, of unknown tokens, or not"
                    " decodable, by reason. A step with drift beside it: look at what the tenant"
                    " sends before retraining anything.",
                    (
                        Query(
                            f"{bad} / on (version) group_left () ({all_of_them} > 0)",
                            "{{version}} {{reason}}",
                        ),
                    ),
                    "percentunit",
                    low=0,
                    nothing="no predictions",
                ),
                graph(
                    "Tokens of a text",
                    "Median and 95th percentile of the texts' length in the newest window. Longer"
                    " texts cost more compute and may be cut.",
                    (Query(tokens, "{{version}}, quantile {{level}}"),),
                    "short",
                    low=0,
                    nothing="unknown: no texts, or images",
                ),
            ),
            line(
                6,
                table_of(
                    "References",
                    "What each version's windows are compared with. Pooled: it brought no"
                    " hold-out and borrows its backbone's, so drift is a coarser figure.",
                    (
                        Value(
                            largest("tenantry_reference_info", labels, adapter),
                            "Known",
                            "none",
                            shown=False,
                        ),
                        Label("version", "Version"),
                        Label("standing", "Standing", words=ROLES),
                        Label("source", "Reference"),
                        Label("rows", "Rows"),
                    ),
                    nothing="unknown: no reference",
                    sort="Version",
                ),
                table_of(
                    "Retrain triggers",
                    "When the sidecar last asked for new training, and why. Each was sent to the"
                    " webhook, if one is configured, with its evidence.",
                    (
                        Value(f"{raised} * 1000", "When", "dateTimeAsIso"),
                        Label("version", "Version"),
                        Label("reason", "Reason"),
                    ),
                    nothing="none was raised, as far as the sidecar knows",
                    sort="When",
                ),
            ),
        ),
    )
