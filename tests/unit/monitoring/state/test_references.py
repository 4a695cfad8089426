from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring.state.codecs import codecs_of
from monitoring.state.database import Database
from monitoring.state.limits import Limits
from monitoring.state.objects import Objects
from monitoring.state.ports import Origin
from monitoring.state.reference_rows import Partial, ReferencePart, empty_pool
from monitoring.state.references import References
from monitoring.watched import Watched
from tests.fakes.judging import FakeJudge
from tests.fakes.logs import BACKBONE, HIDDEN, embeddings_of, probabilities_of

LIMITS = Limits(reference_rows_max=40, pool_rows=50, pool_rows_min=20, versions_max=64)
ACME = Watched("acme", "support", 1, "live")


def part_of(start: int, stop: int, rows: int, **others: Any) -> ReferencePart:
    n, seed = stop - start, others.pop("seed", 0)
    shares = probabilities_of(rows, seed=seed).astype(np.float16)[start:stop]
    fields: dict[str, Any] = {
        "tenant": "acme",
        "adapter": "support",
        "version": 1,
        "digest": "d1",
        "backbone": BACKBONE,
        "time_us": 5,
        "row": start,
        "rows": rows,
        "names": {0: "refund", 2: "other"},
        "class_index": shares.argmax(axis=1),
        "label_index": np.full(n, -1),
        "probabilities": shares,
        "embeddings": embeddings_of(rows, seed=seed).astype(np.float16)[start:stop],
        "base_embeddings": None,
        "tokens": np.arange(start, stop),
        "unknown": np.zeros(n, np.int64),
        "truncated": np.zeros(n, np.bool_),
    }
    return ReferencePart(**{**fields, **others})


@pytest.fixture
def judge() -> FakeJudge:
    return FakeJudge()


@pytest.fixture
def objects(tmp_path: Path, judge: FakeJudge) -> Iterator[Objects]:
    database = Database(tmp_path)
    database.prepare()
    yield Objects(database, codecs_of(judge), 1 << 20)
    database.close()


@pytest.fixture
def references(objects: Objects, judge: FakeJudge) -> References:
    numbers = count(1)
    return References(objects, judge, LIMITS, lambda: next(numbers))


def test_parts_make_a_whole_once(references: References, judge: FakeJudge) -> None:
    for start in range(0, 30, 10):
        assert references.find(ACME, "d1", BACKBONE) is None
        assert references.take(part_of(start, start + 10, 30))
    found = references.find(ACME, "d1", BACKBONE)
    assert found is not None
    assert (found.source, found.rows, found.made_us, found.failure) == ("holdout", 30, 5, None)
    rows = references.rows(found.id)
    assert rows.labels == ("refund", "1", "other")
    np.testing.assert_array_equal(rows.tokens, np.arange(30))
    origin = Origin("holdout", "acme", "support", 1, "d1", BACKBONE, 5)
    assert judge.told == [("reference", origin, 30)]
    assert references.measure(found.id) is references.measure(found.id)


