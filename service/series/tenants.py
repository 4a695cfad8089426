"""Series by tenant: admitted up to a bound, and counted under `_other` beyond it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from prometheus_client import Counter

from service.series.families import Families
from service.series.objectives import Objectives

AnswerOutcome = Literal["ok", "slow", "failed"]

OTHER_TENANTS = "_other"
CLASSES_MAX = 64  # with series of their own; tenants of later ones are counted under `_other`
OTHER_CLASSES = "_other"


@dataclass(frozen=True, slots=True)
class OneTenant:
    """The series of one tenant, resolved once."""

    texts: Counter
    tokens: Counter
    seconds: Counter
    limited: Counter
    undecodable: Counter
    # by class, and then by outcome
    answers: dict[str, dict[AnswerOutcome, Counter]] = field(default_factory=dict)


class TenantSeries:
    """Answers, texts, tokens, time and refusals of each tenant."""

    def __init__(
        self,
        families: Families,
        series_max: int,
        objectives: Objectives,
        *,
        texts: Counter,
        dropped: Counter,
    ) -> None:
        self._series_max = series_max
        self._objectives = objectives
        self._texts = texts
        self._dropped = dropped
        self._classes: set[str] = set()
        self._tenants: dict[str, OneTenant] = {}
        self._answers = families.counter(
            "tenant_answers",
            "Requests for a tenant's adapter: `ok` answered within the latency objective of its"
            " class, `slow` answered later, `failed` ended in 5xx. Not counted: 4xx, clients that"
            " left, and 504 where the caller's own limit was shorter than the objective.",
            ("tenant", "class", "outcome"),
        )
        self._objective = families.gauge(
            "latency_objective_seconds",
            "Within which an answer is `ok`, by the class of its tenant.",
            ("class",),
        )
        self._tokens = families.counter("tokens", "Tokens of the answered texts.", ("tenant",))
        self._compute_seconds = families.counter(
            "compute_seconds", "A tenant's part of the forward passes' time.", ("tenant",)
        )
        self._limited = families.counter(
            "limited", "Requests refused for a limit of the tenant's own (429).", ("tenant",)
        )
        self._undecodable = families.counter(
            "images_undecodable",
            "Requests refused for an image that could not be decoded, by tenant.",
            ("tenant",),
        )
        self._other = self._series_of(OTHER_TENANTS)

    def declare_classes(self, kinds: Iterable[str]) -> None:
        """Export the objectives of these classes from now on."""
        for kind in kinds:
            self._class_of(kind)

    def tenant_answered(self, tenant: str, kind: str, seconds: float, *, failed: bool) -> None:
        """Count one request for an adapter of a tenant, whose class is `kind`, once it is over.

        `seconds` is the time from its head to its answer. A tenant whose class changed goes on
        under the new one.
        """
        series = self._of_tenant(tenant, dropped=failed)  # other answers were told of already
        counters = self._answers_of(series, tenant, kind)
        if failed:
            counters["failed"].inc()
        else:
            counters["ok" if seconds <= self._objectives.of(kind) else "slow"].inc()

    def tenants_stand(self, kinds: Mapping[str, str]) -> None:
        """Start the counters of answers at zero for tenants, by their classes.

        So a rate over them is right from a tenant's first request. Where there are more tenants
        than series of their own, they go to those who ask first.
        """
        if len(kinds) <= self._series_max:
            for tenant, kind in kinds.items():
                self._answers_of(self._of_tenant(tenant, dropped=False), tenant, kind)

    def _answers_of(
        self, series: OneTenant, tenant: str, kind: str
    ) -> dict[AnswerOutcome, Counter]:
        label = self._class_of(kind)
        counters = series.answers.get(label)
        if counters is None:
            name = OTHER_TENANTS if series is self._other else tenant
            counters = {o: self._answers.labels(name, label, o) for o in get_args(AnswerOutcome)}
            series.answers[label] = counters
        return counters

    def _class_of(self, kind: str) -> str:
        """Return the label of a class, whose objective is exported from then on."""
        if kind not in self._classes:
            configured = kind in self._objectives.by_class
            if not configured and len(self._classes) >= CLASSES_MAX:
                kind = OTHER_CLASSES
            self._classes.add(kind)
            self._objective.labels(kind).set(self._objectives.of(kind))
        return kind

    def limited(self, tenant: str) -> None:
        """Count a request that was refused for a limit of its tenant."""
        self._of_tenant(tenant).limited.inc()

    def undecodable(self, tenant: str) -> None:
        """Count a request that was refused for an image that could not be decoded."""
        self._of_tenant(tenant).undecodable.inc()

    def _of_tenant(self, tenant: str, *, dropped: bool = True) -> OneTenant:
        series = self._tenants.get(tenant)
        if series is not None:
            return series
        if len(self._tenants) < self._series_max:
            series = self._tenants[tenant] = self._series_of(tenant)
            return series
        if dropped:
            self._dropped.inc()
        return self._other

    def _series_of(self, tenant: str) -> OneTenant:
        return OneTenant(
            self._texts.labels(tenant),
            self._tokens.labels(tenant),
            self._compute_seconds.labels(tenant),
            self._limited.labels(tenant),
            self._undecodable.labels(tenant),
        )

    def admits(self, tenant: str) -> bool:
        """Return whether a tenant has series of its own; it has them from then on."""
        return self._of_tenant(tenant, dropped=False) is not self._other
