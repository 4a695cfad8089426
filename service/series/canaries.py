"""Series of canaries' trials, and of rollouts that were changed for what they showed."""

from typing import Literal, get_args

from service.series.families import Families
from service.series.gauges import Standing

RollbackReason = Literal["accuracy", "failures", "latency", "quarantine"]


class CanarySeries:
    """What is known of the canaries that run, and automatic rollbacks."""

    def __init__(self, families: Families) -> None:
        version = ("tenant", "adapter", "version")

        def standing(name: str, text: str, labels: tuple[str, ...]) -> Standing:
            return Standing(families.gauge(f"canary_{name}", text, (*version, *labels)))

        self.canary_rows = standing(
            "rows",
            "Rows of a canary's trial, by version; `failed`: requests that ended in a 5xx.",
            ("arm", "kind"),
        )
        self.canary_difference = standing(
            "difference_ratio",
            "Canary less live: accuracy, or the share of requests that failed; 95 %, at all times.",
            ("measure", "bound"),
        )
        self.canary_latency = standing(
            "latency_difference_seconds",
            "Canary less live: the 95th percentile of a request's seconds; 95 %, of one look.",
            ("bound",),
        )
        self.canary_evidence = standing(
            "evidence_log10",
            "That the canary is worse; proof at -log10(TENANTRY_ROLLBACK_ALPHA).",
            ("measure",),
        )
        self.canary_info = standing(
            "info", "1, and what is known of a canary's trial.", ("live", "percent", "verdict")
        )
        self._rollbacks = families.counter(
            "automatic_rollbacks",
            "Rollouts that the controller of this process changed, by why.",
            ("reason",),
        )
        for reason in get_args(RollbackReason):
            self._rollbacks.labels(reason)

    def rolled_back(self, reason: RollbackReason) -> None:
        """Count a rollout that was changed without a person."""
        self._rollbacks.labels(reason).inc()
