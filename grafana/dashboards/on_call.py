"""On call: are users hurt, which part, since what change; for somebody who was just woken."""

from grafana.dashboards import annotations, changes, links, palette, variables
from grafana.dashboards.alerting import alerts_table, pages
from grafana.dashboards.board import Board
from grafana.dashboards.expressions import largest, per_second, quantile, smallest
from grafana.dashboards.grid import Place, Section, line
from grafana.dashboards.on_call_budgets import budget_left, burning, shares
from grafana.dashboards.on_call_models import models
from grafana.dashboards.panels import OBJECTIVE, Style, graph, number
from grafana.dashboards.query import Query
from grafana.slo import Slo

# Routes whose answers are predictions, on every wire; the others are asked by operators.
PREDICTING = "POST .*/(predict|infer|embed)|POST /hf/.*|POST /classify|grpc ModelInfer"
ASKED = f'route=~"{PREDICTING}"'
FIGURES = ("lastNotNull", "max")
# Stages of a request, in the order in which it passes them; the last two only now and then.
STAGES = (
    ("whole request", "tenantry_request_seconds", ASKED, True),
    ("prepare", "tenantry_prepare_seconds", "", False),
    ("queue", "tenantry_queue_seconds", "", True),
    ("forward pass", "tenantry_batch_seconds", "", True),
    ("load into the bank", "tenantry_bank_load_seconds", "", False),
    ("write to the log", "tenantry_event_log_write_seconds", "", False),
)


def on_call(slo: Slo) -> Board:
    """Return the dashboard."""
    return Board(
        uid=links.ON_CALL,
        about=(
            "Whether users are hurt, which part does it, and since what change: alerts, requests,"
            " stages, saturation, error budgets, and the models' drift and calibration."
        ),
        since="now-6h",
        refresh="30s",
        variables=(
            variables.datasource(),
            variables.tenant(everyone=True),
            variables.adapter(everyone=True),
        ),
        annotations=(
            *annotations.of_tenants(),
            *annotations.of_processes(),
            *annotations.of_pages(),
        ),
        sections=(
            _hurt(slo),
            _changed(slo),
            _requests(slo),
            _stages(),
            _saturation(slo),
            burning(slo),
            models(slo),
        ),
    )


def _hurt(slo: Slo) -> Section:
    down = 'count(up{job="tenantry"} == 0) or 0 * count(up{job="tenantry"})'
    return Section(
        "Are users hurt?",
        (
            line(
                4,
                pages(),
                *shares(slo),
                budget_left(slo, "error", "Error budget left"),
                budget_left(slo, "latency", "Latency budget left"),
                number(
                    "Replicas down",
                    "Replicas of the service that Prometheus knows and does not reach. All of"
                    " them: nobody gets an answer, or the network to Prometheus is cut.",
                    Query(down),
                    "short",
                    steps=((None, palette.GOOD), (1, palette.BAD)),
                    nothing="unknown: no target",
                    decimals=0,
                ),
                number(
                    "Adapters out of service",
                    "Adapters in quarantine for outputs that are no numbers, of the replica with"
                    " most; their requests end in 500. Any: roll them back, the alert says which.",
                    Query(largest("tenantry_quarantined_adapters")),
                    "short",
                    steps=((None, palette.GOOD), (1, palette.BAD)),
                    nothing="unknown: no replica is reached",
                    decimals=0,
                ),
                number(
                    "Model figures are behind by",
                    "How old what the sidecar says of models is. Beyond minutes: drift and"
                    " calibration below are of before the incident. Unknown: the sidecar is gone.",
                    Query(largest("tenantry_log_lag_seconds")),
                    "s",
                    steps=(
                        (None, palette.GOOD),
                        (float(slo.limit("TenantryLogLag", "lag")), palette.WARNING),
                    ),
                    nothing="unknown: no sidecar",
                ),
            ),
        ),
    )


