import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring import codec
from monitoring.detectors import watch
from monitoring.rows import HalfArray
from tests.unit.monitoring.detectors.made_windows import HIDDEN, draw, reference_of

MADE = watch.baseline(reference_of(draw(400, 0)), seed=0, tolerance=0.05)
assert MADE is not None
BASELINE = MADE
TRAFFIC = draw(90, 1, foreign=0.3).embeddings  # for tests of bits: enough happens in it


def run(
    traffic: HalfArray, length: float, baseline: watch.Baseline = BASELINE
) -> tuple[list[int], watch.State]:
    state = watch.State.begin(baseline)
    return watch.update(baseline, state, traffic, length), state


def test_foreign_rows_raise_an_alarm_soon() -> None:
    alarms, _ = run(draw(60, 2, foreign=1.0).embeddings, 1e9)
    assert alarms
    assert alarms[0] < 20


def test_so_does_a_share_of_them_beyond_the_tolerance() -> None:
    alarms, _ = run(draw(400, 3, foreign=0.4).embeddings, 1e6)
    assert alarms
    assert alarms[0] < 200


def test_so_does_another_class_mix_although_every_row_is_typical() -> None:
    alarms, _ = run(draw(600, 4, mix=(0.0, 0.0, 0.0, 1.0)).embeddings, 1e6)
    assert alarms
    assert alarms[0] < 300


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_false_alarms_are_rarer_than_the_run_length(tolerance: float) -> None:
    """With 1 % of events sent twice, and as much drift as is tolerated."""
    length, rows, raised = 250.0, 1000, 0
    for seed in range(15):
        made = watch.baseline(reference_of(draw(200, seed)), seed=seed, tolerance=tolerance)
        assert made is not None
        traffic = draw(rows, 100 + seed, foreign=tolerance).embeddings
        twice = np.random.default_rng(seed).random(rows - 1) < 0.01
        traffic[1:][twice] = traffic[:-1][twice]
        raised += len(run(traffic, length, made)[0])
    assert raised <= 15 * rows / length


def test_a_lower_tolerance_is_quicker() -> None:
    found = []
    for tolerance in (0.0, 0.2):
        made = watch.baseline(reference_of(draw(400, 0)), seed=0, tolerance=tolerance)
        assert made is not None
        found.append(run(draw(300, 5, foreign=0.6).embeddings, 1e6, made)[0][0])
    assert found[0] < found[1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=8))
def test_bits_do_not_depend_on_how_rows_are_split_over_calls(cuts: list[int]) -> None:
    whole, expected = run(TRAFFIC, 300.0)
    assert whole  # alarms are among what must not change
    state, found = watch.State.begin(BASELINE), []
    edges = [0, *sorted(cuts), 90]
    for start, stop in pairwise(edges):
        part = watch.update(BASELINE, state, TRAFFIC[start:stop], 300.0)
        found += [start + row for row in part]
    assert found == whole
    assert codec.encode(state) == codec.encode(expected)


@pytest.mark.parametrize("after", [0, 1, 16, 37])
def test_a_state_written_down_and_read_goes_on_as_if_nothing_happened(after: int) -> None:
    _, expected = run(TRAFFIC, 300.0)
    _, state = run(TRAFFIC[:after], 300.0)
    read = codec.decode(codec.encode(state), watch.State)
    baseline = codec.decode(codec.encode(BASELINE), watch.Baseline)
    watch.update(baseline, read, TRAFFIC[after:], 300.0)
    assert codec.encode(read) == codec.encode(expected)


def test_the_same_reference_and_seed_give_the_same_baseline() -> None:
    again = watch.baseline(reference_of(draw(400, 0)), seed=0, tolerance=0.05)
    assert codec.encode(again) == codec.encode(BASELINE)


def test_a_state_does_not_grow() -> None:
    _, early = run(draw(20, 6).embeddings, 1e9)
    _, late = run(draw(3000, 6).embeddings, 1e9)
    assert len(codec.encode(late)) <= len(codec.encode(early)) + 16  # longer numbers
    assert len(codec.encode(late)) < 4096


def test_a_baseline_is_bounded_whatever_the_reference() -> None:
    large = watch.baseline(reference_of(draw(6000, 7)), seed=0, tolerance=0.05)
    assert large is not None
    assert len(large.coordinates) <= 1000
    assert large.sample.nbytes <= 180_000
    assert len(codec.encode(large)) < 300_000
    assert large.rows == 6000


