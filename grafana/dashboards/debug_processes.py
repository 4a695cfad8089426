"""Debug's rows about the processes, and about what comes in and is refused."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards.expressions import largest, per_second
from grafana.dashboards.grid import Place, Section, line
from grafana.dashboards.panels import Style, graph
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of

OURS = 'job=~"tenantry|tenantry-monitor"'


def processes() -> Section:
    """Return what the processes use."""
    return Section(
        "Processes",
        (
            _usage(),
            _told(),
        ),
    )


def _usage() -> tuple[Place, ...]:
    return line(
        7,
        graph(
            "Cores used",
            "Of the busiest replica of each job.",
            (
                Query(
                    f"max by (job) (rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))",
                    "{{job}}",
                ),
            ),
            "none",
            low=0,
        ),
        graph(
            "Memory",
            "Resident memory of the largest replica of each job. Growing without end: a"
            " leak, report it.",
            (Query(largest("process_resident_memory_bytes", "job", OURS), "{{job}}"),),
            "bytes",
            low=0,
        ),
        graph(
            "Open files",
            "Share of the files that a process may open. At 1 connections are refused.",
            (
                Query(
                    f"max by (job) (process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}})",
                    "{{job}}",
                ),
            ),
            "percentunit",
            low=0,
            high=1,
        ),
        graph(
            "Spans",
            "Spans a second that were exported, and dropped for want of a receiver or of"
            " room. Dropped ones cost traces, nothing else.",
            (Query(per_second("tenantry_spans_total", "outcome"), "{{outcome}}"),),
            "ops",
            low=0,
            nothing="tracing is off",
        ),
    )


def _told() -> tuple[Place, ...]:
    return line(
        6,
        table_of(
            "What replicas serve",
            "Bundle, provider and precision, and how many replicas have each. More than"
            " one row for longer than a rollout takes: answers differ by replica.",
            (
                Value(
                    "count by (bundle, provider, precision) (tenantry_process_info)",
                    "Replicas",
                    "short",
                ),
                Label("bundle", "Bundle"),
                Label("provider", "Provider"),
                Label("precision", "Precision"),
            ),
            nothing="unknown: no replica is scraped",
        ),
        table_of(
            "Sidecar",
            "The version of the sidecar that reads the log. More than one: two of them"
            " share a log, which they must not.",
            (
                Value("count by (version) (tenantry_monitor_info)", "Sidecars", "short"),
                Label("version", "Version"),
            ),
            nothing="unknown: the sidecar is not scraped",
        ),
    )


def edges() -> Section:
    """Return what comes in, what is refused, and what this process learns of others."""
    return Section(
        "Edges",
        (
            line(
                7,
                graph(
                    "Refused, by reason",
                    "Requests a second that ended in an error, by the problem's code; the"
                    " reference of errors says what each means.",
                    (Query(f"{per_second('tenantry_refused_total', 'reason')} > 0", "{{reason}}"),),
                    "cps",
                    low=0,
                    nothing="nothing was refused",
                ),
                graph(
                    "Uploads and labels",
                    "Uploads and labels a second, by outcome. Refused labels: ids that are not"
                    " ours, or class names that the version does not have.",
                    (
                        Query(
                            per_second("tenantry_uploads_total", "outcome"), "upload {{outcome}}"
                        ),
                        Query(
                            per_second("tenantry_feedback_labels_total", "outcome"),
                            "label {{outcome}}",
                        ),
                    ),
                    "ops",
                    low=0,
                ),
                graph(
                    "Registry",
                    "Changes of other processes that were taken over, polls and usage writes that"
                    " failed, a second, and the age of what is known. An old registry: rollouts"
                    " are not seen by this replica.",
                    (
                        Query(per_second("tenantry_registry_refreshes_total"), "changes"),
                        Query(per_second("tenantry_registry_poll_failures_total"), "failed polls"),
                        Query(
                            per_second("tenantry_usage_flush_failures_total"), "failed usage writes"
                        ),
                        Query(largest("tenantry_registry_age_seconds"), "age"),
                    ),
                    "ops",
                    styles=(Style("/^age/", right=True, unit="s"),),
                    low=0,
                ),
                _uncounted(),
            ),
        ),
    )


def _uncounted() -> Builder[Panel]:
    return graph(
        "Counted under _other",
        "How much was counted under `_other` for want of series: requests at the service, and"
        " tenants at the sidecar. Any: figures by tenant are not complete; raise the caps.",
        (
            Query(
                "sum (increase(tenantry_tenant_series_dropped_total[$__rate_interval]))",
                "service: requests",
            ),
            Query(
                "sum (increase(tenantry_monitor_tenants_dropped_total[$__rate_interval]))",
                "sidecar: tenants",
            ),
        ),
        "short",
        low=0,
    )
