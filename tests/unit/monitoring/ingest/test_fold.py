from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from monitoring.errors import UnknownWatched
from monitoring.ingest.fold import Fold
from monitoring.ingest.frames import frame_of
from monitoring.sketches.sketch import Sketch
from monitoring.state.calendar import DAY_US, HOUR_US, start_of
from monitoring.state.limits import Limits
from monitoring.state.state import MonitorState
from monitoring.state.view import View
from monitoring.state.watermark import TURN_FRAMES
from monitoring.watched import Watched
from tests.fakes.events import read_all
from tests.fakes.judging import FakeJudge, FakeMeasure
from tests.fakes.logs import (
    DAY_S,
    Version,
    WrittenLog,
    embeddings_of,
    probabilities_of,
    written_log,
)

ACME = Watched("acme", "support", 1, "live")
SHADOW = Watched("acme", "support", 9, "shadow")
SECOND = Version(version=9)
ALL_US = (0, 1 << 62)


@dataclass
class Desk:
    """A log that is written and folded in turns."""

    folder: Path
    state: MonitorState
    judge: FakeJudge
    fold: Fold
    view: View
    log: WrittenLog
    read: int = 0

    def take(self) -> None:
        """Fold what was written since."""
        self.log.flush()
        batches = read_all(self.folder / "events")
        for batch in batches[self.read :]:
            self.fold.take(batch)
        self.read = len(batches)

    def closed(self) -> list[tuple[Watched, int]]:
        """Return the buckets that the judge was told of."""
        return [(told[1], told[2]) for told in self.judge.told if told[0] == "closed"]


