import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.events.reader import LogReader
from service.trials import pairs
from service.trials.folding import fold
from service.trials.following import Following, place_at
from service.trials.trial import Arms, Trial
from tests.fakes.logs import DAY_S, Version, WrittenLog, written_log

LIVE, CANARY = Version(version=1), Version(version=2)
NAMES = [f"request-{number}" for number in range(200)]


def trial_of(**changes: Any) -> Trial:
    given: dict[str, Any] = {"revision": 2, "begun_s": DAY_S, **changes}
    return Trial(Arms("acme", "support", 2, 1, **given), alpha=0.01, objective_s=0.5)


def fold_all(folder: Path, trial: Trial) -> set[tuple[str, str]]:
    told = set()
    with LogReader(folder, "test") as reader:
        for batch in reader.batches():
            told |= fold(batch, {("acme", "support"): [trial]})
    return told


def ask(log: WrittenLog, count: int, version: Version, role: str, **others: Any) -> Sequence[str]:
    probabilities = np.tile(np.array([0.8, 0.1, 0.1], np.float32), (count, 1))
    given: dict[str, Any] = {"time_s": DAY_S + 1.0, "revision": 2, **others}
    return log.predictions(None, probabilities, version=version, role=role, **given)


def test_rows_of_one_request_are_one_request_and_its_seconds_count_once(tmp_path: Path) -> None:
    trial = trial_of()
    with written_log(tmp_path) as log:
        ask(log, 3, CANARY, "canary", request_id=NAMES[0], alone=True)
        ask(log, 2, CANARY, "canary", request_id=NAMES[1], alone=True, compute_s=0.7)
        # A caller may send one id with every request.
        ask(log, 2, LIVE, "live", request_id="same", alone=True, time_s=DAY_S + 2.0)
        ask(log, 2, LIVE, "live", request_id="same", alone=True, time_s=DAY_S + 3.0)
        log.flush()
        assert fold_all(tmp_path, trial) == {("acme", "support")}
    canary, live = trial.spans.of["canary"], trial.spans.of["live"]
    assert (canary.rows, canary.answered, canary.slow) == (5, 2, 1)
    assert (live.rows, live.answered, live.slow) == (4, 2, 0)
    assert list(canary.seconds) == pytest.approx([0.005, 0.701])


def test_latency_is_that_of_requests_that_were_chosen_to_go_without_a_twin(tmp_path: Path) -> None:
    trial = trial_of()
    with written_log(tmp_path) as log:
        for name in NAMES[:5]:
            ask(log, 2, CANARY, "canary", request_id=name, alone=True, compute_s=0.1)
        for name in NAMES[5:25]:  # their twins were dropped, or ride in the same pass
            alone = None if name == NAMES[5] else False  # the first, by a service that drew nothing
            ask(log, 2, CANARY, "canary", request_id=name, alone=alone, compute_s=0.9)
        for number, name in enumerate(NAMES[:10]):
            took_s = 0.1 if number < 3 else 0.9
            ask(log, 2, LIVE, "live", request_id=name, alone=number < 3, compute_s=took_s)
        log.flush()
        fold_all(tmp_path, trial)
    canary, live = trial.spans.of["canary"], trial.spans.of["live"]
    assert (canary.answered, canary.timed, canary.slow, canary.rows) == (25, 5, 0, 50)
    assert (live.answered, live.timed, live.slow) == (10, 3, 0)
    assert max(*canary.seconds, *live.seconds) < 0.2


def test_labels_that_come_together_are_one_bet_for_each_request(tmp_path: Path) -> None:
    one, other = trial_of(), trial_of()
    wrong, right = ([[low, 1.0 - low]] for low in (0.9, 0.1))
    shown = (
        ("canary", ((wrong, CANARY, "canary"), (right, LIVE, "paired"))),
        ("live", ((right, LIVE, "live"), (wrong, CANARY, "paired"))),
    )
    for trial, names in ((one, ["same"] * 6), (other, NAMES[:6])):
        folder = tmp_path / names[-1]
        with written_log(folder) as log:
            given: dict[str, Any] = {"time_s": DAY_S + 1.0, "revision": 2}
            for arm, rows in shown:
                ids = [f"{arm}-{number}" for number in range(6)]
                parts = [ids] if names[0] == names[1] else [[each] for each in ids]
                for part, name in zip(parts, names, strict=False):
                    both = {**given, "ids": part, "request_id": name}
                    for said, version, role in rows:
                        table = np.array(said * len(part), np.float32)
                        log.predictions(None, table, version=version, role=role, **both)
            log.flush()
            truths = [(f"{arm}-{number}", 1) for arm in ("canary", "live") for number in range(6)]
            log.labels(truths, time_s=DAY_S + 2.0)
            fold_all(folder, trial)
    for labels in (one.labels, other.labels):
        assert labels.canary.table.canary_wrong == labels.live.table.canary_wrong == 6
        assert (labels.canary.right, labels.live.right) == (0, 6)
    assert (one.labels.canary.told, one.labels.live.told, one.labels.of_both) == (1, 1, False)
    assert (other.labels.canary.told, other.labels.live.told, other.labels.of_both) == (6, 6, True)
    gain = pairs.log_gains(1.0)
    assert np.allclose(one.labels.worse.logs, 2 * gain)
    assert np.allclose(other.labels.worse.logs, 12 * gain)


