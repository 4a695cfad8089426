import random

import numpy as np
import pytest

from service.trials import labels as labels_module
from service.trials import pairs
from service.trials.labels import ROWS_MIN, Labels, rows_of_each
from service.trials.shown import Shown
from service.trials.trial import Arms, Trial
from service.trials.wealth import Wealth


def evidence(labels: Labels) -> float:
    labels.settle()
    return round(float(labels.worse.log10()), 9)


def ask(shown: Shown, request: int, *, lost: int, won: int = 0, rows: int = 1) -> None:
    """Take a request's twins and labels; in some rows the canary alone was wrong, or live."""
    wrong, twin_wrong = (lost, won) if shown.version == "canary" else (won, lost)
    for row in range(rows):
        said = "b" if wrong <= row < wrong + twin_wrong else "a"
        shown.twin(1_000 * request + row, said, request)
    shown.requests += 1
    for row in range(rows):
        shown.label(1_000 * request + row, "a", right=row >= wrong)


def both(labels: Labels, request: int, *, lost: int, won: int = 0, rows: int = 1) -> None:
    """Take one request that each of the two answered, and that went alike."""
    for shown in (labels.canary, labels.live):
        ask(shown, request, lost=lost, won=won, rows=rows)


def test_a_pair_is_bet_on_once_its_label_and_its_twin_are_there() -> None:
    early, late = Labels(), Labels()
    early.canary.twin(1, "refund", 1)
    assert evidence(early) == 0.0
    early.canary.label(1, "refund", right=False)
    late.canary.label(1, "refund", right=False)
    assert evidence(late) == 0.0
    late.canary.twin(1, "refund", 1)
    assert evidence(early) == evidence(late) > 0.0
    assert early.canary.table == late.canary.table
    assert early.canary.table.canary_wrong == 1


def test_what_live_alone_has_wrong_of_its_own_answers_speaks_for_the_canary() -> None:
    labels = Labels()
    ask(labels.canary, 1, lost=1)
    ask(labels.live, 1, lost=0, won=1)
    labels.settle()
    assert np.allclose(labels.worse.logs, pairs.log_gains(1.0) + pairs.log_gains(-1.0))
    assert (labels.canary.table.canary_wrong, labels.live.table.live_wrong) == (1, 1)


def test_what_the_canary_alone_has_wrong_beside_live_speaks_against_it() -> None:
    labels = Labels()
    ask(labels.canary, 1, lost=0)
    ask(labels.live, 1, lost=1)
    assert evidence(labels) > 0.0
    assert labels.live.table.canary_wrong == 1


def test_the_rows_of_one_request_are_one_bet_on_their_mean() -> None:
    one, many, mixed = Labels(), Labels(), Labels()
    both(one, 1, lost=1)
    both(many, 1, lost=50, rows=50)
    both(mixed, 1, lost=3, won=3, rows=10)
    assert evidence(one) == evidence(many) > 0.0
    assert evidence(mixed) == 0.0
    assert many.canary.table.canary_wrong == many.live.table.canary_wrong == 50


def test_a_request_is_bet_on_once_and_what_is_labelled_later_is_shown() -> None:
    labels = Labels()
    for row in range(10):
        labels.canary.twin(row, "a", 1)
    for row in range(5):
        labels.canary.label(row, "a", right=False)
    before = evidence(labels)
    for row in range(5, 10):
        labels.canary.label(row, "a", right=False)
    assert evidence(labels) == before
    assert labels.canary.table.canary_wrong == 10
    ask(labels.canary, 2, lost=1)
    assert evidence(labels) > before


def test_requests_of_the_commoner_version_count_less() -> None:
    """As where a caller with a key asks more than his share, or twins were dropped."""
    labels = Labels()
    assert labels.weights == (1.0, 1.0)
    labels.canary.requests, labels.live.requests = 80, 980
    assert labels.weights == (1.0, 0.1)
    labels.canary.requests, labels.live.requests = 980, 480
    assert labels.weights == (0.5, 1.0)
    ask(labels.canary, 1, lost=1)
    half = evidence(labels)
    whole = Labels()
    ask(whole.canary, 1, lost=1)
    assert 0.0 < half < evidence(whole)


