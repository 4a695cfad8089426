from dataclasses import fields, replace
from pathlib import Path

import pytest

from monitoring.assessment.policy import Policy
from monitoring.settings import MonitorSettings
from monitoring.state.limits import Limits


def test_a_policy_is_what_settings_say() -> None:
    settings = MonitorSettings(state=Path("state"), seed=7, labels_min=30)
    policy = Policy.of(settings)
    assert (policy.seed, policy.labels_min) == (7, 30)
    for field in fields(Policy):
        assert getattr(policy, field.name) == getattr(settings, field.name)


def test_the_defaults_are_those_of_the_settings() -> None:
    assert Policy() == Policy.of(MonitorSettings(state=Path("state")))


def test_bounds_of_the_state_have_the_names_of_settings() -> None:
    shared = {field.name for field in fields(Limits)} & set(MonitorSettings.model_fields)
    assert {"bucket_s", "fine_buckets", "hours_kept", "labels_kept", "versions_max"} <= shared


@pytest.mark.parametrize(
    ("reference", "rows"), [(0, 50), (100, 50), (400, 80), (2500, 500), (5000, 500)]
)
def test_a_window_is_a_fifth_of_its_reference_within_bounds(reference: int, rows: int) -> None:
    policy = Policy(window_rows=500)
    assert policy.rows_of(reference) == rows
    assert policy.primary(reference) == f"last-{rows}"
    assert replace(policy, window_rows=60).rows_of(reference) == min(rows, 60)