def _changed(slo: Slo) -> Section:
    served = "count by (bundle, provider, precision) (tenantry_process_info)"
    return Section(
        "Which part, and since what change?",
        (
            line(
                9,
                alerts_table(
                    "Active alerts",
                    "Everything that fires, the newest first. Click an alert for its runbook:"
                    " what to do now is there. Several at once: begin with the critical one whose"
                    " runbook explains the others.",
                    'severity=~"critical|warning|info"',
                    slo,
                ),
                changes.rollouts(),
                widths=(15, 9),
            ),
            line(
                6,
                changes.rollbacks(),
                graph(
                    "Replicas, by what they serve",
                    "Bundle, provider and precision. A second line, or a line that ends where"
                    " another begins: a deployment; trouble since then came with it.",
                    (Query(served, "{{bundle}} {{provider}} {{precision}}"),),
                    "short",
                    low=0,
                    nothing="no replica is reached",
                ),
                graph(
                    "Processes that answer Prometheus",
                    "The service's replicas and the sidecar. A gap: it was gone, or restarted; the"
                    " marks say when one started.",
                    (
                        Query(
                            'sum by (job) (up{job=~"tenantry|tenantry-monitor"})',
                            "{{job}}",
                        ),
                    ),
                    "short",
                    low=0,
                    nothing="none is known to Prometheus",
                ),
            ),
        ),
    )


def _requests(slo: Slo) -> Section:
    allowed = 1 - slo.service.availability
    by_route = per_second("tenantry_requests_total", "route")
    failed = per_second("tenantry_requests_total", "route", 'status="5xx"')
    return Section(
        "Requests",
        (
            line(
                8,
                graph(
                    "Rate, by route",
                    "Requests a second. A fall with no errors: they do not reach us; look before"
                    " the service. A jump: see which tenant, in Fleet.",
                    (Query(f"{by_route} > 0", "{{route}}"),),
                    "reqps",
                    low=0,
                    nothing="no requests",
                ),
                graph(
                    "Failures, by route",
                    "Share of each route's requests that ended in a 5xx, callers' own short"
                    " deadlines among them, which no budget counts. The line is what the objective"
                    " allows of the rest. One route: that protocol; all: the machine, see"
                    " saturation.",
                    (
                        Query(f"{failed} / ({by_route} > 0)", "{{route}}"),
                        Query(f"vector({allowed:.9g})", "objective: at most"),
                    ),
                    "percentunit",
                    styles=(OBJECTIVE,),
                    low=0,
                    nothing="no requests",
                ),
                graph(
                    "Refused, by reason",
                    "Errors a second, by the problem's code, which the reference of errors"
                    " explains. queue-full: too much load; tenant codes: one tenant's limits.",
                    (Query(f"{per_second('tenantry_refused_total', 'reason')} > 0", "{{reason}}"),),
                    "cps",
                    low=0,
                    nothing="nothing was refused",
                ),
                graph(
                    "Answers of $tenant, by outcome",
                    "Requests a second for the tenant's adapters: in time, late, failed. Choose a"
                    " tenant above to see whether it is only theirs.",
                    (
                        Query(
                            per_second(
                                "tenantry_tenant_answers_total", "outcome", 'tenant=~"$tenant"'
                            ),
                            "{{outcome}}",
                        ),
                    ),
                    "reqps",
                    styles=(
                        Style("/^ok$/", palette.GOOD),
                        Style("/^slow$/", palette.WARNING),
                        Style("/^failed$/", palette.BAD),
                    ),
                    low=0,
                    nothing="no requests",
                ),
            ),
        ),
    )


def _stages() -> Section:
    objective = Query(
        "max by (class) (tenantry_latency_objective_seconds)", "objective of class {{class}}"
    )

    def stages(share: float) -> tuple[Query, ...]:
        return tuple(
            Query(quantile(share, histogram, where=where), name, exemplars=exemplars)
            for name, histogram, where, exemplars in STAGES
        )

    about = (
        " of each stage of a request, and what an answer may take by its tenant's class. The stage"
        " that rose with the whole is the cause: queue and no other: load; forward pass: the"
        " machine; load into the bank: too few slots; prepare: longer texts. A dot is one request:"
        " click it for its trace."
    )
    return Section(
        "Where the time goes",
        (
            line(
                9,
                graph(
                    "p50, by stage",
                    f"The median{about}",
                    (*stages(0.5), objective),
                    "s",
                    styles=(OBJECTIVE,),
                    low=0,
                    legend=FIGURES,
                ),
                graph(
                    "p95, by stage",
                    f"The 95th percentile{about}",
                    (*stages(0.95), objective),
                    "s",
                    styles=(OBJECTIVE,),
                    low=0,
                    legend=FIGURES,
                ),
                graph(
                    "p99, by stage",
                    f"The 99th percentile{about}",
                    (*stages(0.99), objective),
                    "s",
                    styles=(OBJECTIVE,),
                    low=0,
                    legend=FIGURES,
                ),
            ),
        ),
    )


