"""Whatever dies when: the figures are those of one reading without a break, to the bit."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring.ingest.fold import Fold
from monitoring.state.state import MonitorState
from service.events.reader import LogReader
from tests.fakes.busy_log import write_busy_log
from tests.fakes.following import LIMITS, contents_of, follow, keeps
from tests.fakes.judging import FakeJudge

ROUNDS = 20


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("busy")
    write_busy_log(folder / "events", rounds=ROUNDS)
    follow(folder / "events", folder / "expected")
    return folder


def test_the_log_has_everything_in_it(busy: Path) -> None:
    contents = contents_of(busy / "expected")
    for table in ("watched", "objects", "labels", "shadows", "references", "adapters", "pools"):
        assert contents[table], table
    assert len(contents["watched"]) == LIMITS.versions_max
    kinds = {row[1] for row in contents["objects"]}
    assert kinds == set(range(15)) - {13}, "of all kinds; no reference came in part"


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 40), st.booleans()), min_size=1, max_size=6
    )
)
def test_figures_do_not_depend_on_deaths_and_checkpoints(
    busy: Path,
    tmp_path_factory: pytest.TempPathFactory,
    lives: list[tuple[int, int, bool]],
) -> None:
    folder = tmp_path_factory.mktemp("state")
    for kept, lost, twice in lives:
        live(busy / "events", folder, kept, lost, twice=twice)
    follow(busy / "events", folder)
    found, expected = contents_of(folder), contents_of(busy / "expected")
    for table, rows in expected.items():
        assert found[table] == rows, table


def live(events: Path, folder: Path, kept: int, lost: int, *, twice: bool) -> None:
    """Fold some frames, write a checkpoint, fold some more, and die."""
    judge = FakeJudge()
    state = MonitorState.open(folder, LIMITS, judge)
    fold = Fold(state, judge, keeps)
    with LogReader(events, "test", cursor=state.cursor) as reader:
        for number, batch in enumerate(reader.batches(), 1):
            fold.take(batch)
            if number == kept or (twice and number == kept // 2):
                state.checkpoint(reader.cursor())
            if number >= kept + lost:
                break
    state.close()


def test_totals_only_grow_and_places_only_move_on(busy: Path, tmp_path: Path) -> None:
    places = []
    for _ in range(5):
        live(busy / "events", tmp_path / "state", 12, 5, twice=False)
        state = MonitorState.look(tmp_path / "state", LIMITS, FakeJudge())
        places.append((state.log.events, sum(p.frame for p in state.cursor.places.values())))
        state.close()
    assert all(before[0] < after[0] for before, after in pairwise(places))