def test_evidence_begins_anew_after_an_alarm_and_must_be_raised_again() -> None:
    foreign = draw(60, 8, foreign=1.0).embeddings
    (first, second, *_), _ = run(foreign, 1e6)
    _, state = run(foreign[: first + 1], 1e6)
    assert watch.evidence_log10(state, 1e6) is None
    assert (state.alarms, watch.rows_since_alarm(state)) == (1, 0)
    assert second - first > 3
    assert watch.update(BASELINE, state, foreign[first + 1 :], 1e6)[0] == second - first - 1


def test_rows_since_the_last_alarm_are_counted() -> None:
    alarms, state = run(draw(60, 8, foreign=1.0).embeddings, 1e6)
    assert watch.rows_since_alarm(state) == 59 - alarms[-1]
    assert state.alarms == len(alarms)
    _, calm = run(draw(20, 9).embeddings, 1e6)
    assert watch.rows_since_alarm(calm) is None


def test_evidence_is_told_in_units_of_the_run_length() -> None:
    traffic = draw(40, 10).embeddings
    (_, short), (_, long) = run(traffic, 1e6), run(traffic, 1e9)
    low, high = watch.evidence_log10(short, 1e6), watch.evidence_log10(long, 1e9)
    assert low is not None
    assert high == pytest.approx(low)
    assert low < 6


def test_a_watch_that_saw_nothing_has_no_evidence() -> None:
    assert watch.evidence_log10(watch.State.begin(BASELINE), 1e6) is None


def test_an_alarm_is_raised_where_the_evidence_comes_to_the_run_length() -> None:
    foreign = draw(12, 11, foreign=1.0).embeddings
    _, before = run(foreign[:11], 1e30)
    _, after = run(foreign, 1e30)
    found = watch.evidence_log10(before, 1e30), watch.evidence_log10(after, 1e30)
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] < found[1] - 0.1
    reached = 10 ** found[1]
    assert run(foreign, reached * 0.999)[0] == [11]
    assert run(foreign, reached * 1.001)[0] == []


def test_rows_may_have_run_lengths_of_their_own() -> None:
    _, expected = run(TRAFFIC, 300.0)
    _, same = run(TRAFFIC, 300.0)
    state = watch.State.begin(BASELINE)
    watch.update(BASELINE, state, TRAFFIC, np.full(90, 300.0))
    assert codec.encode(state) == codec.encode(expected) == codec.encode(same)


def test_rows_that_may_spend_nothing_never_raise_an_alarm() -> None:
    alarms, state = run(draw(200, 12, foreign=1.0).embeddings, math.inf)
    assert alarms == []
    assert watch.evidence_log10(state, 1e6) is None
    assert state.rows == 200


def test_what_is_spent_before_a_change_counts_after_it() -> None:
    """The evidence of rows that may spend nothing grows from what earlier rows spent."""
    foreign = draw(100, 13, foreign=1.0).embeddings
    lengths = np.full(100, math.inf)
    lengths[0] = 1000.0
    state = watch.State.begin(BASELINE)
    assert len(watch.update(BASELINE, state, foreign, lengths)) == 1


@pytest.mark.parametrize("length", [0.0, -5.0, math.nan])
def test_a_run_length_that_is_none_is_refused(length: float) -> None:
    state = watch.State.begin(BASELINE)
    with pytest.raises(ValueError, match="run length"):
        watch.update(BASELINE, state, TRAFFIC, length)
    assert codec.encode(state) == codec.encode(watch.State.begin(BASELINE))


@pytest.mark.parametrize("value", [math.nan, math.inf, 9.0])
def test_an_absurd_embedding_is_refused_and_nothing_taken_in(value: float) -> None:
    broken = TRAFFIC.copy()
    broken[40, 3] = value
    state = watch.State.begin(BASELINE)
    with pytest.raises(ValueError, match="embedding"):
        watch.update(BASELINE, state, broken, 300.0)
    assert codec.encode(state) == codec.encode(watch.State.begin(BASELINE))


def test_no_rows_change_nothing() -> None:
    state = watch.State.begin(BASELINE)
    assert watch.update(BASELINE, state, np.zeros((0, HIDDEN), np.float16), 300.0) == []
    assert codec.encode(state) == codec.encode(watch.State.begin(BASELINE))


