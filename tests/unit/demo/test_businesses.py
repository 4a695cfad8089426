"""The demo's data: what the README says of it."""

from collections import Counter

import pytest

from examples.demo.businesses import BUSINESSES, Business, read_rows


@pytest.mark.parametrize("business", BUSINESSES, ids=lambda business: business.tenant)
def test_every_label_has_forty_examples_to_train_on_and_some_to_test(business: Business) -> None:
    train = Counter(row.label for row in read_rows(business, "train"))
    test = Counter(row.label for row in read_rows(business, "test"))
    assert train.keys() == test.keys()
    assert min(train.values()) >= 40
    assert min(test.values()) >= 20


@pytest.mark.parametrize("business", BUSINESSES, ids=lambda business: business.tenant)
def test_no_text_is_in_both_splits(business: Business) -> None:
    train, test = ({row.text for row in read_rows(business, s)} for s in ("train", "test"))
    assert not train & test


def test_the_businesses_differ_in_labels_ranks_scalings_and_targets() -> None:
    counts = {len({row.label for row in read_rows(b, "train")}) for b in BUSINESSES}
    assert len(counts) == len(BUSINESSES) >= 3
    assert len({b.recipe.rank for b in BUSINESSES}) == len(BUSINESSES)
    assert len({b.recipe.targets for b in BUSINESSES}) == len(BUSINESSES)
    assert {b.recipe.rank_stabilised for b in BUSINESSES} == {True, False}


def test_a_floor_is_above_the_baseline() -> None:
    assert all(business.floor > business.baseline for business in BUSINESSES)
