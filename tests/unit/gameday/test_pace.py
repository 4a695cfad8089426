"""Rules in which an hour passes in a minute."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.gameday.errors import GameDayFailed
from examples.gameday.pace import hurried, in_earnest

SLO = {
    "alerts": {
        "Old": {"limits": {"age": {"value": 14400, "unit": "seconds"}}},
        "Down": {"limits": {"some_down": {"value": 900, "unit": "seconds"}}},
        "TenantryEventLogSlow": {"limits": {"write": {"value": 0.5, "unit": "seconds"}}},
        "Full": {"limits": {"free": {"value": 0.1, "unit": "ratio"}}},
    }
}
RULES: list[dict[str, Any]] = [
    {
        "record": "a:b:rate5m",
        "expr": 'rate(b_total{window="5m"}[5m] offset 1h) + a:c:rate5m',
    },
    {"alert": "Old", "expr": "time() - max_over_time(t[1d:5m]) < 14400", "for": "1m"},
    {"alert": "Down", "expr": "absent(up)", "for": "900s"},
    {"alert": "TenantryEventLogSlow", "expr": "w > 0.5", "for": "0s"},
    {"alert": "Full", "expr": "free < 0.1", "for": "1h30m"},
]


def hurry(
    folder: Path,
    rules: list[dict[str, Any]],
    sooner: dict[tuple[str, str], float] | None = None,
) -> list[dict[str, Any]]:
    source, slo = folder / "rules.yaml", folder / "slo.yaml"
    document = {"groups": [{"name": "all", "interval": "30s", "rules": rules}]}
    source.write_text(yaml.safe_dump(document))
    slo.write_text(yaml.safe_dump(SLO))
    [made] = hurried([source], slo, folder / "made", sooner)
    [group] = yaml.safe_load(made.read_text())["groups"]
    assert group["interval"] == "1s"
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_times_are_divided_and_nothing_else(tmp_path: Path) -> None:
    recorded, old, down, slow, full = hurry(tmp_path, RULES)
    expected = 'rate(b_total{window="5m"}[5000ms] offset 60000ms) + a:c:rate5m'
    assert recorded["expr"] == expected, "neither a label nor a name is a time"
    assert recorded["record"] == "a:b:rate5m"
    assert old["expr"] == "time() - max_over_time(t[1440000ms:5000ms]) < 240"
    assert old["for"] == "1000ms"
    assert down["for"] == "15000ms"
    assert slow == RULES[3], "a disk is no faster on a game day"
    assert full == {"alert": "Full", "expr": "free < 0.1", "for": "90000ms"}


def test_a_limit_that_even_an_hour_in_a_minute_is_too_long_for_is_set(tmp_path: Path) -> None:
    made = hurry(tmp_path, RULES, {("Old", "age"): 20.0})
    assert made[1]["expr"] == "time() - max_over_time(t[1440000ms:5000ms]) < 20"
    assert made[2]["for"] == "15000ms", "no other limit is"


def test_a_limit_that_is_a_range_or_an_offset_is_divided_or_set(tmp_path: Path) -> None:
    expr = "sum_over_time(c[14400s] offset 14400s) > 1 and r[1d]"
    rules = [*RULES[2:3], {"alert": "Old", "expr": expr, "for": "15m"}]
    _, divided = hurry(tmp_path, rules)
    assert divided["expr"] == ("sum_over_time(c[240000ms] offset 240000ms) > 1 and r[1440000ms]"), (
        "it is found, for else this would be an error"
    )
    _, sooner = hurry(tmp_path, rules, {("Old", "age"): 1.5})
    assert sooner["expr"] == "sum_over_time(c[1500ms] offset 1500ms) > 1 and r[1440000ms]"
    assert sooner["for"] == "15000ms"


def test_a_limit_that_no_rule_compares_with_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GameDayFailed, match="no rule compares with: Down: 900 s"):
        hurry(tmp_path, [rule for rule in RULES if rule.get("alert") != "Down"])


def test_a_time_is_told_as_it_would_be_without_the_hurry() -> None:
    assert in_earnest(19.0) == "19 min"
    assert in_earnest(150.0) == "2.5 h"
