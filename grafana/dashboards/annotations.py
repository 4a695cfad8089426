"""What happened when: rollouts, rollbacks, retrain triggers, restarts and pages, on every graph.

The series of the first four hold the time of the last event in seconds; Grafana takes a value for
a time in milliseconds. An event stays known for as long as Prometheus keeps the samples that told
of it, so all events of the time range are drawn, not the last ones only.
"""

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery

from grafana.dashboards import palette
from grafana.dashboards.query import DATASOURCE

_CHOSEN = 'tenant=~"$tenant", adapter=~"$adapter"'


def of_tenants(chosen: str = _CHOSEN) -> list[AnnotationQuery]:
    """Return what happened to adapters; `chosen` selects those of them that count here."""
    return [
        _at(
            "Rollouts",
            palette.ROLLOUT,
            "tenant, adapter, cause",
            "tenantry_rollout_timestamp_seconds",
            chosen,
            ("Rollout of {{tenant}}/{{adapter}}", "by {{cause}}"),
        ),
        _at(
            "Automatic rollbacks",
            palette.ROLLBACK,
            "tenant, adapter, version, reason",
            "tenantry_automatic_rollback_timestamp_seconds",
            chosen,
            ("{{tenant}}/{{adapter}} version {{version}} taken out", "for {{reason}}"),
        ),
        _at(
            "Retrain triggers",
            palette.RETRAIN,
            "tenant, adapter, version, reason",
            "tenantry_retrain_trigger_timestamp_seconds",
            chosen,
            ("Retrain {{tenant}}/{{adapter}} version {{version}}", "for {{reason}}"),
        ),
    ]


def of_processes() -> list[AnnotationQuery]:
    """Return starts of the service and the sidecar."""
    return [
        _at(
            "Starts",
            palette.RESTART,
            "job",
            "process_start_time_seconds",
            'job=~"tenantry|tenantry-monitor"',
            ("A process of {{job}} started", "the newest of its replicas"),
        )
    ]


def of_pages() -> list[AnnotationQuery]:
    """Return when critical alerts fired, as regions."""
    expr = 'max by (alertname, tenant) (ALERTS{alertstate="firing", severity="critical"})'
    return [
        AnnotationQuery()
        .name("Pages")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(palette.PAGE)
        .expr(expr)
        .title_format("{{alertname}} {{tenant}}")
        .text_format("A critical alert that fires")
        .tag_keys("alertname,tenant")
    ]


def _at(
    name: str, color: str, labels: str, metric: str, chosen: str, words: tuple[str, str]
) -> AnnotationQuery:
    where = f"{{{chosen}}}" if chosen else ""
    return (
        AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(color)
        .expr(f"max by ({labels}) ({metric}{where}) * 1000")
        .use_value_for_time(True)
        .title_format(words[0])
        .text_format(words[1])
        .tag_keys(labels.replace(" ", ""))
    )
