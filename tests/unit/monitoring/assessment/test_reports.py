from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring.assessment.reports import answering, seconds
from monitoring.errors import UnknownWatched
from monitoring.watched import Watched
from tests.fakes.judged import BUCKET_S, Judged, judged
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import LABELS, Tenant

ROWS = 60


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        yield found


def at(bucket: int) -> float:
    return DAY_S + bucket * BUCKET_S + 5.0


def test_an_adapter_that_nobody_knows_has_no_report(desk: Judged) -> None:
    with pytest.raises(UnknownWatched, match=r"no adapter acme\.support"):
        desk.reports.adapter("acme", "support")
    assert desk.reports.fleet().adapters == ()
    assert desk.reports.fleet("acme").adapters == ()


def test_what_is_of_all_is_for_the_operator_alone(desk: Judged) -> None:
    for name in ("acme", "globex"):
        Tenant(name, seed=1).send(desk.log, ROWS, time_s=at(0))
    desk.settle()
    assert [line.tenant for line in desk.reports.fleet("acme").adapters] == ["acme"]
    assert desk.reports.fleet("acme").fleet is None
    assert desk.reports.fleet().fleet is not None
    assert desk.reports.fleet().made_s == DAY_S


def test_one_version_answers_for_its_adapter(desk: Judged) -> None:
    versions = [Tenant("acme", seed=1, version=number) for number in (1, 2, 3)]
    desk.log.rollout(
        {"live": 1, "canary": {"version": 2, "percent": 5}, "shadow": [3]},
        time_s=at(0),
        version=versions[0].version,
    )
    for bucket, (tenant, role) in enumerate(
        zip(versions, ("live", "canary", "shadow"), strict=True)
    ):
        tenant.send(desk.log, ROWS, time_s=at(bucket), role=role)
        desk.log.flush()
    desk.settle()
    assert list(answering(desk.desk)) == [Watched("acme", "support", 1, "live")]
    shown = desk.reports.adapter("acme", "support").versions
    assert [(one.version, one.standing) for one in shown] == [
        (1, "live"),
        (2, "canary"),
        (3, "shadow"),
    ]
    desk.log.rollout({"live": 2}, time_s=at(6), version=versions[0].version)
    desk.take()
    # Nobody has asked it as the live one yet; what it did as a canary is the best there is.
    assert list(answering(desk.desk)) == [Watched("acme", "support", 2, "canary")]
    versions[1].send(desk.log, ROWS, time_s=at(7), role="live")
    desk.take()
    assert list(answering(desk.desk)) == [Watched("acme", "support", 2, "live")]
    assert list(answering(desk.desk, "nobody")) == []


def test_of_many_versions_those_are_shown_that_answered_last(desk: Judged) -> None:
    for number in range(1, 26):
        Tenant("acme", seed=1, version=number).send(desk.log, 5, time_s=at(number))
        desk.log.rollout(
            {"live": number}, time_s=at(number), version=Tenant("acme", seed=1).version
        )
    desk.settle()
    shown = [one.version for one in desk.reports.adapter("acme", "support").versions]
    assert shown == list(range(25, 5, -1))


def test_the_worst_comes_first_and_then_the_furthest(desk: Judged) -> None:
    tenants = {
        name: Tenant(name, seed=number)
        for number, name in enumerate(("calm", "moved", "unknown", "alarmed"))
    }
    for name, tenant in tenants.items():
        if name != "unknown":
            tenant.publish(desk.log, time_s=DAY_S, rows=100)
    for bucket in range(3):
        for name, tenant in tenants.items():
            foreign = 0.9 if name == "alarmed" else 0.25 if name == "moved" else 0.0
            tenant.send(desk.log, ROWS, time_s=at(bucket), foreign=foreign)
        desk.log.flush()
    desk.settle()
    lines = desk.reports.fleet().adapters
    assert lines[0].tenant == "alarmed"
    assert {"calm", "moved", "unknown"} == {line.tenant for line in lines[1:]}
    order = ["alarm", "warning", "unknown", "ok"]
    keys = [(order.index(line.state), -(line.effect.value or 0.0)) for line in lines]
    assert keys == sorted(keys)


def test_a_version_s_report_has_all_its_parts(desk: Judged) -> None:
    tenant = Tenant("acme", seed=3)
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    for bucket in range(3):
        sent = tenant.send(desk.log, ROWS, time_s=at(bucket), based=True, sample=0.5)
        desk.log.flush()
        sent.label(desk.log, time_s=at(bucket) + 60, share=0.5)
    desk.settle()
    [told] = desk.reports.adapter("acme", "support").versions
    assert [window.window.name for window in told.windows] == ["last-50", "1h", "1d"]
    assert told.primary == "last-50"
    assert (told.predictions, told.sampled) == (3 * ROWS, 0.5)
    assert told.last_s == at(2)
    assert len(told.history) == 3
    assert [point.time_s for point in told.history] == [
        DAY_S + (bucket + 1) * BUCKET_S for bucket in range(3)
    ]
    for window in told.windows:
        assert window.window.embedded == window.window.rows
        assert window.base_drift is not None
        assert [share.label for share in window.mix.classes] == list(LABELS)
        assert sum(share.now or 0.0 for share in window.mix.classes) == pytest.approx(1)
        for side in ("reference", "now"):
            assert sum(getattr(bar, side) for bar in window.confidence) == pytest.approx(1)
        assert window.confidence[0].start == 0
        assert window.confidence[-1].end == 1
        ends = [bar.end for bar in window.confidence]
        assert ends == sorted(ends)
    assert told.watch.rows == 3 * ROWS
    assert told.watch.run_length is not None
    assert told.reference.source == "holdout"
    assert told.reference.made_s == DAY_S
    assert told.calibration.labels == 90


def test_without_a_reference_bars_and_classes_are_of_now_alone(desk: Judged) -> None:
    Tenant("acme", seed=3).send(desk.log, ROWS, time_s=at(0))
    desk.settle()
    [told] = desk.reports.adapter("acme", "support").versions
    window = told.windows[0]
    assert all(bar.reference is None for bar in window.confidence)
    assert sum(bar.now or 0.0 for bar in window.confidence) == pytest.approx(1)
    assert window.mix.refused == "no reference"
    assert told.reference.note == "publish with a hold-out"
    assert told.watch.unknown == "no reference"
    assert told.why == "there is no reference to compare with: publish with a hold-out"


def test_what_was_borrowed_shows_no_rows_of_others(desk: Judged) -> None:
    for number, name in enumerate(("lends", "lends-too")):
        Tenant(name, seed=number).publish(desk.log, time_s=DAY_S, rows=60)
    Tenant("acme", seed=3).send(desk.log, ROWS, time_s=at(0))
    desk.settle()
    [told] = desk.reports.adapter("acme", "support").versions
    assert told.reference.source == "pooled"
    assert told.windows[0].drift.effect.value is not None
    assert told.projection
    assert all(point.prediction_id is not None for point in told.projection)
    assert all(bar.reference is None for bar in told.windows[0].confidence)


def test_a_time_that_is_not_known_is_none() -> None:
    assert seconds(None) is None
    assert seconds(1_500_000) == 1.5
