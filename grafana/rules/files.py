"""The two files of rules that Prometheus loads."""

from grafana.rules import budgets, burns, classes, inputs, labels, models, service, sidecar
from grafana.rules.rule import Group, rules_yaml
from grafana.slo import Slo

HEADER = "Made from slo.yaml by `python -m grafana.generate`; changes here are lost."
_INTERVAL = "30s"


def recording_yaml(slo: Slo) -> str:
    """Return the file of recording rules."""
    groups = [*budgets.groups(slo), classes.group(), inputs.group(slo), labels.group()]
    return rules_yaml(HEADER, groups)


def alerts_yaml(slo: Slo) -> str:
    """Return the file of alert rules."""
    by_group = {
        "tenantry-budget-alerts": burns.alerts(slo),
        "tenantry-service-alerts": service.alerts(slo),
        "tenantry-model-alerts": models.alerts(slo),
        "tenantry-sidecar-alerts": sidecar.alerts(slo),
    }
    groups = [Group(name, _INTERVAL, tuple(alerts)) for name, alerts in by_group.items()]
    groups.append(Group("tenantry-label-alerts", labels.INTERVAL, tuple(labels.alerts(slo))))
    return rules_yaml(HEADER, groups)
