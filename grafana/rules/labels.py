"""Whether labels that came day by day still come.

Everything is of an adapter and not of a version: a new version begins without labels, and one that
is retired is soon not told of any more. *Day by day* is the median over the days of a week, so
labels that are sent once a week never did.
"""

from collections.abc import Iterator

from grafana.rules.rule import Alert, Group, Recording
from grafana.rules.telling import TENANT, Message, Teller
from grafana.slo import Slo

NAME = "TenantryLabelsStopped"
INTERVAL = "2m"  # days of raw samples are read
_BY = "tenant, adapter"
_DAILY = "tenant_adapter:tenantry_labels:increase1d"
_DELAY = "tenant_adapter:tenantry_label_delay_seconds:max"
_DAY_S = 86_400


def group() -> Group:
    """Return the group that records what came each day, and how late."""
    delay = "last_over_time(tenantry_label_delay_seconds[10m])"
    return Group(
        "tenantry-labels",
        INTERVAL,
        (
            Recording(_DAILY, f"sum by ({_BY}) (increase(tenantry_labels_total[1d]))"),
            Recording(_DELAY, f"max by ({_BY}) ({delay})"),
        ),
    )


def alerts(slo: Slo) -> Iterator[Alert]:
    """Yield the one that there is."""
    since, before = slo.limit(NAME, "since"), slo.limit(NAME, "before")
    week = f"[{before}s] offset {since}s"
    days = f"{float(since) / _DAY_S:g}"
    parts = (
        f"quantile_over_time(0.5, {_DAILY}{week}) >= {slo.limit(NAME, 'labels')}",
        # Fewer predictions than there were labels a day are a holiday.
        f"<= on ({_BY}) {_counted('predictions', since)}",
        # A week of a new adapter is shorter than a week: its first labels are somebody who tries.
        f"and on ({_BY}) last_over_time({_DAILY}[1d] offset {slo.limit(NAME, 'known')}s)",
        f"unless on ({_BY}) {_counted('labels', since)} > 0",
        # Late labels are of the version before, of which nothing is told any more.
        f"unless on ({_BY}) time() - {_rolled_out()} < 2 * max_over_time({_DELAY}{week})",
    )
    yield Teller(slo).alert(
        NAME,
        "\n".join(parts),
        "warning",
        Message(
            "{{ $labels.tenant }}.{{ $labels.adapter }}: labels came day by day, and have stopped",
            f'None in {days} days, after {{{{ $value | printf "%.0f" }}}} a day, while predictions'
            " go on: nobody would see accuracy or calibration fall.",
            about=("tenant", "adapter"),
            board=TENANT,
        ),
    )


def _counted(what: str, since: str) -> str:
    return f"sum by ({_BY}) (increase(tenantry_{what}_total[{since}s]))"


def _rolled_out() -> str:
    return f"max by ({_BY}) (last_over_time(tenantry_rollout_timestamp_seconds[10m]))"
