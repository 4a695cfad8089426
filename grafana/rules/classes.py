"""Which class a tenant is of, where a rule depends on it.

A class is free text of the registry: one that `slo.yaml` does not list is promised what
`standard` is. The service tells a tenant's class with its answers, and goes on telling of the old
one until it is restarted when the class changed; the sidecar does not tell it at all. So the
class is that of most answers lately, one for each tenant.
"""

from collections.abc import Iterator

from grafana.rules.rule import Group, Recording
from grafana.slo import STANDARD, ClassObjective, Slo

CURRENT = "tenant:tenantry_class:current"
_LATELY = "6h"


def by_class(slo: Slo) -> Iterator[tuple[str, ClassObjective]]:
    """Yield a matcher of the label `class` with what it is promised: all classes, each once."""
    listed = sorted(slo.classes.keys() - {STANDARD})
    for name in listed:
        yield f'class="{name}"', slo.classes[name]
    matcher = f'class!~"{"|".join(listed)}"' if listed else 'class=~".*"'
    yield matcher, slo.standard


def of_class(expr: str, name: str) -> str:
    """Return the series of `expr` whose tenant is of a listed class."""
    return f'{expr}\nand on (tenant) {CURRENT}{{class="{name}"}}'


def of_no_listed_class(slo: Slo, expr: str) -> str:
    """Return the series of `expr` whose tenant is of no listed class, as far as is told."""
    listed = sorted(slo.classes.keys() - {STANDARD})
    if not listed:
        return expr
    return f'{expr}\nunless on (tenant) {CURRENT}{{class=~"{"|".join(listed)}"}}'


def group() -> Group:
    """Return the group that records each tenant's class."""
    counted = f"sum by (tenant, class) (increase(tenantry_tenant_answers_total[{_LATELY}]))"
    return Group(
        "tenantry-classes",
        "1m",
        (Recording(CURRENT, f"topk by (tenant) (1, {counted}) >= bool 0"),),
    )
