import random

import pytest

from service.trials import labels as labels_module
from service.trials import pairs
from service.trials.labels import ROWS_MIN, Labels, rows_of_each
from service.trials.trial import Arms, Trial
from service.trials.wealth import Wealth


def labels_with(own: int = 60, own_right: int = 54) -> Labels:
    """Return labels of live's own answers, and nothing of the canary."""
    labels = Labels()
    for number in range(own):
        labels.of_live(-1 - number, right=number < own_right)
    return labels


def evidence(labels: Labels) -> float:
    labels.settle()
    return round(float(labels.worse.log10()), 9)


def ask(labels: Labels, request: int, *, lost: int, won: int = 0, rows: int) -> None:
    """Take a request's twins and labels; of its rows the canary lost some, and live others."""
    for row in range(rows):
        labels.twin(1_000 * request + row, "b" if lost <= row < lost + won else "a", request)
    for row in range(rows):
        labels.of_canary(1_000 * request + row, "a", right=row >= lost)


def test_a_pair_is_bet_on_once_its_label_and_its_twin_are_there() -> None:
    early, late = Labels(), Labels()
    early.twin(1, "refund", 1)
    assert evidence(early) == 0.0
    early.of_canary(1, "refund", right=False)
    late.of_canary(1, "refund", right=False)
    assert evidence(late) == 0.0
    late.twin(1, "refund", 1)
    assert evidence(early) == evidence(late) > 0.0
    assert early.table == late.table
    assert early.table.canary_wrong == 1


def test_the_rows_of_one_request_are_one_bet_on_their_mean() -> None:
    one, many, both = Labels(), Labels(), Labels()
    ask(one, 1, lost=1, rows=1)
    ask(many, 1, lost=50, rows=50)
    ask(both, 1, lost=3, won=3, rows=10)
    assert evidence(one) == evidence(many) > 0.0
    assert evidence(both) == 0.0
    assert many.table.canary_wrong == 50


def test_a_request_is_bet_on_once_and_what_is_labelled_later_is_shown() -> None:
    labels = Labels()
    for row in range(10):
        labels.twin(row, "a", 1)
    for row in range(5):
        labels.of_canary(row, "a", right=False)
    before = evidence(labels)
    for row in range(5, 10):
        labels.of_canary(row, "a", right=False)
    assert evidence(labels) == before
    assert labels.table.canary_wrong == 10
    ask(labels, 2, lost=1, rows=1)
    assert evidence(labels) > before


def test_versions_that_differ_by_domain_and_not_on_the_whole_are_rarely_called_worse() -> None:
    """By single rows it would be more than one in ten."""
    draw, hits, by_rows = random.Random(7), 0, 0
    for _ in range(60):
        labels, single = Labels(), Wealth(pairs.BETTORS)
        hit = hit_by_rows = False
        for request in range(40):
            lost, won = sum(draw.random() < 0.2 for _ in range(50)), 0
            if draw.random() < 0.5:
                lost, won = won, lost
            ask(labels, request, lost=lost, won=won, rows=50)
            hit |= evidence(labels) >= 2.0
            single.bet(lost * pairs.log_gains(1.0) + won * pairs.log_gains(-1.0))
            hit_by_rows |= bool(single.log10() >= 2.0)
        hits += hit
        by_rows += hit_by_rows
    assert hits <= 1
    assert by_rows > 6


def test_a_label_that_comes_twice_is_bet_on_once() -> None:
    once, twice = labels_with(), labels_with()
    for labels, times in ((once, 1), (twice, 3)):
        for key in range(12):
            labels.twin(key, "refund", key)
            for _ in range(times):
                labels.of_canary(key, "refund", right=False)
        labels.of_live(-1, right=True)
    assert evidence(once) == evidence(twice)
    assert (twice.canary.labelled, twice.canary.right) == (12, 0)
    assert twice.live.labelled == 60


def test_a_correction_changes_what_is_shown_and_no_bet() -> None:
    labels = labels_with()
    labels.twin(1, "refund", 1)
    labels.of_canary(1, "refund", right=False)
    before = evidence(labels)
    labels.of_canary(1, "delivery", right=True)
    assert evidence(labels) == before
    assert (labels.canary.labelled, labels.canary.right) == (1, 1)
    assert (labels.table.live_wrong, labels.table.canary_wrong) == (1, 0)
    labels.of_live(-60, right=True)
    assert (labels.live.labelled, labels.live.right) == (60, 55)


