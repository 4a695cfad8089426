"""Both `/metrics` pages, as `promtool check metrics` reads them: every series that there can be.

A page of a quiet process shows little, so each declared series is written here with one value for
each of its labels. What two busy processes really show is read in
`tests/integration/test_prometheus.py`.
"""

from collections.abc import Iterable

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from monitoring.web.declared import DECLARED
from service.metrics import Metrics
from tests.needs import needs_program
from tests.oncall.complaints import complaints_of

PROMTOOL = needs_program("promtool")
Row = tuple[str, str, tuple[str, ...], str]  # name as exported, type, labels, meaning


def service_rows() -> list[Row]:
    return Metrics(CollectorRegistry()).declared()


def sidecar_rows() -> list[Row]:
    return [(one.name, one.kind, one.labels, one.text) for one in DECLARED]


def page_of(rows: Iterable[Row]) -> str:
    """Return a page on which each of the series has a sample, beside those of any process."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    for name, kind, labels, text in rows:
        values = dict.fromkeys(labels, "x")
        match kind:
            case "counter":
                counter = Counter(name, text, labels, registry=registry)
                (counter.labels(**values) if values else counter).inc()
            case "gauge":
                gauge = Gauge(name, text, labels, registry=registry)
                (gauge.labels(**values) if values else gauge).set(1)
            case "histogram":
                histogram = Histogram(name, text, labels, registry=registry)
                (histogram.labels(**values) if values else histogram).observe(1)
            case "info":
                Info(name.removesuffix("_info"), text, registry=registry).info(values)
            case _:
                raise NotImplementedError(kind)
    return generate_latest(registry).decode()


@pytest.mark.parametrize("rows", [service_rows(), sidecar_rows()], ids=["service", "sidecar"])
def test_promtool_finds_no_fault_with_any_series(rows: list[Row]) -> None:
    page = page_of(rows)
    assert all(f"# TYPE {name} " in page for name, *_ in rows)
    assert complaints_of(page, PROMTOOL) == []


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("tenantry_odd_ratio", "gauge", ("quantile",), "Odd."), '"quantile" label'),
        (("tenantry_odd_ratio", "gauge", (), ""), "no help text"),
        (("tenantry_odd_total", "gauge", (), "Odd."), '"_total" suffix'),
        (("tenantry_odd_milliseconds", "gauge", (), "Odd."), "base unit"),
    ],
)
def test_a_fault_is_told(row: Row, says: str) -> None:
    [complaint] = complaints_of(page_of([row]), PROMTOOL)
    assert says in complaint


def test_a_page_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ValueError, match="parsing error"):
        complaints_of("tenantry_odd_ratio{\n", PROMTOOL)
