from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring.state import labels
from monitoring.state.database import Database
from monitoring.state.labels import LabelRow, Labels, ShadowRow, Shadows

KEPT = 6


def row_of(owner: int, name: str, number: int, came_us: int = 0, **others: Any) -> LabelRow:
    fields: dict[str, Any] = {
        "owner": owner,
        "prediction_id": name,
        "number": number,
        "came_us": came_us,
        "predicted_us": 5,
        "class_index": 1,
        "confidence": 0.75,
        "label_index": 1,
        "audit": False,
        "audit_probability": 0.0,
        "group": None,
    }
    return LabelRow(**{**fields, **others})


def database(folder: Path) -> Database:
    made = Database(folder)
    made.prepare()
    return made


def checkpoint(database: Database, table: Labels | Shadows) -> None:
    changes = table.changes()
    with database.write() as connection:
        labels.write(connection, changes)
    table.written()


LABELS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 20), st.sampled_from(["x", None])),
        st.just("checkpoint"),
        st.just("reopen"),
    ),
    max_size=40,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LABELS, st.integers(0, 20), st.integers(1, 8))
def test_the_last_label_of_each_prediction_counts_once(
    tmp_path_factory: pytest.TempPathFactory,
    deeds: list[Any],
    since_us: int,
    most: int,
) -> None:
    made = database(tmp_path_factory.mktemp("state"))
    table, number = Labels(made, KEPT), 0
    expected: dict[str, LabelRow] = {}
    for deed in deeds:
        if deed == "checkpoint":
            checkpoint(made, table)
        elif deed == "reopen":
            checkpoint(made, table)
            table = Labels(made, KEPT)
        else:
            number += 1
            name, came_us, group = deed
            row = row_of(1, name, number, came_us, group=group, label_index=number % 2)
            table.put(row)
            expected.pop(name, None)
            expected[name] = row
    alive = [row for row in expected.values() if row.number > number - KEPT]
    assert table.find({1: number}, "abcdefghij") == {row.prediction_id: row for row in alive}
    for group in (None, "x"):
        fitting = [
            row for row in alive if row.came_us >= since_us and (not group or row.group == group)
        ][-most:]
        found = table.labelled(1, number, since_us, most, group)
        assert found.came_us.tolist() == [row.came_us for row in fitting]
        assert found.right.tolist() == [row.label_index == 1 for row in fitting]
    made.close()


def test_what_the_database_holds_does_not_depend_on_checkpoints(tmp_path: Path) -> None:
    contents = []
    for every in (1, 3, 100):
        (tmp_path / str(every)).mkdir()
        made = database(tmp_path / str(every))
        table = Labels(made, KEPT)
        for number in range(1, 41):
            table.put(row_of(number % 2, f"p{number * 7 % 11}", (number + 1) // 2))
            if number % every == 0:
                checkpoint(made, table)
        checkpoint(made, table)
        with made.read() as connection:
            query = "SELECT * FROM labels ORDER BY owner, number"
            contents.append(connection.exec_driver_sql(query).all())
        made.close()
    assert contents[0] == contents[1] == contents[2]
    assert 0 < len(contents[0]) <= 2 * KEPT


def test_labels_are_arrays_with_types(tmp_path: Path) -> None:
    made = database(tmp_path)
    table = Labels(made, KEPT)
    table.put(row_of(1, "a", 1, 9, audit=True, audit_probability=0.25, label_index=0))
    found = table.labelled(1, 1, 0, 10)
    assert (found.came_us.tolist(), found.predicted_us.tolist()) == ([9], [5])
    assert (found.right.tolist(), found.audit.tolist()) == ([False], [True])
    assert found.confidence.dtype == np.float32
    assert found.audit_probability.tolist() == [0.25]
    assert len(table.labelled(2, 0, 0, 10)) == 0
    made.close()


def test_an_owner_that_goes_takes_its_rows_along(tmp_path: Path) -> None:
    made = database(tmp_path)
    table = Shadows(made, KEPT)
    for owner in (1, 2):
        table.put(ShadowRow(owner, "a", 1, 5, 1, 0.5))
    checkpoint(made, table)
    table.put(ShadowRow(1, "b", 2, 5, 1, 0.5))
    table.drop_owners([1])
    assert table.find({1: 2, 2: 1}, ["a", "b"]) == {"a": ShadowRow(2, "a", 1, 5, 1, 0.5)}
    checkpoint(made, table)
    assert Shadows(made, KEPT).find({1: 2}, ["a", "b"]) == {}
    made.close()


def test_of_several_owners_the_first_one_named_is_found(tmp_path: Path) -> None:
    made = database(tmp_path)
    table = Shadows(made, KEPT)
    table.put(ShadowRow(1, "a", 1, 5, 1, 0.5))
    checkpoint(made, table)
    table.put(ShadowRow(2, "a", 1, 5, 2, 0.5))
    assert table.find({2: 1, 1: 1}, ["a"])["a"].owner == 2
    assert table.find({1: 1, 2: 1}, ["a"])["a"].owner == 1
    made.close()


def test_thousands_of_predictions_are_looked_up_together(tmp_path: Path) -> None:
    made = database(tmp_path)
    table = Shadows(made, 10_000)
    for number in range(3000):
        table.put(ShadowRow(1, f"p{number}", number + 1, 5, 1, 0.5))
    checkpoint(made, table)
    assert len(table.find({1: 3000}, [f"p{number}" for number in range(2500)])) == 2500
    made.close()
