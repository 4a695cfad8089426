import random

import numpy as np
import pytest

from service.trials import labels as labels_module
from service.trials import pairs
from service.trials.labels import ROWS_MIN, Labels, Twinned, rows_of_each
from service.trials.shown import Shown
from service.trials.spans import Arm
from service.trials.trial import Arms, Trial
from service.trials.wealth import Wealth

ARMS: tuple[Arm, ...] = ("canary", "live")


def evidence(labels: Labels) -> float:
    labels.settle()
    return round(float(labels.worse.log10()), 9)


def ask(shown: Shown, request: int, *, lost: int, won: int = 0, rows: int = 1) -> None:
    """Take a request's twins and labels; in some rows the canary alone was wrong, or live."""
    wrong, twin_wrong = (lost, won) if shown.version == "canary" else (won, lost)
    said = ["b" if wrong <= row < wrong + twin_wrong else "a" for row in range(rows)]
    shown.twins([1_000 * request + row for row in range(rows)], said)
    for row in range(rows):
        shown.label(1_000 * request + row, "a", right=row >= wrong)


def open_labels() -> Labels:
    """Return labels of both versions, on which neither was ahead."""
    labels = Labels()
    for request in range(3):
        both(labels, 900 + request, lost=0)
    labels.settle()
    assert labels.of_both
    return labels


def both(labels: Labels, request: int, *, lost: int, won: int = 0, rows: int = 1) -> None:
    """Take one request that each of the two answered, and that went alike."""
    for shown in (labels.canary, labels.live):
        ask(shown, request, lost=lost, won=won, rows=rows)


def test_a_pair_is_bet_on_once_its_label_and_its_twin_are_there() -> None:
    early, late = open_labels(), open_labels()
    early.canary.twins([1], ["refund"])
    assert evidence(early) == 0.0
    early.canary.label(1, "refund", right=False)
    late.canary.label(1, "refund", right=False)
    assert evidence(late) == 0.0
    late.canary.twins([1], ["refund"])
    assert evidence(early) == evidence(late) > 0.0
    assert early.canary.table == late.canary.table
    assert early.canary.table.canary_wrong == 1


def test_what_live_alone_has_wrong_of_its_own_answers_speaks_for_the_canary() -> None:
    labels = open_labels()
    ask(labels.canary, 1, lost=1)
    ask(labels.live, 1, lost=0, won=1)
    labels.settle()
    assert np.allclose(labels.worse.logs, pairs.log_gains(1.0) + pairs.log_gains(-1.0))
    assert (labels.canary.table.canary_wrong, labels.live.table.live_wrong) == (1, 1)


def test_what_the_canary_alone_has_wrong_beside_live_speaks_against_it() -> None:
    labels = open_labels()
    ask(labels.canary, 1, lost=0)
    ask(labels.live, 1, lost=1)
    assert evidence(labels) > 0.0
    assert labels.live.table.canary_wrong == 1


def test_the_rows_of_one_request_are_one_bet_on_their_mean() -> None:
    one, many, mixed = open_labels(), open_labels(), open_labels()
    both(one, 1, lost=1)
    both(many, 1, lost=50, rows=50)
    both(mixed, 1, lost=3, won=3, rows=10)
    assert evidence(one) == evidence(many) > 0.0
    assert evidence(mixed) == 0.0
    assert many.canary.table.canary_wrong == many.live.table.canary_wrong == 50


def test_a_request_is_bet_on_once_and_what_is_labelled_later_is_shown() -> None:
    labels = open_labels()
    labels.canary.twins(range(10), ["a"] * 10)
    for row in range(5):
        labels.canary.label(row, "a", right=False)
    before = evidence(labels)
    for row in range(5, 10):
        labels.canary.label(row, "a", right=False)
    assert evidence(labels) == before
    assert labels.canary.table.canary_wrong == 10
    ask(labels.canary, 2, lost=1)
    assert evidence(labels) > before


def test_a_request_counts_by_all_of_its_rows_that_both_answered() -> None:
    few, all_ = Labels(drawn=True), Labels(drawn=True)
    few.canary.twins(range(10), ["a"] * 10)
    few.canary.label(0, "a", right=False)
    ask(all_.canary, 1, lost=1, rows=10)
    assert evidence(few) == evidence(all_) > 0.0


def test_twins_that_are_dropped_make_the_requests_of_the_other_version_count_less() -> None:
    twinned = Twinned(keyed=False)
    of_live = set()
    for number in range(2_000):
        for arm in ARMS:
            twinned.drawn(arm)
            if arm == "canary" or number % 5 < 3:
                twinned.had(arm)
            of_live.add(twinned.weight("live"))
    assert twinned.weight("canary") == pytest.approx(0.6, abs=0.05)
    assert of_live == {1.0}


def test_who_asks_more_without_a_key_counts_as_much_and_with_keys_less() -> None:
    """Chance draws requests without a key; how many have labels decides nothing."""
    last = {}
    for keyed in (False, True):
        twinned = Twinned(keyed=keyed)
        for number in range(4_000):
            arm: Arm = "canary" if number % 4 else "live"
            twinned.drawn(arm)
            twinned.had(arm)
            last[keyed, arm] = twinned.weight(arm)
    assert last[False, "canary"] == last[False, "live"] == 1.0
    assert last[True, "canary"] == pytest.approx(0.34, abs=0.05)
    assert last[True, "live"] == 1.0


