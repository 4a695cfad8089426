"""Debug's rows about models: what they say, what they get, and what the detectors make of it."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import palette
from grafana.dashboards.expressions import VERSION, largest, per_second
from grafana.dashboards.grid import Place, Section, line
from grafana.dashboards.objectives import DRIFT
from grafana.dashboards.panels import Style, graph, states
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of

CHOSEN = 'tenant=~"$tenant", adapter=~"$adapter", version=~"$version"'
NAME = "{{tenant}}/{{adapter}} {{version}}"
NO_WINDOW = "unknown: no predictions in the window"


def outputs() -> Section:
    """Return what models say."""
    mix = largest("tenantry_predicted_class_ratio", f"{VERSION}, label", CHOSEN)
    confidence = largest("tenantry_confidence_ratio", f"{VERSION}, level", CHOSEN)
    return Section(
        "What models say: $tenant, $adapter",
        (
            line(
                8,
                graph(
                    "Class mix",
                    "Shares of the predicted classes in each version's newest window. Choose one"
                    " adapter and version to read it. Compare before and after a rollout.",
                    (Query(mix, f"{NAME} {{{{label}}}}"),),
                    "percentunit",
                    low=0,
                    high=1,
                    nothing=NO_WINDOW,
                ),
                graph(
                    "Confidence of predictions",
                    "Quantiles of the top score. All of it near 1, or near one over the number of"
                    " classes, for every input: the head or the scale is broken.",
                    (Query(confidence, f"{NAME} q{{{{level}}}}"),),
                    "percentunit",
                    low=0,
                    high=1,
                    nothing=NO_WINDOW,
                ),
                graph(
                    "Brier score",
                    "Of the predicted class, by labels: accuracy and calibration in one; smaller"
                    " is better.",
                    (Query(largest("tenantry_brier_score", VERSION, CHOSEN), NAME),),
                    "none",
                    low=0,
                    nothing="unknown: too few labels",
                ),
            ),
        ),
    )


def inputs() -> Section:
    """Return what models get."""
    bad = per_second("tenantry_input_bad_total", "reason", CHOSEN)
    tokens = largest("tenantry_input_tokens", f"{VERSION}, level", CHOSEN)
    return Section(
        "What models get: $tenant, $adapter",
        (
            line(
                8,
                graph(
                    "Bad inputs",
                    "Inputs a second with something wrong, by reason. Empty or undecodable: the"
                    " client; truncated: texts are longer than the backbone reads; unknown"
                    " tokens: another language or encoding.",
                    (Query(bad, "{{reason}}"),),
                    "cps",
                    low=0,
                ),
                graph(
                    "Length of texts",
                    "Median and 95th percentile of tokens in the newest window.",
                    (Query(tokens, f"{NAME} q{{{{level}}}}"),),
                    "short",
                    low=0,
                    nothing="unknown: no texts, or images",
                ),
                graph(
                    "Tokens answered",
                    "Tokens a second of the answered texts, by tenant; those beyond the cap under"
                    " `_other`. Work follows tokens, not texts: a tenant whose line rises alone"
                    " sends longer texts, or more of them.",
                    (
                        Query(
                            per_second("tenantry_tokens_total", "tenant", 'tenant=~"$tenant"'),
                            "{{tenant}}",
                        ),
                    ),
                    "short",
                    low=0,
                ),
            ),
            line(
                8,
                graph(
                    "Cut texts and undecodable images",
                    "As the service counted them, all tenants and those who are not watched"
                    " too: texts cut to the length limit, and requests with an image that could"
                    " not be decoded.",
                    (
                        Query(per_second("tenantry_truncations_total"), "texts cut"),
                        Query(
                            per_second("tenantry_images_undecodable_total", "tenant"),
                            "undecodable {{tenant}}",
                        ),
                    ),
                    "cps",
                    low=0,
                ),
                graph(
                    "Age of the last prediction",
                    "Time since a version last answered. Beyond days: nobody asks it, and drift"
                    " tells of old data.",
                    (Query(largest("tenantry_data_freshness_seconds", VERSION, CHOSEN), NAME),),
                    "s",
                    low=0,
                    nothing="unknown: never asked",
                ),
            ),
        ),
    )


def detectors() -> Section:
    """Return what the detectors see."""
    return Section(
        "Detectors: $tenant, $adapter",
        (
            _distances(),
            _alarms(),
            line(7, _versions()),
        ),
    )


def _distances() -> tuple[Place, ...]:
    return line(
        8,
        graph(
            "Drift statistic",
            "Squared distance of window and reference, before the tolerance; may be below"
            " 0 without drift.",
            (Query(largest("tenantry_drift_statistic", VERSION, CHOSEN), NAME),),
            "none",
            nothing="unknown: the window is too small, or there is no reference",
        ),
        graph(
            "Drift p-value",
            "Probability of such a statistic without drift. Small with an effect below 1:"
            " real and harmless.",
            (Query(largest("tenantry_drift_pvalue", VERSION, CHOSEN), NAME),),
            "none",
            low=0,
            high=1,
            nothing="unknown: the window is too small, or there is no reference",
        ),
        graph(
            "Evidence of drift",
            "Of the continuous watch, as a power of ten. The alarm begins where it passes"
            " the threshold that the false-alarm budget gives this tenant.",
            (Query(largest("tenantry_drift_evidence_log10", VERSION, CHOSEN), NAME),),
            "none",
            nothing="unknown: not watched",
        ),
    )


def _alarms() -> tuple[Place, ...]:
    alarm = largest("tenantry_drift_alarm", VERSION, CHOSEN)
    return line(
        8,
        states(
            "Drift alarms",
            "When an alarm stood, for each version.",
            (Query(alarm, NAME),),
            "none",
            steps=((None, palette.GOOD), (1, palette.BAD)),
            words=(("0", "quiet", palette.GOOD), ("1", "alarm", palette.BAD)),
            nothing="unknown: not watched",
        ),
        graph(
            "Fleet: adapters that moved",
            "Of those that are watched. Nearly all at once: not the tenants, but the"
            " backbone or what is before it.",
            (
                Query(largest("tenantry_fleet_moved"), "moved"),
                Query(largest("tenantry_fleet_watched"), "watched"),
            ),
            "short",
            styles=(Style("/^watched/", palette.OBJECTIVE, dashed=True),),
            low=0,
            nothing="unknown: nobody is watched",
        ),
        graph(
            "Fleet: evidence and alarms",
            "Evidence that everyone moved, as a power of ten, and whether the alarm stands.",
            (
                Query(largest("tenantry_fleet_drift_evidence_log10"), "evidence"),
                Query(largest("tenantry_fleet_drift_alarm"), "alarm stands"),
                Query(
                    "sum (increase(tenantry_fleet_drift_alarms_total[$__rate_interval]))",
                    "alarms that began",
                ),
            ),
            "none",
            nothing="unknown: nobody is watched",
        ),
    )


def _versions() -> Builder[Panel]:
    alarms = f"sum by ({VERSION}) (tenantry_drift_alarms_total{{{CHOSEN}}})"
    labels = f"sum by ({VERSION}) (tenantry_labels_total{{{CHOSEN}}})"
    return table_of(
        "Versions that are watched",
        "Totals since the sidecar keeps them, `_other` for those beyond its cap. A version with"
        " predictions and no labels has no known accuracy.",
        (
            Value(f"sum by ({VERSION}) (tenantry_predictions_total{{{CHOSEN}}})", "Read", "short"),
            Label("tenant", "Tenant"),
            Label("adapter", "Adapter"),
            Label("version", "Version"),
            Value(labels, "Labels", "short"),
            Value(alarms, "Drift alarms", "short"),
            Value(
                largest("tenantry_drift_effect_ratio", VERSION, CHOSEN),
                "Drift over tolerance",
                "none",
                decimals=2,
                steps=DRIFT,
                nothing="unknown",
            ),
        ),
        nothing="unknown: nothing is watched",
        sort="Read",
    )
