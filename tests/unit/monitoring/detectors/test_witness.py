import numpy as np

from monitoring.detectors.axes import AXES, UNIT, Coordinates
from monitoring.detectors.heading import BLOCK, Heading
from monitoring.detectors.witness import LEVELS, STAKES, turn, witness_factors


def white(count: int, seed: int, shift: float = 0.0) -> Coordinates:
    raw = np.random.default_rng(seed).standard_normal((count, AXES))
    raw[:, 2] += shift
    coordinates: Coordinates = np.rint(raw * UNIT).astype(np.float32)
    return coordinates


def gain(reference: Coordinates, traffic: Coordinates) -> float:
    """Return the mean logarithm of what the best of the bets pays."""
    paid = witness_factors(len(reference), 0.0)
    heading = Heading.begin(AXES, len(LEVELS))
    logs = []
    for block in np.split(traffic, len(traffic) // BLOCK):
        if heading.is_known:
            logs.append(np.log(paid[heading.beyond(block @ heading.direction)]))
        heading.saw(block)
        turn(heading, reference)
    return float(np.concatenate(logs).mean(axis=0).max())


def test_it_gains_where_rows_shift_along_an_axis() -> None:
    assert gain(white(1000, 0), white(1600, 1, shift=1.0)) > 0.02


def test_it_loses_where_nothing_changed() -> None:
    assert max(gain(white(200, seed), white(1600, seed + 100)) for seed in range(20)) < 0


def test_no_bet_gains_in_the_mean_although_directions_lean_towards_the_references_error() -> None:
    for seed in range(20):
        reference, traffic = white(100, seed), white(4000, seed + 50)
        paid = witness_factors(100, 0.0)
        heading = Heading.begin(AXES, len(LEVELS))
        found = []
        for block in np.split(traffic, len(traffic) // BLOCK):
            if heading.is_known:
                found.append(paid[heading.beyond(block @ heading.direction)])
            heading.saw(block)
            turn(heading, reference)
        assert np.concatenate(found).mean(axis=0).max() < 1


def test_a_reference_too_small_for_a_margin_bets_next_to_nothing() -> None:
    assert witness_factors(50, 0.0).max() < 2.5
    assert witness_factors(50, 0.0).shape == (len(LEVELS) + 1, len(LEVELS) * len(STAKES))