@pytest.mark.parametrize(
    ("of_canary", "of_live"), [((30, 0), (2, 0)), ((30, 0), (0, 0)), ((30, 300), (30, 20))]
)
def test_labels_of_one_version_alone_are_no_evidence(
    of_canary: tuple[int, int], of_live: tuple[int, int]
) -> None:
    """Of requests that one alone had wrong, and of such that neither was ahead in."""
    labels = Labels()
    for shown, (lost, alike) in ((labels.canary, of_canary), (labels.live, of_live)):
        for request in range(1_000):
            count = int(request < lost)
            if request < lost + alike:
                ask(shown, request, lost=count)
                labels.settle()
            else:
                shown.twins([1_000 * request], ["a"])
    ask(labels.canary, 5_000, lost=0)
    labels.settle()
    assert not labels.of_both


def test_labels_of_one_version_that_come_later_are_made_up_for() -> None:
    labels = Labels()
    for request in range(40):
        ask(labels.canary, request, lost=0)
        labels.live.twins([1_000 * request], ["a"])
        labels.settle()
    assert not labels.of_both
    for request in range(40):
        labels.live.label(1_000 * request, "a", right=True)
        labels.settle()
        if 5 <= request < 35:
            assert not labels.of_both, "no more than chance apart is not enough"
    assert labels.of_both


def test_labels_that_a_much_worse_version_gets_oftener_are_evidence() -> None:
    """Complaints about a canary that is wrong in half of its answers, and live in one of 100."""
    labels, draw = Labels(), random.Random(1)
    for request in range(600):
        for shown in (labels.canary, labels.live):
            lost, won = draw.random() < 0.5, draw.random() < 0.01
            if lost if shown is labels.canary else won:
                ask(shown, request, lost=int(lost and not won), won=int(won and not lost))
            else:
                shown.twins([1_000 * request], ["a"])
            labels.settle()
    assert labels.of_both
    assert evidence(labels) > 2.0


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
                    shown.twins([-1], ["a"])  # and nobody complains
                    continue
                request += 1
                ask(shown, request, lost=int(lost and not won), won=int(won and not lost))
        found[name] = evidence(labels)
    assert found["equal"] < 2.0 < found["worse"]


def test_a_label_that_comes_twice_is_bet_on_once() -> None:
    once, twice = Labels(drawn=True), Labels(drawn=True)
    for labels, times in ((once, 1), (twice, 3)):
        for shown in (labels.canary,):
            for key in range(12):
                shown.twins([key], ["refund"])
                for _ in range(times):
                    shown.label(key, "refund", right=False)
    assert evidence(once) == evidence(twice)
    assert (twice.canary.labelled, twice.canary.right) == (12, 0)
    assert (twice.canary.labelled, twice.bets) == (12, 12)


@pytest.mark.parametrize("version", ["canary", "live"])
def test_a_correction_changes_what_is_shown_and_no_bet(version: str) -> None:
    labels = open_labels()
    shown, other = labels.canary, labels.live
    if version == "live":
        shown, other = other, shown
    shown.twins([1], ["refund"])
    shown.label(1, "refund", right=False)
    before = evidence(labels)
    shown.label(1, "delivery", right=True)
    assert evidence(labels) == before != 0.0
    assert (shown.labelled, shown.right) == (4, 4)
    mine, its = ("live_wrong", "canary_wrong")
    if version == "live":
        mine, its = its, mine
    assert (getattr(shown.table, mine), getattr(shown.table, its)) == (1, 0)


def test_a_correction_before_the_twin_comes_is_shown_and_the_first_label_is_bet_on() -> None:
    labels, plain = Labels(drawn=True), Labels(drawn=True)
    for each in (labels, plain):
        each.canary.label(1, "refund", right=False)
    labels.canary.label(1, "delivery", right=True)
    for each in (labels, plain):
        each.canary.twins([1], ["refund"])
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
    worse, better = open_labels(), open_labels()
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
            each.canary.twins([key], ["a" if key % 10 else "b"])
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


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    labels = Labels()
    labels.keep(100)
    for key in range(25):
        labels.canary.twins([key], ["a"])
    for key in range(100, 125):
        labels.canary.label(key, "a", right=True)  # their twins never come
        labels.live.label(-key, "a", right=True)
    assert labels.kept == 60
    labels.canary.label(2, "a", right=False)  # its twin was forgotten
    labels.canary.label(24, "a", right=False)
    assert labels.canary.table.rows == 1
    for request in range(200, 240):
        ask(labels.canary, request, lost=0)
        labels.settle()
    assert labels.kept <= 100
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
        labels = Labels(drawn=True)
        for what, key in told:
            if what == "twin":
                labels.canary.twins([key], ["a" if key % 3 else "b"])
            else:
                labels.canary.label(key, "a", right=key % 2 == 0)
        table = labels.canary.table
        bets.add(evidence(labels))
        tables.add((table.both_right, table.canary_wrong, table.live_wrong, table.both_wrong))
    assert len(tables) == len(bets) == 1
