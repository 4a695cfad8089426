"""Alerts about models: the sidecar's figures, and the objectives of classes.

A page needs proof: the whole interval lies beyond the objective, and the version answers users.
Drift is an early warning, and a ticket.
"""

from collections.abc import Iterator

from grafana.rules import inputs
from grafana.rules.classes import of_class, of_no_listed_class
from grafana.rules.rule import Alert
from grafana.rules.telling import DEBUG, FLEET, TENANT, VERSION, Message, Teller
from grafana.slo import STANDARD, Slo

_BY = "tenant, adapter, version"
_NAME = "{{ $labels.tenant }}.{{ $labels.adapter }} version {{ $labels.version }}"
_PERCENT = "{{ $value | humanizePercentage }}"
_TIME = "{{ $value | humanizeDuration }}"
# Those whose answers nobody gets any more, or never did.
_UNHEARD = 'last_over_time(tenantry_reference_info{standing=~"quarantined|retired|shadow"}[10m])'


def alerts(slo: Slo) -> Iterator[Alert]:
    """Yield them, those that page first."""
    teller = Teller(slo)
    yield _calibration(slo, teller)
    yield _accuracy(slo, teller)
    yield from _drift(teller)
    yield _inputs(slo, teller)
    yield from _told(slo, teller)


def _last(aggregate: str, selector: str) -> str:
    """Return a gauge's last value of ten minutes, without the instance."""
    return f"{aggregate} by ({_BY}) (last_over_time({selector}[10m]))"


def _of_answering(expr: str) -> str:
    return f"(\n{_indented(expr)}\n)\nunless on ({_BY}) {_UNHEARD}"


def _indented(expr: str) -> str:
    return "\n".join(f"  {line}" for line in expr.splitlines())


def _calibration(slo: Slo, teller: Teller) -> Alert:
    lower = _last("max", 'tenantry_calibration_error_ratio{bound="lower"}')
    listed = [
        of_class(f"{lower} > {one.calibration_error:.9g}", name)
        for name, one in sorted(slo.classes.items())
        if name != STANDARD
    ]
    rest = of_no_listed_class(slo, f"{lower} > {slo.standard.calibration_error:.9g}")
    return teller.alert(
        "TenantryCalibrationBeyondObjective",
        _of_answering("\nor\n".join([*listed, rest])),
        "critical",
        Message(
            f"{_NAME}: confidence is not the share that is right",
            f"The calibration error is at least {_PERCENT} (lower end of its 95 % interval), which"
            " is beyond the objective of the tenant's class.",
            about=VERSION,
            board=TENANT,
        ),
    )


def _accuracy(slo: Slo, teller: Teller) -> Alert:
    upper = _last("min", 'tenantry_accuracy_ratio{method="labels", bound="upper"}')
    objective = _last("max", "tenantry_accuracy_objective_ratio")
    parts = [f"{upper}\n< {objective}"]
    parts += [
        of_class(f"{upper} < {one.accuracy:.9g}", name)
        for name, one in sorted(slo.classes.items())
        if name != STANDARD and one.accuracy is not None
    ]
    if slo.standard.accuracy is not None:
        parts.append(of_no_listed_class(slo, f"{upper} < {slo.standard.accuracy:.9g}"))
    return teller.alert(
        "TenantryAccuracyBelowObjective",
        _of_answering("\nor\n".join(parts)),
        "critical",
        Message(
            f"{_NAME} is right less often than it must be",
            f"By labels at most {_PERCENT} of its answers are right (upper end of the 95 %"
            " interval), which is below its objective.",
            about=VERSION,
            board=TENANT,
        ),
    )


def _drift(teller: Teller) -> Iterator[Alert]:
    yield teller.alert(
        "TenantryDrift",
        f"{_last('max', 'tenantry_drift_alarm')} > 0",
        "warning",
        Message(
            f"{_NAME}: texts are not those it was judged on",
            "The sidecar's watch is in alarm. Nobody is hurt yet as far as labels tell.",
            about=VERSION,
            board=TENANT,
        ),
    )
    yield teller.alert(
        "TenantryFleetDrift",
        "max(last_over_time(tenantry_fleet_drift_alarm[10m])) > 0",
        "warning",
        Message(
            "Everyone moved: the backbone, or what is before it",
            "Most adapters see other texts than they were judged on, at the same time.",
            board=FLEET,
        ),
    )


def _inputs(slo: Slo, teller: Teller) -> Alert:
    name = "TenantryInputQuality"
    return teller.alert(
        name,
        f"{inputs.LOWER} > {slo.limit(name, 'bad')}\n"
        f"unless\n{inputs.ABOVE_USUAL} < {slo.limit(name, 'rise')}",
        "warning",
        Message(
            f"{_NAME}: broken inputs, {{{{ $labels.reason }}}}",
            f"At least {_PERCENT} of the last hour's inputs, and much more than the day before:"
            " something before the service broke.",
            about=VERSION,
            board=DEBUG,
        ),
    )


def _told(slo: Slo, teller: Teller) -> Iterator[Alert]:
    name = "TenantryRetrainRequested"
    at = f"max by ({_BY}, reason) (last_over_time(tenantry_retrain_trigger_timestamp_seconds[10m]))"
    yield teller.alert(
        name,
        f"time() - {at} < {slo.limit(name, 'told')}",
        "info",
        Message(
            f"{_NAME} is to be trained anew: {{{{ $labels.reason }}}}",
            f"The trigger was raised {_TIME} ago.",
            about=VERSION,
            board=TENANT,
        ),
    )
    name = "TenantryDataStale"
    yield teller.alert(
        name,
        f"{_last('min', 'tenantry_data_freshness_seconds')} > {slo.limit(name, 'age')}\n"
        f"unless on ({_BY}) {_UNHEARD}",
        "info",
        Message(
            f"{_NAME} has had no traffic",
            f"Its last prediction is {_TIME} old, and its figures with it.",
            about=VERSION,
            board=TENANT,
        ),
    )
