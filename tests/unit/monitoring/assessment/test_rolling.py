import pytest
from msgspec.structs import replace

from monitoring.assessment.rolling import (
    cause_of,
    reason_of,
    rolled_back,
    rolled_s,
    shares_of,
)
from monitoring.report import Mark
from monitoring.web.reports import ROLLBACK_REASONS

MARK = Mark(
    time_s=5.0,
    revision=1,
    live=3,
    canary=None,
    canary_percent=None,
    shadow=(),
    actor="admin",
    forced=None,
)


def back(version: int, time_s: float, reason: str) -> Mark:
    return replace(
        MARK, actor="controller", time_s=time_s, rolled_back=version, forced=f"{reason}: so it is"
    )


def test_a_live_version_alone_answers_everything() -> None:
    assert shares_of(MARK) == {(3, "live"): 1.0}


def test_canary_and_live_share_the_requests_and_shadows_get_none() -> None:
    mark = replace(MARK, canary=4, canary_percent=12.5, shadow=(5, 6))
    assert shares_of(mark) == {
        (3, "live"): 0.875,
        (4, "canary"): 0.125,
        (5, "shadow"): 0.0,
        (6, "shadow"): 0.0,
    }


def test_nobody_answers_where_no_version_is_live() -> None:
    assert shares_of(replace(MARK, live=None)) == {}


@pytest.mark.parametrize("percent", [None, -1.0, 101.0, float("nan")])
def test_shares_are_not_known_where_the_canarys_is_not(percent: float | None) -> None:
    mark = replace(MARK, canary=4, canary_percent=percent, shadow=(5,))
    assert shares_of(mark) == {(5, "shadow"): 0.0}


def test_the_last_rollout_of_each_cause_counts() -> None:
    marks = [MARK, replace(MARK, time_s=7.0, actor="9f00aa"), back(4, 6.0, "accuracy")]
    assert rolled_s(marks) == {"operator": 7.0, "automatic": 6.0}
    assert rolled_s([]) == {}
    assert [cause_of(mark) for mark in marks] == ["operator", "operator", "automatic"]


def test_the_last_time_counts_that_a_version_was_taken_out_for_a_reason() -> None:
    marks = [MARK, back(4, 6.0, "accuracy"), back(4, 8.0, "accuracy"), back(4, 9.0, "latency")]
    assert [(one.version, one.reason, one.time_s) for one in rolled_back(marks)] == [
        (4, "accuracy", 8.0),
        (4, "latency", 9.0),
    ]


@pytest.mark.parametrize("reason", ROLLBACK_REASONS)
def test_a_reason_is_the_word_before_the_colon(reason: str) -> None:
    assert reason_of(replace(MARK, forced=f"{reason}: 0.81 against 0.93: beyond")) == reason


@pytest.mark.parametrize("text", [None, "", "weather: bad", "accuracy of all is bad"])
def test_a_reason_that_is_not_known_is_none(text: str | None) -> None:
    assert reason_of(replace(MARK, forced=text)) is None
    assert rolled_back([replace(back(4, 6.0, "x"), forced=text)]) == ()