def test_a_reference_without_embeddings_or_rows_enough_has_no_baseline() -> None:
    assert watch.baseline(reference_of(draw(80, 0), embedded=False), seed=0, tolerance=0.1) is None
    assert watch.baseline(reference_of(draw(49, 0)), seed=0, tolerance=0.1) is None
    assert watch.baseline(reference_of(draw(50, 0)), seed=0, tolerance=0.1) is not None


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, math.nan])
def test_a_tolerance_that_is_no_share_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        watch.baseline(reference_of(draw(60, 0)), seed=0, tolerance=tolerance)


def test_rows_that_are_all_alike_are_watched_too() -> None:
    alike = draw(80, 0)
    alike.embeddings[:] = alike.embeddings[0]
    made = watch.baseline(reference_of(alike), seed=0, tolerance=0.05)
    assert made is not None
    assert run(alike.embeddings, 100.0, made)[0] == []
    assert run(draw(60, 1).embeddings, 1e6, made)[0]


def test_the_weights_of_the_bets_add_up_to_one() -> None:
    assert BASELINE.weights.sum() == pytest.approx(1)
    bets = [table.shape[1] for table in (BASELINE.far, BASELINE.newcomer, BASELINE.half_space)]
    assert sum(bets) == len(BASELINE.weights)


def test_a_spell_tells_the_fleet_whether_its_rows_are_the_references() -> None:
    _, foreign = run(draw(40, 14, foreign=1.0).embeddings, 1e6)
    _, own = run(draw(40, 15).embeddings, 1e6)
    against, none = watch.taken(foreign), watch.taken(own)
    assert against is not None
    assert none is not None
    assert against > 20
    assert none < 1


def test_a_spell_is_taken_once_and_only_when_it_has_rows_enough() -> None:
    state = watch.State.begin(BASELINE)
    watch.update(BASELINE, state, draw(7, 16).embeddings, 1e6)
    assert watch.taken(state) is None
    watch.update(BASELINE, state, draw(1, 17).embeddings, 1e6)
    assert watch.taken(state) is not None
    assert watch.taken(state) is None
    assert state.spell_rows == 0


def test_the_evidence_of_a_spell_has_a_mean_of_at_most_one_while_nothing_changed() -> None:
    found = []
    for seed in range(60):
        state = watch.State.begin(BASELINE)
        traffic = draw(160, 200 + seed).embeddings
        for part in np.split(traffic, 10):
            watch.update(BASELINE, state, part, 1e6)
            found.append(watch.taken(state))
    assert np.mean([each for each in found if each is not None]) < 1


def test_a_change_that_lasts_pays_more_in_each_spell_than_in_the_first() -> None:
    state, found = watch.State.begin(BASELINE), []
    watch.update(BASELINE, state, draw(100, 18).embeddings, 1e6)
    watch.taken(state)
    for part in np.split(draw(160, 19, foreign=0.4).embeddings, 8):
        watch.update(BASELINE, state, part, 1e6)
        found.append(watch.taken(state))
    logs = np.log10([each for each in found if each is not None])
    assert len(logs) == 8
    assert logs[4:].mean() > logs[:2].mean()
    assert logs[4:].mean() > 0


def test_a_spell_as_long_as_ever_has_evidence_that_is_a_number() -> None:
    for traffic in (draw(8000, 20), draw(2000, 21, foreign=1.0)):
        _, state = run(traffic.embeddings, 1e9)
        evidence = watch.taken(state)
        assert evidence is not None
        assert 0 < evidence <= 1e12
        watch.update(BASELINE, state, draw(8, 22).embeddings, 1e9)
        after = watch.taken(state)
        assert after is not None
        assert 0 < after < 10


def test_a_state_from_before_there_were_stakes_of_spells_goes_on() -> None:
    _, state = run(draw(20, 23).embeddings, 1e6)
    before = codec.encode(state)
    fields = msgspec.msgpack.decode(before)
    for name in ("spell_paid", "spell_stakes"):
        del fields[name]
    read = codec.decode(msgspec.msgpack.encode({**fields, "spell": 0.5}), watch.State)
    watch.update(BASELINE, read, draw(8, 24).embeddings, 1e6)
    assert watch.taken(read) is not None
    assert read.rows == 28