@pytest.mark.parametrize(("of_canary", "of_live"), [(9, 30), (30, 9), (30, 0), (401, 20)])
def test_labels_of_one_version_alone_are_no_evidence(of_canary: int, of_live: int) -> None:
    labels = Labels()
    for request in range(of_canary):
        ask(labels.canary, request, lost=1)
    for request in range(of_live):
        ask(labels.live, request, lost=1)
    labels.canary.requests = labels.live.requests = 1_000
    labels.settle()
    assert not labels.of_both
    assert labels.bets == of_canary + of_live


def test_labels_that_one_version_gets_oftener_are_evidence() -> None:
    labels = Labels()
    for request in range(100):
        ask(labels.canary, request, lost=1)
    for request in range(10):
        ask(labels.live, request, lost=1)
    labels.canary.requests = labels.live.requests = 1_000
    labels.settle()
    assert labels.of_both


def test_versions_that_differ_by_domain_and_not_on_the_whole_are_rarely_called_worse() -> None:
    """By single rows it would be more than one in ten."""
    draw, hits, by_rows = random.Random(7), 0, 0
    for _ in range(60):
        labels, single = Labels(), Wealth(pairs.BETTORS)
        hit = hit_by_rows = False
        for request in range(40):
            for shown in (labels.canary, labels.live):
                lost, won = sum(draw.random() < 0.2 for _ in range(50)), 0
                if draw.random() < 0.5:
                    lost, won = won, lost
                ask(shown, request, lost=lost, won=won, rows=50)
                single.bet(lost * pairs.log_gains(1.0) + won * pairs.log_gains(-1.0))
            hit |= evidence(labels) >= 2.0
            hit_by_rows |= bool(single.log10() >= 2.0)
        hits += hit
        by_rows += hit_by_rows
    assert hits <= 1
    assert by_rows > 6


@pytest.mark.parametrize("seed", range(3))
def test_complaints_about_versions_that_are_equal_prove_nothing_and_about_one_worse_do(
    seed: int,
) -> None:
    """Only wrong answers are labelled, of the version that was shown."""
    draw, found = random.Random(seed), {}
    for name, worse in (("equal", 0.0), ("worse", 0.2)):
        labels = Labels()
        request = 0
        while request < 400:
            for shown in (labels.canary, labels.live):
                lost, won = draw.random() < 0.2 + worse, draw.random() < 0.2
                if not (lost if shown is labels.canary else won):
                    shown.requests += 1  # and nobody complains
                    continue
                request += 1
                ask(shown, request, lost=int(lost and not won), won=int(won and not lost))
        found[name] = evidence(labels)
    assert found["equal"] < 2.0 < found["worse"]


def test_a_label_that_comes_twice_is_bet_on_once() -> None:
    once, twice = Labels(), Labels()
    for labels, times in ((once, 1), (twice, 3)):
        for shown in (labels.canary, labels.live):
            for key in range(12):
                shown.twin(key, "refund", key)
                for _ in range(times):
                    shown.label(key, "refund", right=False)
    assert evidence(once) == evidence(twice)
    assert (twice.canary.labelled, twice.canary.right) == (12, 0)
    assert (twice.live.labelled, twice.bets) == (12, 24)


@pytest.mark.parametrize("version", ["canary", "live"])
def test_a_correction_changes_what_is_shown_and_no_bet(version: str) -> None:
    labels = Labels()
    shown, other = labels.canary, labels.live
    if version == "live":
        shown, other = other, shown
    shown.twin(1, "refund", 1)
    shown.label(1, "refund", right=False)
    before = evidence(labels)
    shown.label(1, "delivery", right=True)
    assert evidence(labels) == before != 0.0
    assert (shown.labelled, shown.right) == (1, 1)
    mine, its = ("live_wrong", "canary_wrong")
    if version == "live":
        mine, its = its, mine
    assert (getattr(shown.table, mine), getattr(shown.table, its)) == (1, 0)


