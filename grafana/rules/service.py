"""Alerts about the service that need no objective.

Gauges are read through `last_over_time` or `avg_over_time`, so that a scrape that failed, which
ends every series of its target at once, neither ends an alert nor begins its `for` anew. Instances
come and go: nothing keeps their name.
"""

from collections.abc import Iterator

from grafana.rules.rule import Alert
from grafana.rules.telling import DEBUG, TENANT, VERSION, Message, Teller
from grafana.slo import Slo

JOB = "tenantry"
SIDECAR = "tenantry-monitor"
_UP = f'up{{job="{JOB}"}}'
_CAME_AND_WENT = 3  # times that `up` changes: a restart is two
_PERCENT = "{{ $value | humanizePercentage }}"
_TIME = "{{ $value | humanizeDuration }}"
_VERSION_NAME = "{{ $labels.tenant }}.{{ $labels.adapter }} version {{ $labels.version }}"


def alerts(slo: Slo) -> Iterator[Alert]:
    """Yield them, in the order of their runbooks."""
    teller = Teller(slo)
    yield from _down(slo, teller)
    yield from _crowded(slo, teller)
    yield from _quarantined(teller)
    yield from _log(slo, teller)
    yield from _disk(slo, teller)
    yield from _shared(slo, teller)


def _down(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryServiceDown"
    yield teller.alert(
        name,
        # Down for some minutes, or up for seconds only, again and again.
        f"absent({_UP} == 1)\nor\n{mostly_down(_UP, '10m', slo.limit(name, 'up'))}",
        "critical",
        Message(
            "No replica of the service answers",
            f"No target of the job {JOB} could be scraped: nobody gets an answer, or Prometheus"
            " cannot reach the service.",
        ),
    )
    some = slo.alert(name).limits["some_down"]
    yield teller.alert(
        name,
        f"count({_UP} == 0) > 0\nand on ()\ncount({_UP} == 1) > 0",
        "warning",
        Message(
            "Some replicas of the service do not answer",
            "Replicas that cannot be scraped: {{ $value }}. Others answer.",
        ),
        held=f"{some.value:g}s",
    )


def mostly_down(up: str, window: str, share: str) -> str:
    """Return the expression of a job that ends anew and anew.

    Its best target was up for less than a share of a window, and came and went more than once: a
    single time that is over is over. Targets that are newer than the window say nothing yet: they
    may just have been started.
    """
    known = f"last_over_time({up}[5m] offset {window})"
    return (
        f"max(\n  avg_over_time({up}[{window}])\n  and {known}\n) < {share}"
        f"\nand\nmax(\n  changes({up}[{window}])\n  and {known}\n) >= {_CAME_AND_WENT}"
    )


def _crowded(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryQueueSaturated"
    used = slo.limit(name, "used")
    yield teller.alert(
        name,
        "\nor\n".join(
            f"max(\n  avg_over_time(tenantry_queue_{what}[5m])"
            f"\n  / last_over_time(tenantry_queue_{what}_max[5m])\n) > {used}"
            for what in ("texts", "tokens")
        ),
        "warning",
        Message(
            "The queue of a replica is nearly full",
            f"{_PERCENT} of its room is taken, as a mean of 5 minutes; when it is full, requests"
            " get 503 (queue-full).",
        ),
    )
    name = "TenantryBankThrashing"
    yield teller.alert(
        name,
        "max(\n"
        "  rate(tenantry_bank_evictions_total[10m])\n"
        "  / rate(tenantry_batch_seconds_count[10m])\n"
        "  and rate(tenantry_bank_load_seconds_sum[10m])"
        f" > {slo.limit(name, 'loading')}\n"
        f") > {slo.limit(name, 'evictions')}",
        "warning",
        Message(
            "More adapters are asked for than a replica's bank holds",
            '{{ $value | printf "%.2f" }} adapters are put out of the bank in each pass, and to'
            " load them again takes a good part of the time.",
            board=DEBUG,
        ),
    )
    name = "TenantryTenantLimited"
    limited = 'sum by (tenant) (increase(tenantry_limited_total{tenant!="_other"}[15m]))'
    answers = "sum by (tenant) (increase(tenantry_tenant_answers_total[15m]))"
    yield teller.alert(
        name,
        f"{limited}\n/ (\n  {limited}\n  + ({answers} or 0 * {limited})\n)"
        f" > {slo.limit(name, 'refused')}\n"
        f"and {limited} > {slo.alert(name).limits['requests_min'].value - 0.5:g}",
        "info",
        Message(
            "{{ $labels.tenant }} is held back by its own limits",
            f"{_PERCENT} of its requests of the last 15 minutes were refused with 429; nobody else"
            " is slowed down.",
            about=("tenant",),
            board=TENANT,
        ),
    )


def _told_quarantined(over_time: str) -> str:
    """Return the versions out of service that the sidecar tells of, and that answer users."""
    return (
        f"max by (tenant, adapter, version) ({over_time}(tenantry_version_quarantined[10m])) > 0\n"
        # A shadow answers nobody; but one that was made live a moment ago does.
        "unless on (tenant, adapter, version) (\n"
        '  last_over_time(tenantry_rollout_share_ratio{role="shadow"}[10m])\n'
        "  unless on (tenant, adapter, version)\n"
        '  last_over_time(tenantry_rollout_share_ratio{role!="shadow"}[10m])\n)'
    )


def _quarantined(teller: Teller) -> Iterator[Alert]:
    name = "TenantryAdapterQuarantined"
    yield teller.alert(
        name,
        _told_quarantined("last_over_time"),
        "critical",
        Message(
            f"{_VERSION_NAME} is out of service",
            "Its outputs were not finite. Requests for it end in 409 (adapter-quarantined) until"
            " another version takes its place.",
            about=VERSION,
            board=TENANT,
        ),
    )
    yield teller.alert(
        name,
        # Of those that it told of within the same ten minutes: a replica that is gone is
        # remembered for as long.
        "max(last_over_time(tenantry_quarantined_adapters[10m]))\n"
        f"- (count(\n{_told_quarantined('max_over_time')}\n) or vector(0))\n"
        "> 0",
        "critical",
        Message(
            "An adapter is out of service, and the sidecar does not tell which",
            "{{ $value }} more than it tells of: their outputs were not finite. Requests for them"
            " end in 409 (adapter-quarantined). The service's log has their digests; the audit"
            " trail (GET /v1/audit), their names.",
        ),
        held="5m",  # the sidecar has the time to tell
        more={"told_by": "service"},
    )


def _log(slo: Slo, teller: Teller) -> Iterator[Alert]:
    yield teller.alert(
        "TenantryEventLogFailing",
        "max(avg_over_time(tenantry_event_log_failing[5m])) >= 0.5",
        "critical",
        Message(
            "The event log cannot be written",
            "Labels and rollouts are refused with 503; predictions go on, and their events are"
            " lost. Usually the disk is full.",
        ),
    )
    name = "TenantryEventLogSlow"
    yield teller.alert(
        name,
        "histogram_quantile(\n"
        "  0.9,\n"
        "  sum by (le) (rate(tenantry_event_log_write_seconds_bucket[10m]))\n"
        f") > {slo.limit(name, 'write')}\n"
        "and\n"
        "max(rate(tenantry_event_log_write_seconds_sum[10m]))"
        f" > {slo.limit(name, 'busy')}",
        "warning",
        Message(
            "The disk of the event log is slow",
            f"One write in ten takes {_TIME} or longer; labels wait that long, and events are"
            " dropped when too many wait.",
            board=DEBUG,
        ),
    )
    name = "TenantryEventsDropped"
    yield teller.alert(
        name,
        "sum by (reason) (increase(tenantry_events_dropped_total[15m]))"
        f" > {slo.limit(name, 'events')}",
        "warning",
        Message(
            "Events are lost: {{ $labels.reason }}",
            "{{ $value | humanize }} events of the last 15 minutes are not in the log; the"
            " sidecar's figures miss them.",
            board=DEBUG,
        ),
    )


def _disk(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryDiskFilling"
    free = (
        "last_over_time(tenantry_state_free_bytes[10m])"
        " / last_over_time(tenantry_state_size_bytes[10m])"
    )
    yield teller.alert(
        name,
        f"min({free}) < {slo.limit(name, 'free')}\n"
        "or\n"
        f"min(\n  {free} < {slo.limit(name, 'likely')}\n"
        f"  and predict_linear(tenantry_state_free_bytes[6h], {slo.limit(name, 'full_in')}) < 0\n"
        # A line through the samples of a few minutes says nothing of a day.
        "  and last_over_time(tenantry_state_free_bytes[10m] offset 1h)\n"
        ")",
        "warning",
        Message(
            "The disk of the state fills up",
            f"{_PERCENT} of it is free; at none, labels, uploads and rollouts are refused.",
        ),
    )


def _shared(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryRegistryUnreachable"
    yield teller.alert(
        name,
        # Of replicas that are there: one that is gone has nothing to reach.
        "max(\n"
        "  last_over_time(tenantry_registry_age_seconds[5m])\n"
        f"  and on (instance, job) max_over_time({_UP}[1m]) == 1\n"
        f") > {slo.limit(name, 'age')}",
        "critical",
        Message(
            "A replica cannot reach the registry",
            f"It last answered {_TIME} ago. Predictions go on with what is known; rollouts, keys"
            " and uploads do not reach this replica.",
        ),
    )
    yield teller.alert(
        "TenantryMixedBundles",
        # One that warms up has no bundle yet.
        'count(count by (bundle) (last_over_time(tenantry_process_info{bundle!=""}[1h]))) > 1',
        "warning",
        Message(
            "The service was seen with several bundles within an hour",
            "{{ $value }} bundles: replicas differ, or another backbone was put in place. A planned"
            " change is told too, for an hour: look whether this one was. Versions belong to the"
            " bundle that they were judged on.",
        ),
    )
    yield from _canaries(slo, teller)


def _canaries(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryCanaryRolledBack"
    told = slo.limit(name, "told")
    at = (
        "max by (tenant, adapter, version, reason) ("
        "last_over_time(tenantry_automatic_rollback_timestamp_seconds[10m]))"
    )
    yield teller.alert(
        name,
        f"time() - {at} < {told}",
        "warning",
        Message(
            f"{_VERSION_NAME} was rolled back: {{{{ $labels.reason }}}}",
            f"The service took the canary out {_TIME} ago: it did worse than the live version.",
            about=VERSION,
            board=TENANT,
        ),
    )
    counted = "sum by (reason) (increase(tenantry_automatic_rollbacks_total[1h]))"
    yield teller.alert(
        name,
        # Counters are extrapolated: half a rollback is none.
        f"{counted}\n- (count by (reason) (time() - {at} < 3600) or 0 * {counted})\n> 0.5",
        "warning",
        Message(
            "A canary was rolled back, and the sidecar does not tell which: {{ $labels.reason }}",
            "The service took it out within the last hour; the audit trail (GET /v1/audit) has it.",
        ),
        held="5m",  # the sidecar has the time to tell
        more={"told_by": "service"},
    )
    yield teller.alert(
        "TenantryCanaryWorse",
        "max by (tenant, adapter, version, live) ("
        'last_over_time(tenantry_canary_info{verdict="worse"}[5m]))',
        "warning",
        Message(
            f"{_VERSION_NAME} does worse as a canary than version {{{{ $labels.live }}}}",
            "The difference is proven, and nobody rolls it back: automatic rollback is off, or does"
            " not work.",
            about=VERSION,
            board=TENANT,
        ),
    )
