import numpy as np
import pytest

from monitoring.detectors.weights import weigh
from tests.unit.monitoring.detectors.made_labels import drawn_labels, labelled_of

SURE = np.full(4, 0.9)
RIGHT = np.array([True, False, True, True])


def test_without_an_audit_share_all_labels_weigh_one() -> None:
    found = weigh(drawn_labels(30, 0))
    np.testing.assert_array_equal(found.weights, np.ones(30))
    assert found.counts.all()
    assert not found.is_weighted
    assert found.left_out == 0


def test_a_drawn_label_stands_for_all_that_were_not_and_complaints_for_none() -> None:
    found = weigh(
        labelled_of(
            SURE,
            RIGHT,
            audit=np.array([True, False, True, False]),
            audit_probability=np.array([0.05, 0.05, 0.25, 0.0]),
        )
    )
    np.testing.assert_allclose(found.weights, [20.0, 0.0, 4.0, 1.0])
    np.testing.assert_array_equal(found.counts, [True, False, True, True])
    assert found.is_weighted
    assert found.left_out == 1


@pytest.mark.parametrize(
    ("heavy", "light", "least", "reason"),
    [
        (0, 12, 50, "too few labels: 12 of 50"),
        (0, 50, 50, None),
        (50, 0, 50, None),  # the same weight for all, however heavy
        (1, 100, 50, "too few labels: 3 of 50 (101 of unequal weight tell no more)"),
        (300, 100, 50, None),
    ],
)
def test_labels_count_by_how_much_they_tell(
    heavy: int, light: int, least: int, reason: str | None
) -> None:
    count = heavy + light
    probability = np.where(np.arange(count) < heavy, 0.01, 0.0)
    found = weigh(
        labelled_of(
            np.full(count, 0.9),
            np.ones(count, dtype=np.bool_),
            audit=probability > 0,
            audit_probability=probability,
        )
    )
    assert found.too_few(least) == reason


def test_the_reason_names_complaints_that_do_not_count() -> None:
    found = weigh(
        labelled_of(
            SURE,
            RIGHT,
            audit=np.array([True, False, False, False]),
            audit_probability=np.full(4, 0.1),
        )
    )
    expected = "too few labels: 1 of 50; 3 that came by themselves do not count"
    assert found.too_few(50) == expected


def test_no_labels_are_too_few() -> None:
    assert weigh(drawn_labels(0, 0)).too_few(10) == "too few labels: 0 of 10"