def _saturation(slo: Slo) -> Section:
    return Section(
        "Saturation",
        (
            _full(slo),
            _room(),
        ),
    )


def _full(slo: Slo) -> tuple[Place, ...]:
    full = float(slo.limit("TenantryQueueSaturated", "used"))
    free = float(slo.limit("TenantryDiskFilling", "free"))
    busy = (
        'sum (rate(tenantry_batch_seconds_sum[$__rate_interval])) / count(up{job="tenantry"} == 1)'
    )
    return line(
        7,
        graph(
            "Queue and forward passes",
            "How full the fullest queue is, and the share of the time that a pass runs. A"
            " pass always running and a queue that grows: add replicas, or limit the"
            " tenant that floods. An idle pass and a full queue: it hangs; restart it.",
            (
                Query("max (tenantry_queue_texts / tenantry_queue_texts_max)", "texts"),
                Query("max (tenantry_queue_tokens / tenantry_queue_tokens_max)", "tokens"),
                Query(busy, "a pass runs"),
            ),
            "percentunit",
            steps=((None, palette.GOOD), (full, palette.BAD)),
            low=0,
            soft_high=1,
        ),
        graph(
            "Bank",
            "Adapters loaded and evicted, for each forward pass. Near 1: each pass waits"
            " for loads; more adapters are in use than there are slots.",
            (
                Query(
                    f"{per_second('tenantry_bank_loads_total')}"
                    f" / {per_second('tenantry_batch_seconds_count')}",
                    "loads",
                ),
                Query(
                    f"{per_second('tenantry_bank_evictions_total')}"
                    f" / {per_second('tenantry_batch_seconds_count')}",
                    "evictions",
                ),
            ),
            "none",
            low=0,
            nothing="no pass ran",
        ),
        graph(
            "Disk that is left",
            "Of the file system of the state, on the fullest replica. At 0 labels,"
            " rollouts and uploads are refused; predictions go on, their events are lost.",
            (Query("min (tenantry_state_free_bytes / tenantry_state_size_bytes)", "left"),),
            "percentunit",
            steps=((None, palette.BAD), (free, palette.GOOD)),
            low=0,
            high=1,
        ),
    )


def _room() -> tuple[Place, ...]:
    return line(
        7,
        graph(
            "Event log",
            "Events a second that were lost, and whether the log fails (1). Failing: the"
            " disk is full or gone.",
            (
                Query(
                    per_second("tenantry_events_dropped_total", "reason"),
                    "lost: {{reason}}",
                ),
                Query(largest("tenantry_event_log_failing"), "failing"),
            ),
            "ops",
            styles=(Style("/^failing/", palette.BAD, right=True, unit="none"),),
            low=0,
        ),
        graph(
            "Memory and registry",
            "Resident memory of the largest replica, and the age of what the oldest knows"
            " of the registry. An old registry: rollouts do not reach it.",
            (
                Query(
                    largest("process_resident_memory_bytes", where='job="tenantry"'),
                    "memory",
                ),
                Query(largest("tenantry_registry_age_seconds"), "registry's age"),
            ),
            "bytes",
            styles=(Style("/^registry/", right=True, unit="s"),),
            low=0,
        ),
        graph(
            "Slots of the bank",
            "Free slots of the fullest replica. 0 is normal where there are more adapters"
            " than slots; see Bank for whether it hurts.",
            (
                Query(
                    f"{smallest('tenantry_bank_slots')} - {largest('tenantry_bank_slots_used')}",
                    "free",
                ),
            ),
            "short",
            low=0,
        ),
    )