def limits() -> Limits:
    return Limits(
        groups_max=2, sample_rows=5, labels_kept=50, shadows_kept=40, reference_rows_max=50
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    judge = FakeJudge()
    state = MonitorState.open(tmp_path / "monitor", limits(), judge)
    with written_log(tmp_path / "events") as log:
        fold = Fold(state, judge, lambda watched: 7 if watched.role == "live" else 0)
        yield Desk(tmp_path, state, judge, fold, View(state), log)
    state.close()


def write_rows(
    log: WrittenLog, n: int, time_s: float, every_s: float = 0.0, seed: int = 0, **others: object
) -> list[str]:
    return log.predictions(
        embeddings_of(n, seed=seed),
        probabilities_of(n, seed=seed),
        time_s=time_s,
        every_s=every_s,
        **others,  # type: ignore[arg-type]
    )


def write_reference(log: WrittenLog, n: int = 50, **others: object) -> None:
    rows = (embeddings_of(n, seed=77), probabilities_of(n, seed=77))
    log.reference(*rows, time_s=DAY_S - 60, **others)  # type: ignore[arg-type]


# --- what is of a canary's trial ---------------------------------------------------------

TRIED = Watched("acme", "support", 9, "canary")


def write_trial(log: WrittenLog, *, compared: bool) -> None:
    """Log a live version, a canary and labels; and what only their comparison needs."""
    write_rows(log, 20, DAY_S, 1.0)
    ids = write_rows(log, 10, DAY_S + 100, seed=1, version=SECOND, role="canary")
    log.flush()
    if compared:
        write_rows(log, 10, DAY_S + 5000, seed=2, role="paired", ids=ids)
        log.flush()
        log.failures(7, time_s=DAY_S + 5000)
        log.failures(3, time_s=DAY_S + 5001, version=SECOND, role="canary")
        unknown = Version(tenant="globex")
        write_rows(log, 3, DAY_S + 5002, version=unknown, role="paired")
        log.failures(3, time_s=DAY_S + 5003, version=unknown)
    log.labels([(name, 0) for name in ids], time_s=DAY_S + 200)


def test_pairs_and_failures_change_nothing_that_is_watched(desk: Desk, tmp_path: Path) -> None:
    write_trial(desk.log, compared=True)
    desk.take()
    judge = FakeJudge()
    other = MonitorState.open(tmp_path / "other", limits(), judge)
    with written_log(tmp_path / "plain") as log:
        write_trial(log, compared=False)
    plain = Fold(other, judge)
    for batch in read_all(tmp_path / "plain"):
        plain.take(batch)
    expected = View(other)
    assert desk.view.watched() == expected.watched() == [ACME, TRIED]
    assert desk.view.watermark_us == expected.watermark_us
    assert not desk.state.log.malformed
    assert desk.view.adapters() == []
    for watched in (ACME, TRIED):
        assert desk.view.totals(watched) == expected.totals(watched)
        found = desk.view.sketch_between(watched, *ALL_US)
        told = expected.sketch_between(watched, *ALL_US)
        assert found is not None
        assert told is not None
        assert found.sketch == told.sketch
        assert len(desk.view.labelled(watched, 0, 50)) == (10 if watched == TRIED else 0)
    other.close()


def test_a_label_that_came_before_a_pair_does_not_count_for_the_live_version(desk: Desk) -> None:
    ids = write_rows(desk.log, 4, DAY_S, version=SECOND, role="canary")
    desk.log.labels([(name, 0) for name in ids], time_s=DAY_S + 1)
    write_rows(desk.log, 4, DAY_S, seed=2, role="paired", ids=ids)
    desk.take()
    assert desk.view.watched() == [TRIED]
    assert desk.view.totals(TRIED).labelled == 4


# --- sketches ----------------------------------------------------------------------------


def test_a_window_is_the_sketch_of_its_rows(desk: Desk) -> None:
    write_reference(desk.log, base=embeddings_of(50, seed=78))
    base = embeddings_of(3, seed=5)
    write_rows(desk.log, 40, DAY_S, 30.0)
    write_rows(desk.log, 5, DAY_S + 1300, base=base, base_rows=[0, 2, 4])
    desk.take()
    measure = desk.view.measure(desk.view.reference(ACME).id)  # type: ignore[union-attr]
    assert isinstance(measure, FakeMeasure)
    assert measure.map is not None
    assert measure.base_map is not None
    whole = Sketch.empty(3, measure.map, measure.base_map)
    for batch in read_all(desk.folder / "events"):
        for group in frame_of(batch).predictions.groups:
            features = measure.map.fixed(group.rows.embeddings)
            bare = group.rows.base_embeddings
            whole.add(
                group.rows,
                features,
                measure.map.directions.projected_of(features),
                measure.base_map.fixed(bare) if len(bare) else None,
            )
    found = desk.view.sketch_between(ACME, *ALL_US)
    assert found is not None
    assert found.sketch == whole
    assert (found.start_s, found.end_s) == (DAY_S, DAY_S + 1500)
    totals = desk.view.totals(ACME)
    assert (totals.predictions, totals.embedded, totals.classes, totals.hidden) == (45, 45, 3, 16)
    assert totals.names == ("refund", "delivery", "other")
    assert (totals.first_us, totals.last_us) == (DAY_S * 1e6, (DAY_S + 1300) * 1e6)


def test_windows_are_by_count_and_by_time(desk: Desk) -> None:
    write_rows(desk.log, 120, DAY_S, 30.0)  # ten a bucket, twelve buckets, an hour
    desk.take()

    def rows(window: object) -> int:
        return 0 if window is None else window.sketch.predictions  # type: ignore[attr-defined]

    assert rows(desk.view.window_rows(ACME, 1)) == 10
    assert rows(desk.view.window_rows(ACME, 25)) == 30
    assert rows(desk.view.window_rows(ACME, 1000)) == 120
    until_us = round((DAY_S + 1800) * 1e6)
    assert rows(desk.view.window_rows(ACME, 25, until_us)) == 30
    assert desk.view.window_rows(ACME, 25, until_us).end_s == DAY_S + 1800  # type: ignore[union-attr]
    assert desk.view.window_rows(ACME, 25, round(DAY_S * 1e6)) is None
    assert rows(desk.view.window_time(ACME, 600.0, until_us)) == 20
    assert rows(desk.view.window_time(ACME, 86_400.0)) == 120
    assert desk.view.predictions_between(ACME, *ALL_US) == 120


def test_what_is_read_does_not_change_afterwards(desk: Desk) -> None:
    write_rows(desk.log, 3, DAY_S)
    desk.take()
    window, sample = desk.view.window_rows(ACME, 1), desk.view.sample(ACME, 0)
    assert window is not None
    before = window.sketch.to_bytes(), sample.to_bytes()
    write_rows(desk.log, 3, DAY_S, seed=1)
    desk.take()
    assert (window.sketch.to_bytes(), sample.to_bytes()) == before


def test_old_buckets_become_hours_and_days_and_nothing_is_lost(desk: Desk) -> None:
    write_reference(desk.log)
    write_rows(desk.log, 4 * 24 * 6, DAY_S, 600.0)
    desk.take()
    head = desk.state.objects.get(desk.state.versions.owners.get(ACME).id, 0)  # type: ignore[union-attr, arg-type]
    assert len(head.fine) <= 24
    assert 0 < len(head.hours) <= 48
    assert len(head.days) > 0
    total = desk.view.sketch_between(ACME, *ALL_US)
    assert total is not None
    assert total.sketch.predictions == total.sketch.embedded == 4 * 24 * 6
    assert total.start_s == DAY_S
    last_day = desk.view.window_time(ACME, 86_400.0)
    assert last_day is not None
    assert last_day.sketch.predictions in range(23 * 6, 24 * 6 + 1)


def test_days_and_samples_are_deleted_when_they_are_old(desk: Desk) -> None:
    for day in range(0, 60, 2):
        for hour in (0, 1):
            write_rows(desk.log, 3, DAY_S + day * 86_400.0 + hour * 3600.0)
            desk.log.flush()
    desk.take()
    now_us = desk.view.watermark_us
    total = desk.view.sketch_between(ACME, *ALL_US)
    assert total is not None
    assert total.start_s * 1e6 >= now_us - 37 * DAY_US
    assert len(desk.view.samples(ACME, 0)) <= 3
    assert desk.view.totals(ACME).predictions == 180, "totals stay"


def test_late_events_count_in_what_still_covers_their_time(desk: Desk) -> None:
    write_rows(desk.log, 3, DAY_S)
    desk.take()
    for late_s, placed in ((60.0, True), (3 * 3600.0, True), (5 * 86_400.0, True), (5e6, False)):
        desk.log.clock.follow(DAY_S + 1)
        write_rows(desk.log, 2, DAY_S - late_s)
        desk.take()
        from_us = start_of(round((DAY_S - late_s) * 1e6), DAY_US)
        found = desk.view.predictions_between(ACME, from_us, round((DAY_S - late_s) * 1e6) + 1)
        assert (found > 0) == placed
    totals = desk.view.totals(ACME)
    assert (totals.predictions, totals.too_late) == (11, 2)


def test_a_reference_that_comes_late_is_used_from_the_next_bucket_on(desk: Desk) -> None:
    write_rows(desk.log, 3, DAY_S)
    desk.take()
    write_reference(desk.log)
    write_rows(desk.log, 3, DAY_S + 10)
    write_rows(desk.log, 3, DAY_S + 400)
    desk.take()
    total = desk.view.sketch_between(ACME, *ALL_US)
    assert total is not None
    assert (total.sketch.predictions, total.sketch.embedded) == (9, 3)


def test_another_digest_begins_anew(desk: Desk) -> None:
    write_reference(desk.log)
    write_rows(desk.log, 30, DAY_S)
    ids = write_rows(desk.log, 3, DAY_S + 5)
    restored = Version(digest="sha256:other")
    write_rows(desk.log, 2, DAY_S + 9, version=restored)
    desk.take()
    assert desk.view.totals(ACME).predictions == 2
    assert desk.view.reference(ACME) is None
    desk.log.label(ids[0], 1, time_s=DAY_S + 20)
    desk.take()
    assert desk.view.totals(ACME).labels == 0
    assert desk.state.log.malformed == {"label of another digest": 1}


def test_rows_of_another_shape_are_left_out(desk: Desk) -> None:
    write_rows(desk.log, 3, DAY_S)
    desk.log.predictions(embeddings_of(2), probabilities_of(2, 5), time_s=DAY_S)
    desk.log.predictions(embeddings_of(2, hidden=8), probabilities_of(2), time_s=DAY_S)
    desk.log.predictions(None, probabilities_of(2), time_s=DAY_S)
    desk.take()
    totals = desk.view.totals(ACME)
    assert (totals.predictions, totals.embedded) == (5, 3)
    assert sum(desk.state.log.malformed.values()) == 4


# --- what else is kept -------------------------------------------------------------------


def test_groups_are_sticky_and_bounded(desk: Desk) -> None:
    for group in ("a", None, "b", "c", "a", "d"):
        write_rows(desk.log, 2, DAY_S, group=group)
    desk.take()
    assert desk.view.groups(ACME) == {"a": 4, "b": 2, "_other": 4}
    window = desk.view.window_rows(ACME, 1)
    assert window is not None
    assert window.sketch.groups == Counter({"a": 4, "b": 2, "_other": 4})


def test_samples_are_of_each_hour_and_say_how_many_rows_there_were(desk: Desk) -> None:
    write_rows(desk.log, 90, DAY_S, 60.0)
    desk.take()
    first, second = desk.view.samples(ACME, 0)
    assert (len(first), first.offered, len(second), second.offered) == (5, 60, 5, 30)
    assert desk.view.sample(ACME, 0).offered == 90
    assert len(desk.view.samples(ACME, round((DAY_S + 3600) * 1e6))) == 1
    orders = np.concatenate(
        [
            group.rows.order
            for batch in read_all(desk.folder / "events")
            for group in frame_of(batch).predictions.groups
        ]
    )
    assert [row.order for row in first.rows] == sorted(orders[:60].tolist())[:5]


def test_the_newest_rows_are_kept_where_they_are_asked_for(desk: Desk) -> None:
    ids = write_rows(desk.log, 5, DAY_S)
    desk.take()
    ids += write_rows(desk.log, 6, DAY_S + 1, seed=1)
    write_rows(desk.log, 5, DAY_S, role="canary")
    desk.take()
    recent = desk.view.recent(ACME)
    assert recent is not None
    assert recent.prediction_ids == ids[-7:]
    assert recent.embeddings.shape == (7, 16)
    assert desk.view.recent(replace(ACME, role="canary")) is None


def test_the_watch_sees_every_row_once_in_order(desk: Desk) -> None:
    write_reference(desk.log)
    for number in range(4):
        write_rows(desk.log, 20, DAY_S + number * 200, 3.0, seed=number)
    desk.take()
    watch = desk.view.watch(ACME)
    assert watch is not None
    assert (watch.rows, watch.watch.rows) == (80, 80)
    told = [told[3] for told in desk.judge.told if told[0] == "alarmed"]
    assert told
    assert told == sorted(told, key=lambda name: int(name.split("-")[1]))
    assert desk.view.alarms(ACME)[0].reason == told[-1]


def test_who_has_no_reference_has_no_watch_until_one_is_pooled(tmp_path: Path) -> None:
    judge = FakeJudge()
    state = MonitorState.open(tmp_path / "monitor", Limits(pool_rows_min=60), judge)
    with written_log(tmp_path / "events") as log:
        desk = Desk(tmp_path, state, judge, Fold(state, judge), View(state), log)
        write_rows(log, 3, DAY_S)
        desk.take()
        assert desk.view.watch(ACME) is None
        for number in (2, 3):
            write_reference(log, version=Version(version=number))
        write_rows(log, 3, DAY_S + 400)
        desk.take()
        found, watch = desk.view.reference(ACME), desk.view.watch(ACME)
        assert found is not None
        assert watch is not None
        assert (found.source, watch.rows, watch.reference) == ("pooled", 3, found.id)
        write_reference(log)
        write_rows(log, 4, DAY_S + 800)
        desk.take()
        own, watch = desk.view.reference(ACME), desk.view.watch(ACME)
        assert own is not None
        assert watch is not None
        assert (own.source, watch.rows, watch.reference) == ("holdout", 4, own.id)
        window = desk.view.window_rows(ACME, 1000)
        assert window is not None
        assert window.sketch.predictions == 10, "of the fake's maps all are the same"
    state.close()


def test_rollouts_and_quarantines_say_how_a_version_stands(desk: Desk) -> None:
    write_rows(desk.log, 1, DAY_S)
    desk.take()
    assert desk.view.standing(ACME) == "live"
    desk.log.rollout({"live": 2}, time_s=DAY_S + 5)
    desk.take()
    assert desk.view.standing(ACME) == "retired"
    [mark] = desk.view.rollouts("acme", "support")
    assert (mark.live, mark.time_s) == (2, DAY_S + 5)
    desk.log.quarantine(time_s=DAY_S + 6)
    desk.take()
    assert desk.view.standing(ACME) == "quarantined"
    assert desk.view.rollouts("acme", "other") == ()


def test_what_is_not_there_is_said_to_be_unknown(desk: Desk) -> None:
    for ask in (desk.view.totals, desk.view.history, desk.view.watch, desk.view.reference):
        with pytest.raises(UnknownWatched, match="no version 1 in the role live"):
            ask(ACME)
    assert desk.view.watched() == []


def test_versions_are_found_by_tenant_and_adapter(desk: Desk) -> None:
    write_rows(desk.log, 1, DAY_S, version=Version(tenant="globex"))
    write_rows(desk.log, 1, DAY_S, version=Version(adapter="other"))
    write_rows(desk.log, 1, DAY_S)
    desk.take()
    assert [w.tenant for w in desk.view.watched()] == ["acme", "acme", "globex"]
    assert [w.adapter for w in desk.view.watched("acme")] == ["other", "support"]
    assert desk.view.watched("acme", "support") == [ACME]
    write_rows(desk.log, 1, DAY_S + 50, version=Version(tenant="globex"))
    desk.take()
    assert [w.tenant for w in desk.view.active(round((DAY_S + 9) * 1e6))] == ["globex"]


def test_the_version_that_was_silent_longest_goes_first(tmp_path: Path) -> None:
    judge = FakeJudge()
    state = MonitorState.open(tmp_path / "monitor", Limits(versions_max=3), judge)
    with written_log(tmp_path / "events") as log:
        desk = Desk(tmp_path, state, judge, Fold(state, judge), View(state), log)
        ids = [
            write_rows(log, 1, DAY_S + number, version=Version(version=number))
            for number in (1, 2, 3)
        ]
        log.flush()
        write_rows(log, 1, DAY_S + 5, version=Version(version=1))
        log.label(ids[2][0], 1, time_s=DAY_S + 6)
        write_rows(log, 1, DAY_S + 7, version=Version(version=4))
        desk.take()
        assert [watched.version for watched in desk.view.watched()] == [1, 3, 4]
    state.close()


# --- labels ------------------------------------------------------------------------------


def test_the_last_label_of_a_prediction_counts_once(desk: Desk) -> None:
    ids = write_rows(desk.log, 4, DAY_S)
    tops = [desk.log.by_id[name].class_index for name in ids]
    desk.log.labels([(name, top) for name, top in zip(ids, tops, strict=True)], time_s=DAY_S + 60)
    desk.log.labels([(ids[1], (tops[1] + 1) % 3), (ids[0], tops[0])], time_s=DAY_S + 90)
    desk.take()
    labelled = desk.view.labelled(ACME, 0, 100)
    assert labelled.right.tolist() == [True, True, False, True]
    assert labelled.came_us.tolist() == [(DAY_S + s) * 1e6 for s in (60, 60, 90, 90)]
    totals = desk.view.totals(ACME)
    assert (totals.labels, totals.labelled) == (6, 4)
    assert desk.view.labelled(ACME, round((DAY_S + 80) * 1e6), 100).right.tolist() == [False, True]
    assert len(desk.view.labelled(ACME, 0, 3)) == 3


def test_labels_count_though_no_prediction_was_seen(desk: Desk) -> None:
    ids = write_rows(desk.log, 4, DAY_S)
    desk.log.label(ids[0], 1, time_s=DAY_S + 60)
    desk.log.flush()
    for batch in read_all(desk.folder / "events")[1:]:
        desk.fold.take(batch)
    totals = desk.view.totals(ACME)
    assert (totals.predictions, totals.labels, totals.classes) == (0, 1, 0)
    assert len(desk.view.labelled(ACME, 0, 10)) == 1
    assert desk.view.window_rows(ACME, 10) is None
    assert desk.closed() == []


def test_a_label_counts_for_the_shadows_of_its_prediction(desk: Desk) -> None:
    shares = probabilities_of(4)
    ids = desk.log.predictions(embeddings_of(4), shares, time_s=DAY_S)
    turned = np.roll(shares, 1, axis=1)
    desk.log.predictions(
        embeddings_of(4), turned, time_s=DAY_S, version=SECOND, role="shadow", ids=ids
    )
    truth = [int(top) for top in turned.argmax(axis=1)]
    desk.log.labels(list(zip(ids, truth, strict=True)), time_s=DAY_S + 60)
    desk.take()
    assert desk.view.labelled(ACME, 0, 10).right.tolist() == [False] * 4
    shadow = desk.view.labelled(SHADOW, 0, 10)
    assert shadow.right.tolist() == [True] * 4
    np.testing.assert_allclose(shadow.confidence, turned.max(axis=1), atol=1e-6)
    desk.log.label(ids[2], (truth[2] + 1) % 3, time_s=DAY_S + 90)
    desk.take()
    assert desk.view.labelled(SHADOW, 0, 10).right.tolist() == [True, True, True, False]


def test_a_label_that_overtakes_the_shadow_counts_for_it_too(desk: Desk) -> None:
    shares = probabilities_of(3)
    ids = desk.log.predictions(embeddings_of(3), shares, time_s=DAY_S)
    desk.log.label(ids[1], 2, time_s=DAY_S + 1)
    desk.take()
    desk.log.predictions(
        embeddings_of(3), shares, time_s=DAY_S, version=SECOND, role="shadow", ids=ids
    )
    desk.take()
    assert len(desk.view.labelled(SHADOW, 0, 10)) == 1
    desk.log.label(ids[1], 2, time_s=DAY_S + 5)
    desk.take()
    assert len(desk.view.labelled(SHADOW, 0, 10)) == 1
    totals = desk.view.totals(SHADOW)
    assert (totals.labels, totals.labelled) == (2, 1)


def test_labels_are_bounded_and_the_oldest_go(desk: Desk) -> None:
    ids = write_rows(desk.log, 80, DAY_S)
    for name in ids:
        desk.log.label(name, 1, time_s=DAY_S + 60 + int(name.split("-")[1]))
    desk.take()
    labelled = desk.view.labelled(ACME, 0, 1000)
    assert len(labelled) == 50
    assert labelled.came_us[0] == (DAY_S + 60 + 30) * 1e6


def test_labels_of_groups_are_apart(desk: Desk) -> None:
    ids = {group: write_rows(desk.log, 2, DAY_S, group=group) for group in ("a", "b", "c", None)}
    for names in ids.values():
        desk.log.labels([(name, 1) for name in names], time_s=DAY_S + 5)
    desk.take()
    counts = {g: len(desk.view.labelled(ACME, 0, 99, g)) for g in ("a", "b", "c", "_other", None)}
    assert counts == {"a": 2, "b": 2, "c": 0, "_other": 2, None: 8}


# --- what the judge is told --------------------------------------------------------------


def test_each_bucket_closes_once_and_in_order(desk: Desk) -> None:
    other = Version(tenant="globex")
    for number in range(50):
        write_rows(desk.log, 1, DAY_S + number * 130.0)
        if number % 3 == 0:
            write_rows(desk.log, 1, DAY_S + number * 130.0, version=other)
        if number % 7 == 6:
            desk.take()
            write_rows(desk.log, 1, DAY_S + number * 130.0 - 400)
    write_rows(desk.log, 1, DAY_S + 10_000)
    desk.take()
    closed = desk.closed()
    assert len(closed) == len(set(closed))
    for tenant in ("acme", "globex"):
        ends = [end for watched, end in closed if watched.tenant == tenant]
        assert ends == sorted(ends)
    expected = {
        start_of(round((DAY_S + number * 130.0) * 1e6), 300_000_000) + 300_000_000
        for number in range(50)
    }
    assert {end for watched, end in closed if watched == ACME} == expected
    times = [point.time_s * 1e6 for point in desk.view.history(ACME)]
    assert times == sorted(expected)


def test_a_bucket_is_open_until_the_log_is_past_it(desk: Desk) -> None:
    write_rows(desk.log, 1, DAY_S + 100)
    write_rows(desk.log, 1, DAY_S + 301, version=Version(tenant="globex"))
    desk.take()
    assert desk.closed() == []
    write_rows(desk.log, 1, DAY_S + 302, version=Version(tenant="globex"))
    desk.take()
    assert desk.closed() == [(ACME, round((DAY_S + 300) * 1e6))]


def test_labels_alone_close_buckets_too(desk: Desk) -> None:
    ids = write_rows(desk.log, 2, DAY_S)
    desk.log.label(ids[0], 1, time_s=DAY_S + 7200)
    write_rows(desk.log, 1, DAY_S + 8000, version=Version(tenant="globex"))
    desk.take()
    assert [end / 1e6 - DAY_S for _, end in desk.closed()] == [300.0, 7500.0]


def test_the_judge_sees_the_state_up_to_the_end_of_the_bucket(desk: Desk) -> None:
    write_rows(desk.log, 30, DAY_S, 60.0)
    desk.take()
    rows = [point.rows for point in desk.view.history(ACME)]
    assert rows == [5, 10, 15, 20, 25], "though all of it was in one frame"


def test_what_the_judge_writes_is_kept(desk: Desk) -> None:
    write_reference(desk.log)
    write_rows(desk.log, 30, DAY_S, 60.0)
    desk.take()
    closed = len(desk.closed())
    assert desk.view.note("closed") == closed.to_bytes(8, "big")
    end_us = desk.closed()[-1][1]
    assert desk.view.memo(ACME) == f"{end_us} 25".encode()
    watch = desk.view.watch(ACME)
    assert watch is not None
    assert watch.run_length == 2e7 + 25


def test_a_clock_that_was_wrong_for_a_moment_costs_little(desk: Desk) -> None:
    write_reference(desk.log)
    write_rows(desk.log, 20, DAY_S, 60.0)
    desk.take()
    year_s = 365 * 86_400.0
    right = desk.log.clock.wall_s
    write_rows(desk.log, 2, DAY_S + year_s)
    desk.take()
    for number in range(60):
        desk.log.clock.wall_s = right + 60.0 * number
        write_rows(desk.log, 1, DAY_S + 1300 + 60.0 * number)
        desk.log.flush()
    desk.take()
    assert desk.view.watermark_us == round((DAY_S + 1300 + 59 * 60) * 1e6)
    total = desk.view.sketch_between(ACME, *ALL_US)
    assert total is not None
    assert total.sketch.predictions == 20 + 60 - TURN_FRAMES, (
        "what came before it was noticed is too late"
    )
    assert total.end_s < DAY_S + 2 * 86_400
    ends = [end for watched, end in desk.closed() if end > (DAY_S + 3600) * 1e6]
    assert ends[-1] < (DAY_S + year_s) * 1e6
    assert start_of(ends[-1], HOUR_US) == start_of(desk.view.watermark_us, HOUR_US)
