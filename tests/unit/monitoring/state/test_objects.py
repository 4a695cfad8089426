from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring.state import objects
from monitoring.state.database import Database
from monitoring.state.kinds import Codec, Kind
from monitoring.state.objects import Objects

CODECS = {
    Kind.MEMO: Codec(bytes, bytes),
    Kind.HISTORY: Codec(bytes, list),
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path)
    made.prepare()
    yield made
    made.close()


def opened(database: Database, loaded_bytes: int = 1 << 20) -> Objects:
    return Objects(database, CODECS, loaded_bytes)


def checkpoint(database: Database, some: Objects) -> None:
    changes = some.changes()
    with database.write() as connection:
        objects.write(connection, changes)
    some.written()


def test_what_was_put_is_there_before_and_after_a_checkpoint(database: Database) -> None:
    some = opened(database)
    some.put(1, Kind.MEMO, b"a")
    some.put(1, Kind.MEMO, b"b", 7)
    assert some.get(1, Kind.MEMO) == b"a"
    checkpoint(database, some)
    again = opened(database)
    assert again.several(1, Kind.MEMO, [7, 0, 3]) == [b"b", b"a", None]


def test_without_a_checkpoint_nothing_is_kept(database: Database) -> None:
    opened(database).put(1, Kind.MEMO, b"a")
    assert opened(database).get(1, Kind.MEMO) is None


def test_a_change_in_place_is_written(database: Database) -> None:
    some = opened(database)
    some.add(1, Kind.HISTORY, [1])
    checkpoint(database, some)
    some.edit(1, Kind.HISTORY).append(2)
    checkpoint(database, some)
    assert opened(database).get(1, Kind.HISTORY) == [1, 2]


def test_what_only_was_read_is_not_written(database: Database) -> None:
    some = opened(database)
    some.put(1, Kind.MEMO, b"a")
    checkpoint(database, some)
    again = opened(database)
    again.get(1, Kind.MEMO)
    assert again.edit(2, Kind.MEMO) is None
    changes = again.changes()
    assert (changes.inserted, changes.updated, changes.deleted) == ([], [], [])


def test_a_checkpoint_that_fails_loses_nothing(database: Database) -> None:
    some = opened(database)
    some.put(1, Kind.MEMO, b"a")
    some.drop(2, Kind.MEMO)
    first = some.changes()
    assert some.changes() == first
    checkpoint(database, some)
    assert opened(database).get(1, Kind.MEMO) == b"a"


def test_what_changed_is_never_forgotten_and_the_rest_is_read_again(database: Database) -> None:
    some = opened(database, loaded_bytes=2000)
    for owner in range(20):
        some.put(owner, Kind.HISTORY, [owner] * 100)
    assert [some.get(owner, Kind.HISTORY)[0] for owner in range(20)] == list(range(20))
    checkpoint(database, some)
    assert some.loaded_bytes <= 2000
    changed = some.edit(3, Kind.HISTORY)
    for owner in range(20):
        assert some.get(owner, Kind.HISTORY) == [owner] * 100
    assert some.get(3, Kind.HISTORY) is changed


def test_an_owner_that_goes_takes_all_along(database: Database) -> None:
    some = opened(database)
    some.put(1, Kind.MEMO, b"a")
    some.put(2, Kind.MEMO, b"b")
    checkpoint(database, some)
    some.put(1, Kind.MEMO, b"c", 5)
    some.drop_owners([1])
    assert some.get(1, Kind.MEMO) is None
    checkpoint(database, some)
    again = opened(database)
    assert again.several(1, Kind.MEMO, [0, 5]) == [None, None]
    assert again.get(2, Kind.MEMO) == b"b"


KEYS = st.tuples(st.integers(1, 3), st.integers(0, 2))
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 255)),
        st.tuples(st.just("append"), KEYS, st.integers(0, 255)),
        st.tuples(st.just("drop"), KEYS, st.none()),
        st.tuples(st.just("checkpoint"), st.none(), st.none()),
        st.tuples(st.just("reopen"), st.none(), st.none()),
        st.tuples(st.just("read"), KEYS, st.none()),
    ),
    max_size=40,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DEEDS)
def test_it_is_a_dictionary_that_outlives_its_process(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, tuple[int, int], int]]
) -> None:
    database = Database(tmp_path_factory.mktemp("state"))
    database.prepare()
    some, expected, kept = opened(database, 600), {}, {}
    for deed, key, value in deeds:
        if deed == "put":
            some.put(key[0], Kind.HISTORY, [value], key[1])
            expected[key] = [value]
        elif deed == "append":
            there = some.edit(key[0], Kind.HISTORY, key[1])
            assert (there is None) == (key not in expected)
            if there is not None:
                there.append(value)
                expected[key] = [*expected[key], value]
        elif deed == "drop":
            some.drop(key[0], Kind.HISTORY, key[1])
            expected.pop(key, None)
        elif deed == "checkpoint":
            checkpoint(database, some)
            kept = dict(expected)
        elif deed == "reopen":
            some, expected = opened(database, 600), dict(kept)
        else:
            assert some.get(key[0], Kind.HISTORY, key[1]) == expected.get(key)
    for owner in range(1, 4):
        for start in range(3):
            assert some.get(owner, Kind.HISTORY, start) == expected.get((owner, start))
    database.close()


def test_what_was_never_written_weighs_what_it_takes(database: Database) -> None:
    heavy = {Kind.FINE: Codec(bytes, bytes, lambda value, _: len(value))}
    some = Objects(database, heavy, 1 << 20)
    some.add(1, Kind.FINE, bytes(300_000))
    some.add(2, Kind.FINE, b"light")
    assert 300_000 < some.changed_bytes < 350_000
    checkpoint(database, some)
    assert some.changed_bytes == 0
    assert some.loaded_bytes == 300_005
