import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitoring.backends.rows import BackendRows


def rows(count: int) -> BackendRows:
    numbers = np.arange(count, dtype=np.float32)[:, None]
    return BackendRows(numbers, 2 * numbers)


@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 5))
def test_drawn_rows_are_some_of_them_once_each_in_their_order(
    count: int, wanted: int, seed: int
) -> None:
    found = rows(count).drawn(wanted, seed)
    assert found.embeddings is not None
    kept = found.embeddings[:, 0].tolist()
    assert len(kept) == min(count, wanted)
    assert kept == sorted(set(kept))
    assert (found.probabilities == 2 * found.embeddings).all()
    again = rows(count).drawn(wanted, seed).embeddings
    assert again is not None
    assert (again == found.embeddings).all()


def test_the_last_rows_are_the_newest_and_embeddings_may_be_missing() -> None:
    found = rows(9).last(4)
    assert found.probabilities[:, 0].tolist() == [10, 12, 14, 16]
    without = BackendRows(None, rows(9).probabilities)
    assert without.last(4).embeddings is None
    assert without.drawn(4, 0).embeddings is None
    assert len(without.drawn(4, 0).probabilities) == 4
