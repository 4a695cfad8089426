"""Objectives by class: where one is promised less than `standard`, or there is none beside it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.rules.files import alerts_yaml, recording_yaml
from grafana.slo import SLO, parse
from tests.needs import needs_program

CASE = """
rule_files: [recording.yaml, alerts.yaml]
evaluation_interval: 5m
group_eval_order: [tenantry-classes, tenantry-model-alerts]
tests:
  - interval: 1m
    input_series:
      - series: tenantry_tenant_answers_total{{tenant="acme", class="{kind}", outcome="ok"}}
        values: 0+50x60
      - series: >-
          tenantry_calibration_error_ratio{{tenant="acme", adapter="a", version="1", bound="lower"}}
        values: {lower}x60
      - series: >-
          tenantry_accuracy_ratio{{tenant="acme", adapter="a", version="1", method="labels",
          bound="upper"}}
        values: {upper}x60
    promql_expr_test:
      - eval_time: 50m
        expr: count by (alertname) (ALERTS{{alertstate="firing", tenant="acme"}})
        exp_samples: []
"""
CALIBRATION = "TenantryCalibrationBeyondObjective"
ACCURACY = "TenantryAccuracyBelowObjective"


def fires(folder: Path, classes: dict[str, Any], kind: str, lower: float, upper: float) -> str:
    """Return what promtool says, were nothing to fire."""
    document = yaml.safe_load(SLO.read_text(encoding="utf-8"))
    standard = document["classes"]["standard"]
    document["classes"] = {name: standard | change for name, change in classes.items()}
    slo = parse(yaml.safe_dump(document))
    (folder / "alerts.yaml").write_text(alerts_yaml(slo), encoding="utf-8")
    (folder / "recording.yaml").write_text(recording_yaml(slo), encoding="utf-8")
    case = CASE.format(kind=kind, lower=lower, upper=upper)
    (folder / "case.yaml").write_text(case, encoding="utf-8")
    done = subprocess.run(
        [str(needs_program("promtool")), "test", "rules", "case.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


LAX = {"standard": {"accuracy": 0.7}, "free": {"calibration_error": 0.3, "accuracy": 0.5}}
ALONE: dict[str, Any] = {"standard": {"accuracy": 0.7}}


@pytest.mark.parametrize(
    ("classes", "kind", "lower", "upper", "expected"),
    [
        (LAX, "free", 0.2, 0.6, set()),
        (LAX, "free", 0.4, 0.6, {CALIBRATION}),
        (LAX, "free", 0.2, 0.4, {ACCURACY}),
        (LAX, "standard", 0.2, 0.6, {CALIBRATION, ACCURACY}),
        (LAX, "other", 0.2, 0.6, {CALIBRATION, ACCURACY}),
        (LAX, "other", 0.05, 0.8, set()),
        (ALONE, "other", 0.2, 0.6, {CALIBRATION, ACCURACY}),
        (ALONE, "standard", 0.05, 0.8, set()),
    ],
)
def test_a_class_is_judged_by_what_it_is_promised(
    tmp_path: Path,
    classes: dict[str, Any],
    kind: str,
    lower: float,
    upper: float,
    expected: set[str],
) -> None:
    told = fires(tmp_path, classes, kind, lower, upper)
    assert {name for name in (CALIBRATION, ACCURACY) if f'alertname="{name}"' in told} == expected
    assert ("SUCCESS" in told) == (expected == set()), told
