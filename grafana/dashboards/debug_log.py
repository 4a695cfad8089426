"""Debug's rows about the event log: what the service writes, and what the sidecar reads."""

from grafana.dashboards import palette
from grafana.dashboards.expressions import largest, mean, per_second, quantile, smallest
from grafana.dashboards.grid import Section, line
from grafana.dashboards.panels import Style, graph
from grafana.dashboards.query import Query

NO_SIDECAR = "unknown: the sidecar is not scraped"


def written() -> Section:
    """Return what the service writes."""
    return Section(
        "Event log, written",
        (
            line(
                7,
                graph(
                    "Events written",
                    "Events a second that are in the log and on disk, by kind. Predictions stop"
                    " while requests go on: the log fails, or is off.",
                    (Query(per_second("tenantry_events_written_total", "kind"), "{{kind}}"),),
                    "ops",
                    low=0,
                ),
                graph(
                    "Events dropped",
                    "Events a second that are not in the log. memory or disk: no room, so figures"
                    " rest on fewer predictions; invalid: a mistake of ours, report it.",
                    (Query(per_second("tenantry_events_dropped_total", "reason"), "{{reason}}"),),
                    "ops",
                    low=0,
                ),
                graph(
                    "Time of a write",
                    "One write to the log and its sync. Beyond the flush interval: the disk is too"
                    " slow, and events wait in memory until they are dropped.",
                    (
                        Query(quantile(0.5, "tenantry_event_log_write_seconds"), "p50"),
                        Query(quantile(0.95, "tenantry_event_log_write_seconds"), "p95"),
                        Query(quantile(0.99, "tenantry_event_log_write_seconds"), "p99"),
                        Query(mean("tenantry_event_log_write_seconds"), "mean"),
                    ),
                    "s",
                    low=0,
                ),
                graph(
                    "Size of the log, and room",
                    "What the log takes, and what is left on the file system of the state. At no"
                    " room labels and uploads are refused with 503.",
                    (
                        Query(largest("tenantry_event_log_bytes"), "log"),
                        Query(smallest("tenantry_state_free_bytes"), "left"),
                        Query(smallest("tenantry_state_size_bytes"), "size"),
                    ),
                    "bytes",
                    styles=(Style("/^size/", palette.OBJECTIVE, dashed=True),),
                    low=0,
                ),
            ),
        ),
    )


def lost_and_read() -> Section:
    """Return what the sidecar reads, and what was lost on the way."""
    return Section(
        "Event log, read",
        (
            line(
                7,
                graph(
                    "Lag",
                    "How far the sidecar's figures are behind the log, and how long ago it last"
                    " looked. Every figure of a model is as old as this.",
                    (
                        Query(largest("tenantry_log_lag_seconds"), "lag"),
                        Query(largest("tenantry_monitor_idle_seconds"), "since it looked"),
                    ),
                    "s",
                    low=0,
                    nothing=NO_SIDECAR,
                ),
                graph(
                    "Backlog",
                    "Log that is not read yet. Growing: the sidecar is slower than the traffic, or"
                    " stands still.",
                    (
                        Query(largest("tenantry_log_backlog_bytes"), "bytes"),
                        Query(largest("tenantry_log_backlog_segments"), "segments"),
                    ),
                    "bytes",
                    styles=(Style("/^segments/", right=True, unit="short"),),
                    low=0,
                    nothing=NO_SIDECAR,
                ),
                graph(
                    "Events read",
                    "Events a second that the sidecar read. After a stop it reads faster than"
                    " they come, until it has caught up.",
                    (Query(per_second("tenantry_log_events_read_total"), "read"),),
                    "ops",
                    low=0,
                    nothing=NO_SIDECAR,
                ),
                graph(
                    "Events damaged, missing, late",
                    "Frames that could not be read, events that were lost before they were read,"
                    " and those that came after their time was settled; and segments that"
                    " retention deleted unread. None is normal, but for a few late ones.",
                    (
                        Query(per_second("tenantry_log_events_damaged_total"), "damaged"),
                        Query(per_second("tenantry_log_events_missing_total"), "missing"),
                        Query(per_second("tenantry_log_events_late_total"), "late"),
                        Query(
                            per_second("tenantry_event_log_unread_segments_deleted_total"),
                            "segments deleted unread",
                        ),
                    ),
                    "ops",
                    low=0,
                ),
            ),
        ),
    )
