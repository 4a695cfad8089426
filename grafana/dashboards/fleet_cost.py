"""Fleet's rows about capacity and cost.

A replica costs the same whether it works or waits, so the cost of the range is its replica-hours
times `$price`; a tenant's part is its part of the forward passes' time.
"""

from grafana.dashboards import links, palette
from grafana.dashboards.expressions import counted, largest, smallest
from grafana.dashboards.grid import Section, line
from grafana.dashboards.panels import Steps, bar_list, graph, number
from grafana.dashboards.query import Query

UP = 'count(up{job="tenantry"} == 1)'
HOURS = 'sum (sum_over_time(up{job="tenantry"}[$__range:1m])) / 60'
_COMPUTE = "tenantry_compute_seconds_total"
_FULL: Steps = ((None, palette.GOOD), (0.7, palette.WARNING), (0.9, palette.BAD))


def capacity() -> Section:
    """Return how much of what there is is used."""
    busy = f"sum (rate(tenantry_batch_seconds_sum[$__rate_interval])) / {UP}"
    queue = "max (tenantry_queue_texts / tenantry_queue_texts_max)"
    tokens = "max (tenantry_queue_tokens / tenantry_queue_tokens_max)"
    used, slots = largest("tenantry_bank_slots_used"), smallest("tenantry_bank_slots")
    free = "min (tenantry_state_free_bytes / tenantry_state_size_bytes)"
    return Section(
        "Capacity",
        (
            line(
                7,
                graph(
                    "Time spent in forward passes",
                    "Share of the time that a pass runs, the mean of the replicas. Beyond the"
                    " lines peaks begin to wait: add a replica before it is always there.",
                    (Query(busy, "busy"),),
                    "percentunit",
                    steps=_FULL,
                    low=0,
                    high=1,
                ),
                graph(
                    "How full the queue is",
                    "Of the fullest replica, by texts and by tokens. At 1 requests get 503.",
                    (Query(queue, "texts"), Query(tokens, "tokens")),
                    "percentunit",
                    steps=_FULL,
                    low=0,
                    soft_high=1,
                ),
                graph(
                    "How full bank and disk are",
                    "Slots of the bank that hold an adapter (full is normal), and the disk of the"
                    " state (full is not: labels and uploads are refused).",
                    (Query(f"{used} / {slots}", "slots"), Query(f"1 - {free}", "disk")),
                    "percentunit",
                    low=0,
                    high=1,
                ),
                number(
                    "Replicas that answer",
                    "Replicas of the service that Prometheus reaches.",
                    Query(UP, "replicas"),
                    "short",
                    nothing="none",
                    decimals=0,
                    spark=True,
                ),
                widths=(7, 7, 6, 4),
            ),
        ),
    )


def cost() -> Section:
    """Return what it costs, all together and by tenant."""
    share = f"{counted(_COMPUTE, 'tenant')} / on () group_left () ({counted(_COMPUTE)} > 0)"
    texts = counted("tenantry_texts_total")
    return Section(
        "Cost",
        (
            line(
                8,
                number(
                    "Cost of the time range",
                    "Hours of all replicas times the price of a replica-hour, above: with a price"
                    " of 1, replica-hours.",
                    Query(f"{HOURS} * $price"),
                    "none",
                    decimals=1,
                    nothing="unknown: nothing was scraped",
                ),
                number(
                    "Cost of a million texts",
                    "Cost of the time range over the texts answered in it. Rising with less"
                    " traffic: replicas wait; rising with equal traffic: texts became longer.",
                    Query(f"{HOURS} * $price / ({texts} / 1e6 > 0)"),
                    "none",
                    decimals=2,
                    nothing="no texts",
                ),
                bar_list(
                    "Cost by tenant",
                    "Each tenant's part of the cost, by its part of the forward passes' time; the"
                    " fifteen with most. `_other` adds up those without series of their own.",
                    Query(
                        f"topk(15, {share} * on () group_left () ({HOURS} * $price))", "{{tenant}}"
                    ),
                    "none",
                    decimals=2,
                    nothing="no compute was used",
                    link=links.of_series(links.TENANT, "tenant"),
                ),
                bar_list(
                    "Compute by tenant",
                    "Time of forward passes that each tenant's texts took, the fifteen with most.",
                    Query(f"topk(15, {counted(_COMPUTE, 'tenant')})", "{{tenant}}"),
                    "s",
                    nothing="no compute was used",
                    link=links.of_series(links.TENANT, "tenant"),
                ),
                widths=(4, 4, 8, 8),
            ),
        ),
    )