def test_what_was_dropped_and_who_had_a_key_is_read_from_the_log(tmp_path: Path) -> None:
    trial = trial_of()
    with written_log(tmp_path) as log:
        for number, name in enumerate(NAMES):
            ids = [f"{name}-{role}" for role in ("canary", "live")]
            both: dict[str, Any] = {"alone": False, "keyed": number % 2 == 0, "request_id": name}
            ask(log, 1, CANARY, "canary", ids=ids[:1], **both)
            ask(log, 1, LIVE, "live", ids=ids[1:], **both)
            both["alone"] = None
            ask(log, 1, LIVE, "paired", ids=ids[:1], **both)
            if number % 4:  # else dropped: of half of those with a key
                ask(log, 1, CANARY, "paired", ids=ids[1:], **both)
        log.flush()
        fold_all(tmp_path, trial)
    labels = trial.labels
    assert (labels.canary.requests, labels.live.requests) == (200, 150)
    assert {one.weight for one in labels.live._asked.values()} == {1.0}
    keyed, plain = list(labels.canary._asked.values())[-2:]
    assert plain.weight == 1.0 > keyed.weight


def test_a_clock_that_is_set_back_ends_a_span() -> None:
    trial = trial_of(begun_s=0.0)
    written_s = 100_000.0
    trial.answered("live", [0.01] * 90, 90, written_s)
    written_s -= 3_600.0
    for _ in range(40):
        trial.answered("live", [0.01] * 90, 90, written_s)
        trial.failed("canary", 10, written_s)
        written_s += 10.1
    assert trial.proven == "failures"


def test_what_is_not_of_the_trial_is_passed_over(tmp_path: Path) -> None:
    trial = trial_of()
    with written_log(tmp_path) as log:
        ask(log, 1, CANARY, "canary", revision=1)
        ask(log, 1, CANARY, "pinned")
        ask(log, 1, CANARY, "shadow")
        ask(log, 1, Version(version=3), "canary")
        ask(log, 1, Version(version=3), "paired")
        ask(log, 1, Version(tenant="globex", version=2), "canary")
        ask(log, 1, Version(adapter="other", version=2), "canary")
        log.reference(np.zeros((2, 16)), np.full((2, 3), 1 / 3), time_s=DAY_S + 1.0)
        log.failures(3, time_s=DAY_S - 1.0, version=CANARY, role="canary")
        log.failures(3, time_s=DAY_S + 1.0, version=CANARY, role="live")
        log.flush()
        fold_all(tmp_path, trial)
    assert all(one.rows == one.failed == 0 for one in trial.spans.of.values())
    assert not trial.quarantined


def test_a_label_for_an_answer_from_before_the_trial_is_none_of_its_own(tmp_path: Path) -> None:
    trial = trial_of()
    with written_log(tmp_path) as log:
        [old] = ask(log, 1, CANARY, "canary", time_s=DAY_S - 5.0)
        [new] = ask(log, 1, CANARY, "canary", time_s=DAY_S + 5.0)
        log.labels([(old, 1), (new, 1)], time_s=DAY_S + 6.0)
        fold_all(tmp_path, trial)
    assert (trial.labels.canary.labelled, trial.labels.canary.right) == (1, 0)


def test_a_version_that_lacks_the_label_was_wrong(tmp_path: Path) -> None:
    trial = trial_of()
    with written_log(tmp_path) as log:
        [name] = ask(log, 1, CANARY, "canary")
        older = Version(version=1, labels=("refund", "delivery"))
        two = np.array([[0.2, 0.8]], np.float32)
        log.predictions(
            None, two, version=older, role="paired", time_s=DAY_S + 1.0, ids=[name], revision=2
        )
        log.label(name, 0, time_s=DAY_S + 2.0)
        fold_all(tmp_path, trial)
    assert trial.labels.canary.table.live_wrong == 1
    assert (trial.agreement.rows, trial.agreement.same) == (1, 0)


def test_reading_begins_behind_segments_that_are_older_than_the_trial(tmp_path: Path) -> None:
    with written_log(tmp_path) as log:
        ask(log, 1, CANARY, "canary")
    with written_log(tmp_path) as log:
        ask(log, 1, CANARY, "canary")
    first, second = sorted(tmp_path.glob("*/00000001.log"))
    os.utime(first, (1_000.0, 1_000.0))
    os.utime(second, (5_000.0, 5_000.0))
    assert {name: at.segment for name, at in place_at(tmp_path, 2_000.0).places.items()} == {
        first.parent.name: 2
    }
    assert place_at(tmp_path, 500.0).places == {}
    following = Following(tmp_path)
    assert list(following.news()) == []
    assert list(following.catch_up(2_000.0)) == []
    [batch] = following.news()
    assert batch.writer == second.parent.name
    [again] = following.catch_up(2_000.0)
    assert (again.writer, again.frame) == (batch.writer, batch.frame)
    following.stop()
    assert list(following.news()) == []
