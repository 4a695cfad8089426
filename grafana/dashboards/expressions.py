"""PromQL that many panels share.

Nothing depends on the instance: counters are summed over replicas, gauges that each replica tells
alike take the largest. `$__rate_interval` is Grafana's: at least four scrapes, and never shorter
than a step.
"""

VERSION = "tenant, adapter, version"
ADAPTER = "tenant, adapter"


def series(name: str, where: str = "") -> str:
    """Return a selector."""
    return f"{name}{{{where}}}" if where else name


def live(where: str = "") -> str:
    """Return what is live now, one series for each version of them."""
    role = 'role="live"'
    return largest("tenantry_rollout_share_ratio", VERSION, f"{role}, {where}" if where else role)


def per_second(counter: str, by: str = "", where: str = "") -> str:
    """Return a counter's rate, summed over everything but the labels in `by`."""
    group = f"sum by ({by})" if by else "sum"
    return f"{group} (rate({series(counter, where)}[$__rate_interval]))"


def counted(counter: str, by: str = "", where: str = "") -> str:
    """Return how much a counter grew in the dashboard's time range."""
    group = f"sum by ({by})" if by else "sum"
    return f"{group} (increase({series(counter, where)}[$__range]))"


def largest(gauge: str, by: str = "", where: str = "", at: str = "") -> str:
    """Return a gauge, the largest of the replicas; `at` (`end()`) holds its time still."""
    group = f"max by ({by})" if by else "max"
    return f"{group} ({series(gauge, where)}{f' @ {at}' if at else ''})"


def smallest(gauge: str, by: str = "", where: str = "") -> str:
    """Return a gauge, the smallest of the replicas."""
    group = f"min by ({by})" if by else "min"
    return f"{group} ({series(gauge, where)})"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """Return a quantile of a histogram over all replicas: the buckets are added first."""
    labels = f"le, {by}" if by else "le"
    buckets = per_second(f"{histogram}_bucket", labels, where)
    return f"histogram_quantile({share:g}, {buckets})"


def mean(histogram: str, where: str = "") -> str:
    """Return the mean of what a histogram observed."""
    total = per_second(f"{histogram}_sum", where=where)
    return f"{total} / {per_second(f'{histogram}_count', where=where)}"
