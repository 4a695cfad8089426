"""Alerts about error budgets: several windows, several speeds (Google's SRE workbook, chapter 5).

The long window counts with the lower end of its interval, so that it says something of tenants
with ten requests a day too; the short one as it is, so that an alert ends soon after its cause.
"""

from collections.abc import Iterator

from grafana.rules import budgets
from grafana.rules.rule import Alert
from grafana.rules.telling import TENANT, Message, Teller
from grafana.slo import Slo, Window

_HAPPENS = {"error": "too many requests fail", "latency": "too many answers are late"}
_MEANS = {
    "error": "Requests end in a 5xx",
    "latency": "Answers come after the latency objective",
}


def alerts(slo: Slo) -> Iterator[Alert]:
    """Yield them: the service's and then the tenants', each budget's windows from fast to slow."""
    teller = Teller(slo)
    for sli, name in (
        ("error", "TenantryErrorBudgetBurn"),
        ("latency", "TenantryLatencyBudgetBurn"),
    ):
        for window in slo.windows:
            message = Message(
                f"Over all tenants, {_HAPPENS[sli]}", _description(sli, "the objective", window)
            )
            expr = _expr(budgets.SERVICE, sli, window)
            yield teller.burn(name, expr, window, slo.service.owner, message)
    for sli, name in (
        ("error", "TenantryTenantErrorBudgetBurn"),
        ("latency", "TenantryTenantLatencyBudgetBurn"),
    ):
        for window in slo.windows:
            message = Message(
                f"{{{{ $labels.tenant }}}}: {_HAPPENS[sli]}",
                _description(sli, "the objective of class {{ $labels.class }}", window),
                ("tenant",),
                TENANT,
            )
            expr = _expr(budgets.TENANT, sli, window)
            yield teller.burn(name, expr, window, teller.owner_by_class(), message)


def _description(sli: str, objective: str, window: Window) -> str:
    return (
        f"{_MEANS[sli]}, {{{{ $value | humanize }}}} times as many as {objective} allows, over"
        f" {window.long}, and still over {window.short}."
    )


def _expr(level: str, sli: str, window: Window) -> str:
    lower = budgets.burn_lower(level, sli, window.long)
    short = budgets.burn(level, sli, window.short)
    return f"{lower} > {window.burn:g}\nand\n{short} > {window.burn:g}"
