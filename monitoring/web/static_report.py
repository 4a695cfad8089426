"""The report as one HTML file: the page with its figures in it, to be opened from anywhere."""

from collections.abc import Iterable
from itertools import islice

from msgspec.structs import replace

from monitoring.report import AdapterReport, FleetReport
from monitoring.web.page import static_page

ADAPTERS_MAX = 50
LINES_MAX = 2000


def worst(fleet: FleetReport, adapters_max: int = ADAPTERS_MAX) -> list[tuple[str, str]]:
    """Return tenant and adapter of those that a report tells of in full, worst first."""
    return [(line.tenant, line.adapter) for line in fleet.adapters[:adapters_max]]


def render(
    fleet: FleetReport,
    adapters: Iterable[AdapterReport],
    *,
    adapters_max: int = ADAPTERS_MAX,
    lines_max: int = LINES_MAX,
) -> str:
    """Return an HTML file with the fleet's table and some adapters in full.

    Both are bounded; the page says how many are left out of either.
    """
    full = list(islice(adapters, adapters_max))
    data = {
        "fleet": replace(fleet, adapters=fleet.adapters[:lines_max]),
        "adapters": full,
        "left_out": {
            "lines": max(0, len(fleet.adapters) - lines_max),
            "adapters": max(0, len(fleet.adapters) - len(full)),
        },
    }
    return static_page(data)
