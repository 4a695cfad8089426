import random

from service.trials.labels import OTHERS_MAX, TWINS_MAX, Labels


def labels_with(own: int = 60, own_right: int = 54) -> Labels:
    """Return labels of live's own answers, and nothing of the canary."""
    labels = Labels()
    for number in range(own):
        labels.of_live(-1 - number, right=number < own_right)
    return labels


def evidence(labels: Labels) -> tuple[float, float]:
    worse = labels.worse
    return round(float(worse.by_pairs.log10()), 9), round(float(worse.by_strata.log10()), 9)


def test_a_pair_is_bet_on_once_its_label_and_its_twin_are_there() -> None:
    early, late = Labels(), Labels()
    early.twin(1, "refund")
    assert evidence(early) == (0.0, 0.0)
    early.of_canary(1, "refund", right=False)
    late.of_canary(1, "refund", right=False)
    assert evidence(late) == (0.0, 0.0)
    assert late.twin(1, "refund")
    assert evidence(early) == evidence(late)
    assert evidence(early)[0] > 0.0
    assert early.table == late.table
    assert early.table.canary_wrong == 1


def test_a_label_that_comes_twice_is_bet_on_once() -> None:
    once, twice = labels_with(), labels_with()
    for labels, times in ((once, 1), (twice, 3)):
        for key in range(12):
            labels.twin(key, "refund")
            for _ in range(times):
                labels.of_canary(key, "refund", right=False)
        labels.of_live(-1, right=True)
    assert evidence(once) == evidence(twice)
    assert (twice.canary.labelled, twice.canary.right) == (12, 0)
    assert twice.live.labelled == 60


def test_a_correction_changes_what_is_shown_and_no_bet() -> None:
    labels = labels_with()
    labels.twin(1, "refund")
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
        each.twin(1, "refund")
    assert evidence(labels) == evidence(plain)
    assert (labels.table.live_wrong, plain.table.canary_wrong) == (1, 1)
    assert labels.canary.right == 1


def test_a_label_without_a_twin_still_counts_in_strata() -> None:
    labels = labels_with()
    for key in range(4):
        labels.of_canary(key, "refund", right=False)
    by_pairs, by_strata = evidence(labels)
    assert by_pairs == 0.0
    assert by_strata > 0.0
    assert labels.table.rows == 0


def test_what_is_worse_in_one_direction_is_better_in_the_other() -> None:
    worse, better = Labels(), Labels()
    for key in range(16):
        right = key % 4 == 0
        worse.twin(key, "a" if not right else "b")
        worse.of_canary(key, "a", right=right)
        better.twin(key, "b" if not right else "a")
        better.of_canary(key, "a", right=not right)
    assert round(float(worse.worse.by_pairs.log10()), 9) > 0.0
    assert round(float(worse.worse.by_pairs.log10()), 6) == round(
        float(better.better.by_pairs.log10()), 6
    )


def test_pairs_count_where_live_is_as_good_beside_the_canary_as_alone() -> None:
    labels = labels_with(own=60, own_right=54)
    for key in range(40):
        labels.twin(key, "a" if key % 10 else "b")
        labels.of_canary(key, "a", right=key % 2 == 0)
    assert labels.pairs_count
    assert not labels.told_by_answers


def test_pairs_do_not_count_where_only_wrong_answers_are_labelled() -> None:
    labels = labels_with(own=60, own_right=0)
    for key in range(40):
        labels.twin(key, "a" if key % 10 else "b")
        labels.of_canary(key, "a", right=False)
    assert not labels.pairs_count
    assert labels.told_by_answers
    assert evidence(labels)[0] > 2.0, "pairs alone would have called it worse"
    assert evidence(labels)[1] <= 0.0


def test_pairs_do_not_count_before_live_has_labels_of_its_own() -> None:
    labels = labels_with(own=10, own_right=9)
    for key in range(40):
        labels.twin(key, "a")
        labels.of_canary(key, "a", right=False)
    assert not labels.pairs_count
    assert not labels.told_by_answers


def test_what_waits_is_bounded() -> None:
    labels = Labels()
    for key in range(TWINS_MAX + 5):
        labels.twin(key, "a")
    labels.of_canary(2, "a", right=False)  # its twin was forgotten
    labels.of_canary(TWINS_MAX, "a", right=False)
    assert labels.table.rows == 1
    for key in range(OTHERS_MAX + 10):
        labels.of_live(-1 - key, right=True)
    assert len(labels._live_rows) <= OTHERS_MAX


def test_the_order_of_twins_and_labels_does_not_change_what_is_shown() -> None:
    draw = random.Random(1)
    told = [("twin", key) for key in range(50)] + [("label", key) for key in range(50)]
    tables = set()
    for _ in range(5):
        draw.shuffle(told)
        labels = Labels()
        for what, key in told:
            if what == "twin":
                labels.twin(key, "a" if key % 3 else "b")
            else:
                labels.of_canary(key, "a", right=key % 2 == 0)
        table = labels.table
        tables.add((table.both_right, table.canary_wrong, table.live_wrong, table.both_wrong))
    assert len(tables) == 1
