"""Families of series: made in a registry, in order, and remembered for the reference page."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

from service.series.gauges import Reading

# What the client adds to a family's name where it exports its samples.
_SUFFIXES = {"counter": "_total", "info": "_info"}


class Families:
    """Makes families whose names begin with `tenantry_`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._declared: list[MetricWrapperBase | Reading] = []

    def counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        """Return a counter."""
        counter = Counter(f"tenantry_{name}", text, tuple(labels), registry=self.registry)
        self._declared.append(counter)
        return counter

    def gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        """Return a gauge."""
        gauge = Gauge(f"tenantry_{name}", text, tuple(labels), registry=self.registry)
        self._declared.append(gauge)
        return gauge

    def histogram(
        self, name: str, text: str, buckets: Iterable[float], labels: Iterable[str] = ()
    ) -> Histogram:
        """Return a histogram."""
        histogram = Histogram(
            f"tenantry_{name}", text, tuple(labels), buckets=tuple(buckets), registry=self.registry
        )
        self._declared.append(histogram)
        return histogram

    def info(self, name: str, text: str) -> Info:
        """Return an info."""
        info = Info(f"tenantry_{name}", text, registry=self.registry)
        self._declared.append(info)
        return info

    def reading(self, name: str, text: str) -> Reading:
        """Return a gauge that is absent until something sets its `read`."""
        reading = Reading(f"tenantry_{name}", text, lambda: None)
        self.registry.register(reading)
        self._declared.append(reading)
        return reading

    def declared(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """Return name as exported, type, labels and meaning of every family."""
        rows = []
        for metric in self._declared:
            [family] = metric.describe()
            suffix = _SUFFIXES.get(family.type, "")
            # The client has no other way.
            labels = () if isinstance(metric, Reading) else tuple(metric._labelnames)  # noqa: SLF001
            rows.append((family.name + suffix, family.type, labels, family.documentation))
        return rows
