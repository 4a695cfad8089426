"""What is compared with an objective, and the words and colours for the outcome.

Quality's objectives are those of the alerts: a version's own, as the sidecar tells it, and those of
its tenant's class in `slo.yaml`, so that a dashboard and an alert never disagree. Drift is told as
a multiple of its tolerance: 1 is its objective by definition.
"""

from grafana.dashboards import palette
from grafana.dashboards.expressions import VERSION, largest, live
from grafana.dashboards.panels import Steps, Words
from grafana.rules.classes import of_class, of_no_listed_class
from grafana.slo import STANDARD, Slo

DRIFT: Steps = ((None, palette.GOOD), (0.8, palette.WARNING), (1, palette.BAD))
MARGIN: Steps = ((None, palette.BAD), (0, palette.GOOD))  # below 0: beyond the objective, proven
ANY_IS_BAD: Steps = ((None, palette.GOOD), (1, palette.BAD))
ANY_IS_A_WARNING: Steps = ((None, palette.GOOD), (1, palette.WARNING))

ROLES: Words = (
    ("live", "live", palette.LIVE),
    ("canary", "canary", palette.CANARY),
    ("shadow", "shadow", palette.SHADOW),
)
SEVERITIES: Words = (
    ("critical", "critical", palette.BAD),
    ("warning", "warning", palette.WARNING),
    ("info", "info", palette.PLAIN),
)


def labelled(bound: str, where: str = "", at: str = "") -> str:
    """Return the accuracy by labels, or an end of its interval, of each version."""
    return _told("tenantry_accuracy_ratio", f'method="labels", bound="{bound}"', where, at)


def calibrated(bound: str, where: str = "", at: str = "") -> str:
    """Return the calibration error, or an end of its interval, of each version."""
    return _told("tenantry_calibration_error_ratio", f'bound="{bound}"', where, at)


def accuracy_objective(slo: Slo, where: str = "", at: str = "") -> str:
    """Return what each version's accuracy must be: the larger of its own and its class's."""
    own = _told("tenantry_accuracy_objective_ratio", "", where, at)
    zero = f"0 * {labelled('point', where, at)}"
    floors = [
        of_class(f"({zero} + {one.accuracy:.9g})", name)
        for name, one in sorted(slo.classes.items())
        if name != STANDARD and one.accuracy is not None
    ]
    if slo.standard.accuracy is not None:
        floors.append(of_no_listed_class(slo, f"({zero} + {slo.standard.accuracy:.9g})"))
    if not floors:
        return own
    floor = f"({' or '.join(f'({one})' for one in floors)})"
    return _on_one_line(f"({floor} > {own} or {own} or {floor})")


def calibration_objective(slo: Slo, where: str = "", at: str = "") -> str:
    """Return what each version's calibration error may be: what its tenant's class has."""
    zero = f"0 * {calibrated('lower', where, at)}"
    parts = [
        of_class(f"({zero} + {one.calibration_error:.9g})", name)
        for name, one in sorted(slo.classes.items())
        if name != STANDARD
    ]
    parts.append(of_no_listed_class(slo, f"({zero} + {slo.standard.calibration_error:.9g})"))
    return _on_one_line(f"({' or '.join(f'({part})' for part in parts)})")


def accuracy_margin(slo: Slo, at: str = "") -> str:
    """Return how far the upper end is above the objective, of what is live; below 0 is harm."""
    margin = f"({labelled('upper', at=at)} - {accuracy_objective(slo, at=at)})"
    return f"({margin} and on ({VERSION}) {live()})"


def calibration_margin(slo: Slo, at: str = "") -> str:
    """Return how far the lower end is below the objective, of what is live; below 0 is harm."""
    margin = f"({calibration_objective(slo, at=at)} - {calibrated('lower', at=at)})"
    return f"({margin} and on ({VERSION}) {live()})"


def unknown() -> str:
    """Return the live versions whose accuracy nobody can tell, for want of labels."""
    return f"({live()} unless on ({VERSION}) {labelled('point')})"


def number_of(expr: str, known: str) -> str:
    """Return how many series `expr` has: 0 where it has none but `known` has, else nothing."""
    return f"count({expr}) or 0 * count({known})"


def _told(name: str, which: str, where: str, at: str) -> str:
    return largest(name, VERSION, ", ".join(part for part in (where, which) if part), at)


def _on_one_line(expr: str) -> str:
    return " ".join(expr.split())
