"""Debug: how the machine works inside; for those who look for the cause."""

from grafana.dashboards import annotations, links, palette, variables
from grafana.dashboards.board import Board
from grafana.dashboards.debug_log import lost_and_read, written
from grafana.dashboards.debug_models import detectors, inputs, outputs
from grafana.dashboards.debug_processes import edges, processes
from grafana.dashboards.expressions import largest, mean, per_second, quantile, smallest
from grafana.dashboards.grid import Place, Section, line
from grafana.dashboards.panels import OBJECTIVE, Style, graph
from grafana.dashboards.query import Query


def debug() -> Board:
    """Return the dashboard."""
    return Board(
        uid=links.DEBUG,
        about=(
            "The inside: batches, the adapter bank, what models get and say, the event log, the"
            " processes. Rows above the models are of the whole service; tenant, adapter and"
            " version choose what the models' rows show."
        ),
        since="now-3h",
        refresh="30s",
        variables=(
            variables.datasource(),
            variables.tenant(everyone=True),
            variables.adapter(everyone=True),
            variables.versions(),
        ),
        annotations=(*annotations.of_tenants(), *annotations.of_processes()),
        sections=(
            _batches(),
            _bank(),
            outputs(),
            inputs(),
            detectors(),
            written(),
            lost_and_read(),
            processes(),
            edges(),
        ),
    )


def _spread(histogram: str) -> tuple[Query, ...]:
    """Return median, 95th percentile and mean of a histogram."""
    return (
        Query(quantile(0.5, histogram), "p50"),
        Query(quantile(0.95, histogram), "p95"),
        Query(mean(histogram), "mean"),
    )


def _batches() -> Section:
    return Section(
        "Batches",
        (
            _passes(),
            _work(),
            _waiting(),
        ),
    )


def _passes() -> tuple[Place, ...]:
    return line(
        7,
        graph(
            "Forward passes",
            "Passes a second. Many small ones under load: requests come one by one, and"
            " the machine is not full; few large ones: it is.",
            (Query(per_second("tenantry_batch_seconds_count"), "passes"),),
            "ops",
            low=0,
        ),
        graph(
            "Time of a pass",
            "One forward pass, heads included. Rising with equal tokens: something else"
            " takes the cores, or the provider is not the one you think.",
            tuple(
                Query(quantile(share, "tenantry_batch_seconds"), name, exemplars=True)
                for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            "s",
            low=0,
        ),
        graph(
            "Texts in a pass",
            "How many texts share one pass. Near 1 under load: nothing is batched.",
            _spread("tenantry_batch_texts"),
            "short",
            low=0,
        ),
    )


def _work() -> tuple[Place, ...]:
    return line(
        7,
        graph(
            "Tokens in a pass",
            "Without padding: the work of a pass. Its cost follows this, not the texts.",
            _spread("tenantry_batch_tokens"),
            "short",
            low=0,
        ),
        graph(
            "Padding",
            "Places of a pass that hold no token: work for nothing. High under load:"
            " lengths differ much, or the shapes that were tuned do not fit.",
            (
                Query(f"1 - {quantile(0.5, 'tenantry_batch_fill_ratio')}", "p50"),
                Query(f"1 - {mean('tenantry_batch_fill_ratio')}", "mean"),
            ),
            "percentunit",
            low=0,
            high=1,
        ),
        graph(
            "Adapters in a pass",
            "Tenants' adapters that share one pass. 1 with many tenants: they come one"
            " after another.",
            _spread("tenantry_batch_adapters"),
            "short",
            low=0,
        ),
    )


def _waiting() -> tuple[Place, ...]:
    return line(
        7,
        graph(
            "Texts that wait and run",
            "The queue and the pass that runs, all replicas. A queue that does not empty"
            " between peaks: capacity is short.",
            (
                Query("sum (tenantry_queue_texts)", "waiting"),
                Query("sum (tenantry_running_texts)", "running"),
            ),
            "short",
            low=0,
        ),
        graph(
            "Tokens that wait",
            "Against what may wait; beyond it requests get 503.",
            (
                Query("sum (tenantry_queue_tokens)", "waiting"),
                Query("sum (tenantry_queue_tokens_max)", "objective: at most"),
            ),
            "short",
            styles=(OBJECTIVE,),
            low=0,
        ),
        graph(
            "Shadow and base work",
            "Texts a second beside the answers: for shadow versions, and for the bare"
            " backbone, by what came of them. Dropped: there was no room, and the log"
            " knows less.",
            (
                Query(
                    per_second("tenantry_shadow_texts_total", "outcome"),
                    "shadow {{outcome}}",
                ),
                Query(
                    per_second("tenantry_base_embeddings_total", "outcome"),
                    "base {{outcome}}",
                ),
            ),
            "cps",
            low=0,
        ),
    )


def _bank() -> Section:
    return Section(
        "Adapter bank",
        (
            line(
                7,
                graph(
                    "Slots",
                    "Slots of the bank, and those that hold an adapter; of the fullest replica."
                    " Full is normal; full with many evictions is too small.",
                    (
                        Query(largest("tenantry_bank_slots_used"), "used"),
                        Query(smallest("tenantry_bank_slots"), "slots"),
                    ),
                    "short",
                    styles=(Style("/^slots$/", palette.OBJECTIVE, dashed=True),),
                    low=0,
                ),
                graph(
                    "Loads and evictions",
                    "Adapters a second that were written into a slot, and that lost theirs. Many"
                    " of both: more adapters are asked for than there are slots; raise"
                    " TENANTRY_BANK_SLOTS.",
                    (
                        Query(per_second("tenantry_bank_loads_total"), "loads"),
                        Query(per_second("tenantry_bank_evictions_total"), "evictions"),
                    ),
                    "ops",
                    low=0,
                ),
                graph(
                    "Time of a load",
                    "To read an adapter and write its slot. Rising: the disk is slow, or the"
                    " host's cache is too small and each one is read anew.",
                    _spread("tenantry_bank_load_seconds"),
                    "s",
                    low=0,
                ),
                graph(
                    "Quarantine",
                    "Adapters that are out of service for outputs that are no numbers, and when"
                    " they were put there. Any: roll back.",
                    (
                        Query(largest("tenantry_quarantined_adapters"), "out of service"),
                        Query(
                            "sum (increase(tenantry_quarantines_total[$__rate_interval]))",
                            "put there",
                        ),
                    ),
                    "short",
                    low=0,
                ),
            ),
        ),
    )
