"""Gauges that are not always there: absent where nobody knows, or no longer shown."""

from collections.abc import Callable, Mapping

from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Reading(Collector):
    """A gauge that is read at each scrape, and absent where nobody knows what it would say."""

    def __init__(self, name: str, text: str, read: Callable[[], float | None]) -> None:
        self._name = name
        self._text = text
        self.read = read

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the gauge without a value."""
        return [GaugeMetricFamily(self._name, self._text)]

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the gauge, without a sample where there is no value."""
        return [GaugeMetricFamily(self._name, self._text, self.read())]


class Standing:
    """A gauge whose series come and go: what is not shown any more is not exported any more."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Export these values, by their labels, and no others."""
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - values.keys():
            self._gauge.remove(*labels)
        self._shown = set(values)
