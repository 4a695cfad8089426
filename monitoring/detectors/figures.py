"""Figures of the report, from estimates."""

from monitoring.report import Figure
from service.measures import Estimate


def figure(estimate: Estimate, count: int) -> Figure:
    """Return an estimate that rests on so many rows or labels; one without a value says so."""
    if not estimate.is_defined:
        return unknown("not defined", count)
    return Figure(
        value=float(estimate.value),
        lower=float(estimate.lower),
        upper=float(estimate.upper),
        count=count,
    )


def unknown(reason: str, count: int = 0) -> Figure:
    """Return the figure that is not known, and why."""
    return Figure(count=count, unknown=reason)
