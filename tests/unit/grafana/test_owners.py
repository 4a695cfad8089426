"""Who is told: owners of tenants and of classes, as Prometheus fills them in."""

import subprocess
from pathlib import Path

import pytest
import yaml

from grafana.rules.files import alerts_yaml, recording_yaml
from grafana.slo import SLO, parse
from tests.needs import needs_program

CASE = """
rule_files: [recording.yaml, alerts.yaml]
evaluation_interval: 5m
group_eval_order: [tenantry-budgets-short, tenantry-budget-alerts]
tests:
  - interval: 1m
    input_series:
      - series: >-
          tenantry_tenant_answers_total{{tenant="{tenant}", class="{kind}", outcome="failed"}}
        values: 0+50x30
      - series: tenantry_drift_alarm{{tenant="{tenant}", adapter="mail", version="3"}}
        values: 1x30
    promql_expr_test:
      - eval_time: 20m
        expr: count by (owner) (ALERTS{{alertname="TenantryTenantErrorBudgetBurn", window="1h"}})
        exp_samples:
          - labels: '{{owner="{answers}"}}'
            value: 1
      - eval_time: 20m
        expr: count by (owner) (ALERTS{{alertname="TenantryDrift"}})
        exp_samples:
          - labels: '{{owner="{drift}"}}'
            value: 1
"""


@pytest.mark.parametrize(
    ("tenant", "kind", "answers", "drift"),
    [
        ("globex", "standard", "platform", "ml"),
        ("globex", "bronze", "platform", "ml"),
        ("globex", "gold", "vip", "ml"),
        ("acme", "gold", "payments", "payments"),
        ("acme", "standard", "payments", "payments"),
        ("initech", "standard", "payments", "payments"),
        ("hooli", "standard", "platform", "platform"),
    ],
)
def test_an_alert_goes_to_the_owner_of_its_tenant_or_of_its_class(
    tmp_path: Path, tenant: str, kind: str, answers: str, drift: str
) -> None:
    document = yaml.safe_load(SLO.read_text(encoding="utf-8"))
    for name in ("payments", "vip"):
        document["owners"][name] = document["owners"]["ml"]
    document["classes"]["gold"]["owner"] = "vip"
    document["tenants"] = {
        "acme": {"owner": "payments"},
        "hooli": {"owner": "platform"},
        "initech": {"owner": "payments"},
    }
    slo = parse(yaml.safe_dump(document))
    (tmp_path / "alerts.yaml").write_text(alerts_yaml(slo), encoding="utf-8")
    (tmp_path / "recording.yaml").write_text(recording_yaml(slo), encoding="utf-8")
    case = CASE.format(tenant=tenant, kind=kind, answers=answers, drift=drift)
    (tmp_path / "case.yaml").write_text(case, encoding="utf-8")
    done = subprocess.run(
        [str(needs_program("promtool")), "test", "rules", "case.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
