"""A stream: every input is answered once, whatever pass it took."""

import numpy as np
import pytest

from service.engine.adapter import Adapter
from service.engine.forward import Forward, Member
from service.engine.stream import answer_all
from service.engine.tokens import Tokens
from tests.fakes.runtime import (
    FakeRuntime,
    answer_alone,
    poisonous_adapter,
    text_of,
    whole_adapter,
    whole_bundle,
)

TEXTS = [text_of(*range(1, 2 + (7 * i) % 60)) for i in range(30)]
NUMBERS = [i % 2 for i in range(30)]


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime(whole_bundle(), slots=2)


def members_of(runtime: FakeRuntime, *adapters: Adapter) -> list[Member]:
    return [
        Member(adapter, runtime.write(slot, adapter)) for slot, adapter in enumerate(adapters, 1)
    ]


def passes_of(runtime: FakeRuntime) -> list[int]:
    """Return how many texts each pass had."""
    return [len(feed.first) for feed in runtime.feeds]


def test_inputs_are_answered_in_their_order_however_many_passes_they_take(
    runtime: FakeRuntime,
) -> None:
    members = members_of(runtime, whole_adapter("a"), whole_adapter("b", labels=4))
    found = answer_all(Forward(whole_bundle(), runtime), TEXTS, NUMBERS, members)
    assert len(runtime.feeds) > 1
    assert sum(passes_of(runtime)) == len(TEXTS)
    for row, text, number in zip(found.rows, TEXTS, NUMBERS, strict=True):
        pooled, embedding = answer_alone(members[number].adapter, text)
        assert np.array_equal(row.pooled, pooled)
        assert np.array_equal(row.embedding, embedding)
        assert row.probabilities is not None
        assert len(row.probabilities) == (3, 4)[number]
    assert found.places == sum(feed.ids.size for feed in runtime.feeds)


def test_a_pass_may_be_planned_from_the_first_few_that_wait(runtime: FakeRuntime) -> None:
    members = members_of(runtime, whole_adapter("a"))
    texts: list[Tokens] = [text_of(i) for i in range(1, 10)]
    answer_all(Forward(whole_bundle(), runtime), texts, [0] * 9, members, looked_at=4)
    assert passes_of(runtime) == [4, 4, 1]


def test_an_input_that_is_not_finite_alone_has_no_probabilities(runtime: FakeRuntime) -> None:
    members = members_of(runtime, whole_adapter("a"), poisonous_adapter("b"))
    found = answer_all(Forward(whole_bundle(), runtime), TEXTS, NUMBERS, members)
    lost = [row.probabilities is None for row in found.rows]
    assert lost == [number == 1 for number in NUMBERS]


def test_of_no_inputs_there_is_no_pass(runtime: FakeRuntime) -> None:
    found = answer_all(Forward(whole_bundle(), runtime), [], [], members_of(runtime))
    assert (found.rows, found.places, runtime.feeds) == ((), 0, [])
