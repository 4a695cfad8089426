"""The share of inputs with something wrong, of the last hour and by its interval."""

from grafana.rules.evidence import lower_bound
from grafana.rules.rule import Group, Recording
from grafana.slo import Slo

LEVEL = "tenant_adapter_version_reason"
_ADAPTER = "tenant_adapter_reason"
_BY = "tenant, adapter, version"
_BAD = f"{LEVEL}:tenantry_input_bad:increase1h"
_OF = f"{LEVEL}:tenantry_inputs:increase1h"
SHARE = f"{LEVEL}:tenantry_input_bad:ratio1h"
LOWER = f"{LEVEL}:tenantry_input_bad_lower:ratio1h"
_OF_ADAPTER = f"{_ADAPTER}:tenantry_input_bad:ratio1h"
# The day before, whichever version was asked: a new one is sent what the old one was.
USUAL = f"avg_over_time({_OF_ADAPTER}[1d] offset 1h)"
ABOVE_USUAL = f"{SHARE} - on (tenant, adapter, reason) group_left () {USUAL}"


def group(slo: Slo) -> Group:
    """Return the group that records them."""
    bad = f"sum by ({_BY}, reason) (increase(tenantry_input_bad_total[1h]))"
    predictions = f"sum by ({_BY}) (increase(tenantry_predictions_total[1h]))"
    # An image that cannot be decoded has no prediction, so it is an input beside them.
    undecodable = f'sum by ({_BY}) (increase(tenantry_input_bad_total{{reason="undecodable"}}[1h]))'
    return Group(
        "tenantry-inputs",
        "1m",
        (
            Recording(_BAD, bad),
            Recording(
                _OF,
                f"0 * {_BAD}\n+ on ({_BY}) group_left ()\n({predictions}\n+ {undecodable})",
            ),
            Recording(SHARE, f"{_BAD} / ({_OF} > 0)"),
            Recording(
                _OF_ADAPTER,
                f"sum by (tenant, adapter, reason) ({_BAD})\n"
                f"/ (sum by (tenant, adapter, reason) ({_OF}) > 0)",
            ),
            Recording(LOWER, lower_bound(_BAD, f"({_OF} > 0)", slo.evidence)),
        ),
    )
