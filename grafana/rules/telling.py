"""What every alert carries: severity and owner to route it by, and links to go on with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grafana.rules.rule import Alert
from grafana.slo import Slo, Window

Severity = Literal["critical", "warning", "info", "none"]

VERSION = ("tenant", "adapter", "version")
FLEET = "tenantry-fleet"
ON_CALL = "tenantry-on-call"
TENANT = "tenantry-tenant"
DEBUG = "tenantry-debug"


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody reads: a line, a sentence or two, and where to look first."""

    summary: str
    description: str
    about: tuple[str, ...] = ()  # the labels that say what it is about
    board: str = ON_CALL


class Teller:
    """Makes alerts as `slo.yaml` has them told."""

    def __init__(self, slo: Slo) -> None:
        self._slo = slo

    def alert(
        self,
        name: str,
        expr: str,
        severity: Severity,
        message: Message,
        *,
        held: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Alert:
        """Return an alert with its owner, how long it must hold, and its links.

        `held` goes before what the file has; `more` are labels that tell rules of one name apart.
        """
        settings = self._slo.alert(name)
        labels = {
            "severity": severity,
            "owner": self._owner(settings.owner, message.about),
            **(more or {}),
        }
        return Alert(name, expr, held or settings.held, labels, self._annotations(name, message))

    def burn(self, name: str, expr: str, window: Window, owner: str, message: Message) -> Alert:
        """Return an alert about an error budget in one window."""
        labels = {"severity": window.severity, "owner": owner, "window": window.long}
        return Alert(name, expr, window.held, labels, self._annotations(name, message))

    def _owner(self, owner: str, about: tuple[str, ...]) -> str:
        """Return who is told, or a template that says it for tenants who have somebody else."""
        others: dict[str, list[str]] = {}
        if "tenant" in about:
            for tenant, told in sorted(self._slo.tenants.items()):
                if told.owner != owner:
                    others.setdefault(told.owner, []).append(tenant)
        return _chosen("tenant", others, owner)

    def owner_by_class(self) -> str:
        """Return who is told of a tenant's answers: the tenant's own owner, or its class's."""
        of_classes: dict[str, list[str]] = {}
        standard = self._slo.standard.owner
        for name, one in sorted(self._slo.classes.items()):
            if one.owner != standard:
                of_classes.setdefault(one.owner, []).append(name)
        of_tenants: dict[str, list[str]] = {}
        for tenant, told in sorted(self._slo.tenants.items()):
            of_tenants.setdefault(told.owner, []).append(tenant)
        return _chosen("tenant", of_tenants, _chosen("class", of_classes, standard))

    def _annotations(self, name: str, message: Message) -> dict[str, str]:
        urls = self._slo.urls
        asked = "&".join(f"var-{label}={{{{ $labels.{label} }}}}" for label in message.about)
        query = f"?{asked}" if asked else ""
        return {
            "summary": message.summary,
            "description": message.description,
            "runbook_url": f"{urls.runbooks}/{name}.md",
            "dashboard_url": f"{urls.dashboards}/{message.board}{query}",
        }


def _chosen(label: str, by_value: Mapping[str, list[str]], otherwise: str) -> str:
    """Return a template of Prometheus that chooses by a label, or just what it is otherwise."""
    if not by_value:
        return otherwise
    cases = []
    for chosen, values in sorted(by_value.items()):
        quoted = " ".join(f'"{value}"' for value in values)
        cases.append(f"if eq $labels.{label} {quoted} }}}}{chosen}")
    return "{{ " + "{{ else ".join(cases) + "{{ else }}" + otherwise + "{{ end }}"