def test_a_correction_before_the_twin_comes_is_shown_and_the_first_label_is_bet_on() -> None:
    labels, plain = Labels(), Labels()
    for each in (labels, plain):
        each.canary.label(1, "refund", right=False)
    labels.canary.label(1, "delivery", right=True)
    for each in (labels, plain):
        each.canary.twin(1, "refund", 1)
    assert evidence(labels) == evidence(plain)
    assert (labels.canary.table.live_wrong, plain.canary.table.canary_wrong) == (1, 1)
    assert labels.canary.right == 1


def test_a_label_without_a_twin_is_shown_and_proves_nothing() -> None:
    labels = Labels()
    for key in range(60):
        labels.canary.label(key, "refund", right=False)
        labels.live.label(key, "refund", right=True)
    assert evidence(labels) == 0.0
    assert (labels.canary.labelled, labels.live.right) == (60, 60)
    assert labels.pairs == labels.bets == 0


def test_what_is_worse_in_one_direction_is_better_in_the_other() -> None:
    worse, better = Labels(), Labels()
    for request in range(16):
        both(worse, request, lost=int(request % 4 > 0), won=int(request % 4 == 0))
        both(better, request, lost=int(request % 4 == 0), won=int(request % 4 > 0))
    assert evidence(worse) > 0.0 > evidence(better)
    assert evidence(worse) == round(float(better.better.log10()), 9)


def test_it_is_told_where_only_wrong_answers_are_labelled() -> None:
    labels, sound = Labels(), Labels()
    for key in range(60):
        labels.live.label(key, "a", right=False)
        sound.live.label(key, "a", right=key % 10 > 0)
    for key in range(40):
        for each in (labels, sound):
            each.canary.twin(key, "a" if key % 10 else "b", key)
            each.canary.label(key, "a", right=False)
    assert labels.told_by_answers
    assert not sound.told_by_answers
    few = Labels()
    for key in range(10):
        few.live.label(key, "a", right=False)
    assert not few.told_by_answers


def test_drawn_labels_need_none_of_the_other_version() -> None:
    drawn, half = Labels(drawn=True), Labels()
    for labels in (drawn, half):
        for request in range(40):
            ask(labels.canary, request, lost=1)
        labels.settle()
    assert drawn.of_both
    assert not half.of_both
    assert half.worse.log10() < drawn.worse.log10()


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    labels = Labels()
    labels.keep(80)
    for key in range(25):
        labels.canary.twin(key, "a", key)
    for key in range(100, 125):
        labels.canary.label(key, "a", right=True)  # their twins never come
        labels.live.label(-key, "a", right=True)
    assert labels.kept == 50
    labels.canary.label(2, "a", right=False)  # its twin was forgotten
    labels.canary.label(24, "a", right=False)
    assert labels.canary.table.rows == 1
    for request in range(200, 240):
        ask(labels.canary, request, lost=0)
        labels.settle()
    assert labels.kept <= 80
    labels.keep(10)
    assert labels.kept <= 10


def test_all_trials_together_keep_no_more_than_one_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "ROWS_MAX", 16_000)
    trials = [
        Trial(Arms("acme", f"a{n}", 2, 1, 1, 0.0), alpha=0.01, objective_s=0.5) for n in range(3)
    ]
    for trial in trials:
        trial.keep(rows_of_each(len(trials)))
        for key in range(3_000):
            trial.twins("canary", [key], ["a"])
            trial.labelled("live", -key, "a", right=True, predicted_s=1.0, audit=False)
            trial.labelled("canary", key, "a", right=True, predicted_s=1.0, audit=False)
            trial.settle()
    assert sum(trial.labels.kept for trial in trials) <= 16_000
    assert rows_of_each(1_000_000) == ROWS_MIN


def test_the_order_of_twins_and_labels_does_not_change_what_is_shown() -> None:
    draw = random.Random(1)
    told = [(what, key) for what in ("twin", "label") for key in range(50)]
    tables, bets = set(), set()
    for _ in range(5):
        draw.shuffle(told)
        labels = Labels()
        for what, key in told:
            if what == "twin":
                labels.canary.twin(key, "a" if key % 3 else "b", key)
            else:
                labels.canary.label(key, "a", right=key % 2 == 0)
        table = labels.canary.table
        bets.add(evidence(labels))
        tables.add((table.both_right, table.canary_wrong, table.live_wrong, table.both_wrong))
    assert len(tables) == len(bets) == 1
