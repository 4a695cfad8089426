"""Which alerts are silent because another one says it already.

An inhibition holds where the labels in `equal` are the same on both sides; one that neither side
has counts as the same. `cluster` is not ours: it is there for those who run several, with
`external_labels` in Prometheus.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from grafana.slo import STANDARD, Slo

BUDGETS = (
    "TenantryErrorBudgetBurn",
    "TenantryLatencyBudgetBurn",
    "TenantryTenantErrorBudgetBurn",
    "TenantryTenantLatencyBudgetBurn",
)
# What the service's series would go on saying for some minutes after it died, or what follows from
# its death. Not the disk: that may be why it died.
OF_A_DEAD_SERVICE = (
    *BUDGETS,
    "TenantryBankThrashing",
    "TenantryCanaryWorse",
    "TenantryDataStale",
    "TenantryEventLogFailing",
    "TenantryEventLogSlow",
    "TenantryEventsDropped",
    "TenantryMixedBundles",
    "TenantryQueueSaturated",
    "TenantryRegistryUnreachable",
    "TenantryTenantLimited",
)
_VERSION = ("tenant", "adapter", "version")


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` fires, `targets` are silent where the labels in `equal` are the same."""

    source: str
    targets: tuple[str, ...]
    equal: tuple[str, ...] = ()
    severity: str = ""  # of the source, where it has several
    classes_told: tuple[str, ...] = ()  # of tenants, whose alerts are told all the same

    def document(self) -> dict[str, object]:
        """Return it as Alertmanager reads it."""
        source = [f'alertname="{self.source}"']
        if self.severity:
            source.append(f'severity="{self.severity}"')
        targets = [f'alertname=~"{"|".join(sorted(self.targets))}"']
        if self.classes_told:
            targets.append(f'class!~"{"|".join(self.classes_told)}"')
        return {
            "source_matchers": source,
            "target_matchers": targets,
            "equal": sorted({"cluster", *self.equal}),
        }


_ALWAYS = (
    Inhibition("TenantryServiceDown", OF_A_DEAD_SERVICE, severity="critical"),
    Inhibition("TenantryEventLogFailing", ("TenantryEventLogSlow", "TenantryEventsDropped")),
    Inhibition("TenantryFleetDrift", ("TenantryDrift",)),
    # Whoever is wrong more often is wrong about how sure it is: one page for one version.
    Inhibition("TenantryAccuracyBelowObjective", ("TenantryCalibrationBeyondObjective",), _VERSION),
    Inhibition("TenantryMonitorDown", ("TenantryLogLag", "TenantryMonitorStale")),
    Inhibition("TenantryMonitorStale", ("TenantryLogLag",)),
)


def inhibitions(slo: Slo) -> tuple[Inhibition, ...]:
    """Return every one between two alerts."""
    return (*_ALWAYS, *_everyone(slo))


def _everyone(slo: Slo) -> Iterator[Inhibition]:
    """Yield those of tenants' burns by the service's: one page, and not one a tenant.

    Only for whoever has been told of the service's, and not of classes that are promised more:
    their budgets go faster, and a page about everyone does not say so.
    """
    for source, target, objective in (
        ("TenantryErrorBudgetBurn", "TenantryTenantErrorBudgetBurn", "availability"),
        ("TenantryLatencyBudgetBurn", "TenantryTenantLatencyBudgetBurn", "latency"),
    ):
        promised = getattr(slo.service, objective)
        stricter = [
            name for name, one in sorted(slo.classes.items()) if getattr(one, objective) > promised
        ]
        if STANDARD not in stricter:  # else classes that are not listed are stricter, too
            yield Inhibition(source, (target,), ("owner",), "critical", tuple(stricter))


def documents(slo: Slo) -> list[dict[str, object]]:
    """Return every inhibition as Alertmanager reads it."""
    same_alert: dict[str, object] = {
        "source_matchers": ['alertname=~"Tenantry.+"', 'severity="critical"'],
        "target_matchers": ['alertname=~"Tenantry.+"', 'severity="warning"'],
        "equal": ["alertname", "cluster", "tenant"],
    }
    return [same_alert, *(inhibition.document() for inhibition in inhibitions(slo))]