def test_a_correction_before_the_twin_comes_is_shown_and_the_first_label_is_bet_on() -> None:
    labels, plain = Labels(), Labels()
    for each in (labels, plain):
        each.of_canary(1, "refund", right=False)
    labels.of_canary(1, "delivery", right=True)
    for each in (labels, plain):
        each.twin(1, "refund", 1)
    assert evidence(labels) == evidence(plain)
    assert (labels.table.live_wrong, plain.table.canary_wrong) == (1, 1)
    assert labels.canary.right == 1


def test_a_label_without_a_twin_is_shown_and_proves_nothing() -> None:
    labels = labels_with()
    for key in range(60):
        labels.of_canary(key, "refund", right=False)
    assert evidence(labels) == 0.0
    assert (labels.canary.labelled, labels.table.rows) == (60, 0)
    assert not labels.pairs_count


def test_what_is_worse_in_one_direction_is_better_in_the_other() -> None:
    worse, better = Labels(), Labels()
    for key in range(16):
        right = key % 4 == 0
        worse.twin(key, "a" if not right else "b", key)
        worse.of_canary(key, "a", right=right)
        better.twin(key, "b" if not right else "a", key)
        better.of_canary(key, "a", right=not right)
    assert evidence(worse) > 0.0 > evidence(better)
    assert evidence(worse) == round(float(better.better.log10()), 9)


def test_pairs_count_where_live_is_as_good_beside_the_canary_as_alone() -> None:
    labels = labels_with(own=60, own_right=54)
    for key in range(40):
        labels.twin(key, "a" if key % 10 else "b", key)
        labels.of_canary(key, "a", right=key % 2 == 0)
    assert labels.pairs_count
    assert not labels.told_by_answers


def test_pairs_do_not_count_where_only_wrong_answers_are_labelled() -> None:
    labels = labels_with(own=60, own_right=0)
    for key in range(40):
        labels.twin(key, "a" if key % 10 else "b", key)
        labels.of_canary(key, "a", right=False)
    assert not labels.pairs_count
    assert labels.told_by_answers
    assert evidence(labels) > 2.0, "pairs alone would have called it worse"


def test_pairs_do_not_count_before_live_has_labels_of_its_own() -> None:
    labels = labels_with(own=10, own_right=9)
    for key in range(40):
        labels.twin(key, "a", key)
        labels.of_canary(key, "a", right=False)
    assert not labels.pairs_count
    assert not labels.told_by_answers


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    labels = Labels()
    labels.keep(50)
    for key in range(25):
        labels.twin(key, "a", key)
    for key in range(100, 125):
        labels.of_canary(key, "a", right=True)  # their twins never come
        labels.of_live(-key, right=True)
    assert labels.kept == 40
    labels.of_canary(2, "a", right=False)  # its twin was forgotten
    labels.of_canary(24, "a", right=False)
    assert labels.table.rows == 1
    labels.keep(10)
    assert labels.kept <= 10


def test_all_trials_together_keep_no_more_than_one_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "ROWS_MAX", 8_000)
    trials = [
        Trial(Arms("acme", f"a{n}", 2, 1, 1, 0.0), alpha=0.01, objective_s=0.5) for n in range(3)
    ]
    for trial in trials:
        trial.keep(rows_of_each(len(trials)))
        for key in range(3_000):
            trial.twins([key], ["a"])
            trial.labelled("live", -key, "a", right=True, predicted_s=1.0, audit=False)
            trial.labelled("canary", key, "a", right=True, predicted_s=1.0, audit=False)
            trial.settle()
    assert sum(trial.labels.kept for trial in trials) <= 8_000
    assert rows_of_each(1_000_000) == ROWS_MIN


def test_the_order_of_twins_and_labels_does_not_change_what_is_shown() -> None:
    draw = random.Random(1)
    told = [("twin", key) for key in range(50)] + [("label", key) for key in range(50)]
    tables, bets = set(), set()
    for _ in range(5):
        draw.shuffle(told)
        labels = Labels()
        for what, key in told:
            if what == "twin":
                labels.twin(key, "a" if key % 3 else "b", key)
            else:
                labels.of_canary(key, "a", right=key % 2 == 0)
        table = labels.table
        bets.add(evidence(labels))
        tables.add((table.both_right, table.canary_wrong, table.live_wrong, table.both_wrong))
    assert len(tables) == len(bets) == 1
