"""What metrics tell of trials: series while a canary runs, for tenants that have series at all."""

from collections.abc import Iterable

from service.metrics import Metrics
from service.trials.comparison import Comparison
from service.trials.differences import Difference

Samples = dict[tuple[str, ...], float]


def show(metrics: Metrics, comparisons: Iterable[Comparison]) -> None:
    """Export what is known of the trials that run, and nothing of others."""
    rows: Samples = {}
    ratios: Samples = {}
    latency: Samples = {}
    evidence: Samples = {}
    info: Samples = {}
    for one in comparisons:
        arms = one.arms
        if not metrics.admits(arms.tenant):
            continue
        of = (arms.tenant, arms.adapter, str(arms.canary))
        for name, arm in (("canary", one.canary), ("live", one.live)):
            rows[*of, name, "answered"] = arm.rows
            rows[*of, name, "failed"] = arm.failed
            rows[*of, name, "labelled"] = arm.labelled
        _bounds(ratios, (*of, "accuracy"), one.accuracy)
        _bounds(ratios, (*of, "failures"), one.failures)
        _bounds(latency, of, one.latency)
        for measure, value in one.evidence.items():
            evidence[*of, measure] = value
        info[*of, str(arms.live), f"{one.percent:g}", one.verdict] = 1.0
    metrics.canary_rows.show(rows)
    metrics.canary_difference.show(ratios)
    metrics.canary_latency.show(latency)
    metrics.canary_evidence.show(evidence)
    metrics.canary_info.show(info)


def _bounds(samples: Samples, of: tuple[str, ...], difference: Difference | None) -> None:
    if difference is None:
        return
    for bound in ("point", "lower", "upper"):
        samples[*of, bound] = getattr(difference.interval, bound)