def test_it_is_of_one_digest_and_version(references: References) -> None:
    references.take(part_of(0, 30, 30))
    assert references.find(ACME, "d2", BACKBONE) is None
    assert references.find(replace(ACME, version=2), "d1", BACKBONE) is None
    assert references.find(replace(ACME, role="shadow"), "d1", BACKBONE) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        part_of(20, 30, 30),
        part_of(5, 15, 30),
        part_of(10, 20, 31),
        part_of(10, 20, 30, embeddings=None),
        part_of(10, 20, 30, probabilities=np.ones((10, 2), np.float16)),
        part_of(10, 20, 30, digest="d2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(references: References, wrong: ReferencePart) -> None:
    references.take(part_of(0, 10, 30))
    assert not references.take(wrong)
    assert references.find(ACME, "d1", BACKBONE) is None


def test_a_reference_that_is_written_again_begins_anew(references: References) -> None:
    references.take(part_of(0, 10, 30))
    references.take(part_of(0, 10, 30))
    for start in (10, 20):
        assert references.take(part_of(start, start + 10, 30))
    references.take(part_of(0, 20, 20, seed=1))
    found = references.find(ACME, "d1", BACKBONE)
    assert found is not None
    assert found.rows == 20


def test_of_too_many_rows_the_same_are_kept_however_they_come(references: References) -> None:
    for start in range(0, 100, 20):
        references.take(part_of(start, start + 20, 100))
    references.take(part_of(0, 100, 100, version=2))
    found = [references.find(replace(ACME, version=n), "d1", BACKBONE) for n in (1, 2)]
    first, second = (references.rows(one.id) for one in found if one is not None)
    assert len(first) == 40
    np.testing.assert_array_equal(first.tokens, second.tokens)
    assert np.abs(np.median(first.tokens) - 50) < 20, "from everywhere"


def test_a_reference_of_which_nothing_can_be_made_says_why(
    references: References, judge: FakeJudge
) -> None:
    judge.refuses = "no two rows differ"
    assert references.take(part_of(0, 30, 30))
    found = references.find(ACME, "d1", BACKBONE)
    assert found is not None
    assert found.failure == "no two rows differ"
    assert references.measure(found.id) is None


def test_other_settings_make_it_anew(references: References, judge: FakeJudge) -> None:
    references.take(part_of(0, 30, 30))
    judge.key = "fake-2"
    found = references.find(ACME, "d1", BACKBONE)
    assert found is not None
    assert references.measure(found.id) is not None
    assert len(judge.told) == 2
    references.settle()
    references._open.clear()
    references.measure(found.id)
    assert len(judge.told) == 2, "and it is kept"


def test_who_has_none_borrows_from_the_others_on_the_backbone(references: References) -> None:
    other = Watched("globex", "support", 1, "live")
    references.prepare(other, "g1", BACKBONE, 7)
    assert references.find(other, "g1", BACKBONE) is None
    for number in range(2):
        references.take(part_of(0, 10, 10, version=number, seed=number))
    references.prepare(other, "g1", BACKBONE, 8)
    found = references.find(other, "g1", BACKBONE)
    assert found is not None
    assert (found.source, found.rows, found.made_us) == ("pooled", 20, 8)
    assert references.rows(found.id).labels == ()
    assert references.find(other, "g1", "another backbone") is None
    references.prepare(ACME, "d9", BACKBONE, 9)
    again = references.find(other, "g1", BACKBONE)
    assert again == found, "it stays, until references have doubled"


def test_a_pool_is_made_anew_when_references_have_doubled(references: References) -> None:
    other = Watched("globex", "support", 1, "live")
    seen = []
    for number in range(8):
        references.take(part_of(0, 20, 20, version=number, seed=number))
        references.prepare(other, "g1", BACKBONE, number)
        found = references.find(other, "g1", BACKBONE)
        assert found is not None
        seen.append((found.made_us, found.rows))
    assert seen == [(0, 20), (1, 40), (1, 40), *([(3, 50)] * 4), (7, 50)]


def test_the_pool_does_not_depend_on_the_order_of_references() -> None:
    pools = []
    for order in ([0, 1, 2, 3], [3, 1, 2, 0]):
        pool = empty_pool(HIDDEN)
        for number in order:
            partial = Partial()
            partial.add(part_of(0, 20, 20, seed=number), 40)
            pool = pool.with_rows(f"name {number}", f"tenant {number}", partial.whole(), 50)
        pools.append(pool)
    assert len(pools[0]) == 50
    assert pools[0].tenants == pools[1].tenants
    np.testing.assert_array_equal(pools[0].embeddings, pools[1].embeddings)


def test_a_tenant_that_is_forgotten_leaves_nothing_in_the_pool(references: References) -> None:
    other = Watched("initech", "support", 1, "live")
    references.take(part_of(0, 30, 30, seed=1))
    references.take(part_of(0, 30, 30, seed=2, tenant="globex"))
    references.prepare(other, "g1", BACKBONE, 8)
    references.forget("acme")
    assert references.find(ACME, "d1", BACKBONE) is None
    assert references.find(other, "g1", BACKBONE) is None
    references.prepare(other, "g1", BACKBONE, 9)
    found = references.find(other, "g1", BACKBONE)
    assert found is not None
    kept = references.rows(found.id).embeddings
    assert kept is not None
    theirs = embeddings_of(30, seed=2).astype(np.float16)
    assert sorted(map(bytes, kept)) == sorted(map(bytes, theirs))


def test_beyond_the_bound_the_longest_unused_go(references: References) -> None:
    for number in range(70):
        references.take(part_of(0, 3, 3, version=number, embeddings=None))
    references.evict(lambda owner: 100 - owner.version)
    left = sorted(owner.version for owner in references.owners)
    assert left == list(range(63))
