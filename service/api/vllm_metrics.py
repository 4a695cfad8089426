"""Gauges by vLLM's names, for gateways that route by them.

Kubernetes' Gateway API Inference Extension sends a request to the replica that has its adapter
loaded and the fewest requests waiting. It reads that from four gauges (its model server protocol:
https://gateway-api-inference-extension.sigs.k8s.io), which are made anew at each scrape, so that
there is one sample of each and none grows old. They name tenants, so they are off unless asked for.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.registry.routes import Routes
from service.series.batcher import Load

# Of adapters in one label: some 8 KiB of text at most, where a scrape has to carry it.
NAMES_MAX = 64


class Occupancy(Protocol):
    """What a batcher tells of its work; adapters by their digests. Safe from any thread."""

    def status(self) -> Load:
        """Return how busy it is."""
        ...

    def loaded(self, most: int) -> Sequence[str]:
        """Return adapters in slots: those of the pass that runs, then the last used ones first."""
        ...

    def awaited(self, most: int) -> Sequence[str]:
        """Return adapters that texts wait for, those that waited longest first."""
        ...


# Says under which names a digest can be asked for: several where the same content was uploaded
# twice, none where nothing of it is rolled out any more.
Names = Callable[[str], Iterable[str]]


class LiveNames:
    """Finds the names by which a digest answers, live or as a canary.

    The names are gathered anew when the routes have changed, and not at every scrape.
    """

    def __init__(self, routes: Callable[[], Routes]) -> None:
        self._routes = routes
        self._gathered: tuple[Routes | None, dict[str, list[str]]] = (None, {})

    def __call__(self, digest: str) -> Iterable[str]:
        """Return the names of the models that the digest answers for."""
        routes = self._routes()
        known, names = self._gathered
        if known is not routes:
            names = _gather(routes)
            self._gathered = (routes, names)  # in one step: other scrapes read beside this one
        return names.get(digest, ())


def _gather(routes: Routes) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for tenant, own in routes.tenants.items():
        for adapter, its in own.adapters.items():
            answering = {route.digest for route in (its.live, its.canary) if route is not None}
            for digest in answering:
                names.setdefault(digest, []).append(f"{tenant}.{adapter}")
    return names


class VllmMetrics(Collector):
    """The gauges; register it where `vllm_metrics` is on."""

    def __init__(
        self,
        occupancy: Occupancy,
        names: Names,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Both are asked at each scrape: they must be quick, and safe from any thread."""
        self._occupancy = occupancy
        self._names = names
        self._clock = clock

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Tell the registry what comes, so that it need not ask a batcher that has not started."""
        return [self._adapters(), *self._loads()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges as they are now."""
        load = self._occupancy.status()
        adapters = self._adapters()
        adapters.add_metric(
            [
                str(load.slots),
                self._listed(self._occupancy.loaded(NAMES_MAX)),
                self._listed(self._occupancy.awaited(NAMES_MAX)),
            ],
            self._clock(),
        )
        values = (
            load.queue_texts,
            load.running_texts,
            load.slots_used / load.slots if load.slots else 0.0,  # none before it has started
        )
        loads = self._loads()
        for family, value in zip(loads, values, strict=True):
            family.add_metric([], value)
        return [adapters, *loads]

    def _listed(self, digests: Iterable[str]) -> str:
        """Return the names of adapters as a label has them: at most `NAMES_MAX`, each once."""
        named: dict[str, None] = {}
        for digest in digests:
            for name in self._names(digest):
                if len(named) == NAMES_MAX:
                    return ",".join(named)
                named[name] = None
        return ",".join(named)

    @staticmethod
    def _adapters() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Adapters that are loaded and that are waited for; the value is the time.",
            labels=("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
        )

    @staticmethod
    def _loads() -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily(name, text, labels=())
            for name, text in (
                ("vllm:num_requests_waiting", "Texts that wait for a forward pass."),
                ("vllm:num_requests_running", "Texts in the pass that runs now."),
                ("vllm:kv_cache_usage_perc", "Share of the slots that hold an adapter, 0 to 1."),
            )
        ]
