"""Error budgets: what was counted in each window, and how fast budgets burn.

A burn rate is the share of bad requests over the share that the objective leaves for them: at 1
the budget of the period is used up at its end. Each is recorded twice where alerts look at it for
long: as it is, and by the lower end of its interval (`_lower`), which has no series while there
were too few bad requests to say anything.

Counts come first, from counters summed over replicas. Windows of a day and more are sums of the
shorter counts, since to read days of every replica's raw samples anew each minute would cost
more than all other rules together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from grafana.rules.classes import by_class
from grafana.rules.evidence import lower_bound
from grafana.rules.rule import Group, Recording
from grafana.slo import Slo, seconds

STEP = "5m"
LONG_STEP = "1h"
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S

SERVICE = "service"
TENANT = "tenant_class"
SLIS = ("error", "latency")

_ANSWERS = "tenantry_tenant_answers_total"


@dataclass(frozen=True, slots=True)
class Sli:
    """Which counts are bad ones, of which, in one window."""

    level: str  # labels of the counts
    name: str  # of the budget
    bad: str
    requests: str


def ratio(level: str, sli: str, window: str) -> str:
    """Return the name of a share of bad requests."""
    return f"{level}:tenantry_{sli}:ratio{window}"


def burn(level: str, sli: str, window: str) -> str:
    """Return the name of a burn rate."""
    return f"{level}:tenantry_{sli}_budget:burn{window}"


def burn_lower(level: str, sli: str, window: str) -> str:
    """Return the name of the lower end of a burn rate's interval."""
    return f"{level}:tenantry_{sli}_budget_lower:burn{window}"


def count(level: str, name: str, window: str) -> str:
    """Return the name of a count."""
    return f"{level}:tenantry_{name}:increase{window}"


def groups(slo: Slo) -> Iterator[Group]:
    """Yield the groups of recordings: short windows often, long ones seldom."""
    by_length: dict[bool, list[str]] = {False: [], True: []}
    for window in windows(slo):
        by_length[seconds(window) >= _DAY_S].append(window)
    for long, name, interval in ((False, "short", "30s"), (True, "long", "2m")):
        rules = [rule for window in by_length[long] for rule in _of_window(slo, window)]
        yield Group(f"tenantry-budgets-{name}", interval, tuple(rules))


def windows(slo: Slo) -> list[str]:
    """Return every window that is counted, shortest first; the steps and the period among them."""
    found = {STEP, LONG_STEP, slo.period}
    found |= {window.long for window in slo.windows} | {window.short for window in slo.windows}
    return sorted(found, key=seconds)


def _of_window(slo: Slo, window: str) -> Iterator[Recording]:
    yield from _tenant_counts(window)
    yield from _service_counts(window)
    bounded = window in {one.long for one in slo.windows}
    for sli in _slis(window):
        yield from _burns(slo, sli, window, bounded=bounded)


def _tenant_counts(window: str) -> Iterator[Recording]:
    answers = _answers(window)
    yield answers
    for name, outcome in (
        ("answers", '=~"ok|slow"'),
        ("answers_slow", '="slow"'),
        ("answers_wanted", '=~"failed|ok|slow"'),
        ("answers_failed", '="failed"'),
    ):
        selector = f"{answers.record}{{outcome{outcome}}}"
        yield Recording(count(TENANT, name, window), f"sum by (tenant, class) ({selector})")


def _answers(window: str) -> Recording:
    """Return every tenant's count: of raw counters, or of what a shorter window recorded."""
    level, name = f"{TENANT}_outcome", "tenant_answers"
    recorded = count(level, name, window)
    if seconds(window) < _DAY_S:
        counted = f"sum by (tenant, class, outcome) (increase({_ANSWERS}[{window}]))"
        return Recording(recorded, counted)
    step = STEP if seconds(window) < _WEEK_S else LONG_STEP
    return Recording(recorded, f"sum_over_time({count(level, name, step)}[{window}:{step}])")


def _service_counts(window: str) -> Iterator[Recording]:
    """Yield the sums over tenants: a failure that is no tenant's budget is not the service's."""
    for name, of in (
        ("requests", "answers_wanted"),
        ("requests_failed", "answers_failed"),
        ("answers", "answers"),
        ("answers_slow", "answers_slow"),
    ):
        yield Recording(count(SERVICE, name, window), f"sum ({count(TENANT, of, window)})")


def _slis(window: str) -> Iterator[Sli]:
    for level, bad, requests in (
        (SERVICE, "requests_failed", "requests"),
        (TENANT, "answers_failed", "answers_wanted"),
    ):
        yield Sli(level, "error", count(level, bad, window), count(level, requests, window))
    for level in (SERVICE, TENANT):
        slow, answers = count(level, "answers_slow", window), count(level, "answers", window)
        yield Sli(level, "latency", slow, answers)


def _burns(slo: Slo, sli: Sli, window: str, *, bounded: bool) -> Iterator[Recording]:
    share = ratio(sli.level, sli.name, window)
    yield Recording(share, f"{sli.bad} / {sli.requests}")
    yield Recording(burn(sli.level, sli.name, window), _over_budget(slo, sli, share))
    if bounded:
        lower = ratio(sli.level, f"{sli.name}_lower", window)
        yield Recording(lower, lower_bound(sli.bad, sli.requests, slo.evidence))
        yield Recording(burn_lower(sli.level, sli.name, window), _over_budget(slo, sli, lower))


def _over_budget(slo: Slo, sli: Sli, share: str) -> str:
    """Return a share over what its objective leaves; a tenant's objective is its class's."""
    objective = {"error": "availability", "latency": "latency"}[sli.name]
    if sli.level == SERVICE:
        return f"{share} / {_left(getattr(slo.service, objective))}"
    return "\nor\n".join(
        f"{share}{{{where}}} / {_left(getattr(promised, objective))}"
        for where, promised in by_class(slo)
    )


def _left(objective: float) -> str:
    return f"{1 - objective:.9g}"
