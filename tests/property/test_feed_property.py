"""The feed and the packed, banked layer, against loops that anyone can read."""

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given
from torch import nn

from exporter.banked import Banks
from service.engine.adapter import Adapter
from service.engine.bank import HostBank
from service.engine.feed import NO_ADAPTER, Feed, Layout, Lease, make_feed
from service.engine.forward import Forward, Member
from service.engine.packing import Plan, make_grid, plan
from service.engine.tokens import Tokens
from tests.fakes.runtime import (
    VOCABULARY,
    FakeRuntime,
    answer_alone,
    banked,
    whole_adapter,
    whole_bundle,
)

GRID = make_grid(64, 256, (2, 4))
LAYOUTS = (Layout(16, 4), Layout(64, 8), Layout(24, 1), Layout(128, 32, static=True))
SLOTS = 6
NAMES = [f"adapter {i}" for i in range(SLOTS)]
ADAPTERS = [whole_adapter(name, rank=i % 5) for i, name in enumerate(NAMES)]


@st.composite
def texts(draw: st.DrawFn) -> list[Tokens]:
    def one(length: int) -> Tokens:
        ids = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=length, max_size=length))
        types = draw(st.none() | st.lists(st.integers(0, 1), min_size=length, max_size=length))
        return Tokens(ids, types, False, 0)

    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=14))
    return [one(length) for length in lengths]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Tokens], list[int], Layout, int]:
    made = draw(texts())
    numbers = [draw(st.integers(NO_ADAPTER, SLOTS - 1)) for _ in made]
    return made, numbers, draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from([0, 2]))


def leases() -> list[Lease]:
    return [Lease(4 * (slot + 1), adapter.rank) for slot, adapter in enumerate(ADAPTERS)]


def cells(feed: Feed, planned: Plan, made: list[Tokens], offset: int) -> None:
    """Compare every token with what the plan says, row by row."""
    number = 0
    for row, members in enumerate(planned.rows):
        at = 0
        for index in members:
            text = made[index]
            assert feed.first[number] == row * planned.shape.tokens + at
            for k, token in enumerate(text.ids):
                here = (row, at + k)
                assert feed.ids[here] == token
                assert feed.positions[here] == offset + k
                assert feed.texts[here] == number
                assert feed.token_types[here] == (text.types[k] if text.types else 0)
            at += len(text)
            number += 1
        for k in range(at, planned.shape.tokens):
            assert feed.texts[row, k] == -1
            assert feed.adapters[row, k] == NO_ADAPTER
            assert feed.positions[row, k] == offset


@given(cases())
def test_a_feed_says_what_a_loop_over_its_plan_says(
    case: tuple[list[Tokens], list[int], Layout, int],
) -> None:
    made, numbers, layout, offset = case
    planned = plan([len(t) for t in made], numbers, GRID, SLOTS + 1)
    feed = make_feed(planned, made, numbers, leases(), offset, layout)
    cells(feed, planned, made, offset)
    assert feed.tokens == sum(len(made[i]) for i in planned.placed)
    assert len(feed.first) == layout.texts(len(list(planned.placed)), planned.shape.capacity)
    blocks, width = feed.columns.shape
    assert width == layout.columns(width)
    by_block = feed.adapters.reshape(blocks, -1)
    for block in range(blocks):
        present = {int(a) for a in by_block[block] if a != NO_ADAPTER}
        listed: dict[int, list[int]] = {}
        for owner, column in zip(feed.owners[block], feed.columns[block], strict=True):
            listed.setdefault(int(owner), []).append(int(column))
        assert set(listed.pop(-2, [0])) == {0}, "padding is row 0, which is always zero"
        assert set(listed) == {a for a in present if ADAPTERS[a].rank}
        for adapter, columns in listed.items():
            lease = leases()[adapter]
            assert columns == list(range(lease.first, lease.first + lease.rank))


@given(cases())
def test_a_packed_pass_answers_each_text_as_if_it_were_alone(
    case: tuple[list[Tokens], list[int], Layout, int],
) -> None:
    made, numbers, layout, _ = case
    bundle = whole_bundle()
    runtime = FakeRuntime(bundle, SLOTS, layout)
    runtime.grid = GRID
    members = [Member(a, runtime.write(slot, a)) for slot, a in enumerate(ADAPTERS, 1)]
    numbers = [max(0, number) for number in numbers]
    planned = plan([len(t) for t in made], numbers, GRID, SLOTS)
    answered = Forward(bundle, runtime).run(planned, made, numbers, members)
    assert answered.reruns == 0
    for at, index in enumerate(answered.indices):
        _, mean = answer_alone(ADAPTERS[numbers[index]], made[index])
        assert (answered.embeddings[at] == mean).all()


def by_hand(x: torch.Tensor, linear: nn.Linear, adapter: Adapter | None) -> torch.Tensor:
    """Return one token's [out]: the layer, and its own adapter's low-rank delta."""
    y: torch.Tensor = linear(x)
    if adapter is not None and adapter.rank:
        a, b = adapter.deltas[whole_bundle().manifest.targets[0].name]
        y = y + (x @ torch.from_numpy(a).T) @ torch.from_numpy(b)
    return y


@given(cases())
def test_the_exported_layer_gives_each_token_its_own_adapters_delta(
    case: tuple[list[Tokens], list[int], Layout, int],
) -> None:
    made, numbers, layout, _ = case
    manifest = whole_bundle().manifest
    bank = HostBank(manifest, SLOTS)
    for slot, adapter in enumerate(ADAPTERS, 1):
        bank.write(slot, adapter)
    planned = plan([len(t) for t in made], numbers, GRID, SLOTS + 1)
    feed = make_feed(planned, made, numbers, leases(), 0, layout)
    width = manifest.targets[0].in_features
    torch.manual_seed(0)
    linear = nn.Linear(width, width)
    banks = Banks(frozenset({"layer"}))
    layer = banks.wrap("layer", linear)
    x = torch.randint(-3, 4, (*feed.ids.shape, width), dtype=torch.float32)
    banks.lora.begin(
        torch.from_numpy(feed.adapters),
        torch.from_numpy(feed.columns),
        torch.from_numpy(feed.owners),
        [torch.from_numpy(array) for array in bank.arrays[:2]],
    )
    with torch.inference_mode():
        y = layer(x)
        for row in range(y.shape[0]):
            for token in range(y.shape[1]):
                number = int(feed.adapters[row, token])
                own = None if number == NO_ADAPTER else ADAPTERS[number]
                expected = by_hand(x[row, token], linear, own)
                assert torch.allclose(y[row, token], expected, atol=1e-4, rtol=1e-5)


@given(cases())
def test_the_layer_in_numpy_is_the_exported_one(
    case: tuple[list[Tokens], list[int], Layout, int],
) -> None:
    made, numbers, layout, _ = case
    manifest = whole_bundle().manifest
    bank = HostBank(manifest, SLOTS)
    for slot, adapter in enumerate(ADAPTERS, 1):
        bank.write(slot, adapter)
    planned = plan([len(t) for t in made], numbers, GRID, SLOTS + 1)
    feed = make_feed(planned, made, numbers, leases(), 0, layout)
    x = np.random.default_rng(1).integers(-3, 4, (feed.ids.size, manifest.targets[0].in_features))
    flat = x.astype(np.float32)
    found = banked(flat, feed, bank.arrays[0], bank.arrays[1])
    for token, number in enumerate(feed.adapters.reshape(-1)):
        expected = np.zeros(found.shape[1], np.float32)
        if number != NO_ADAPTER and ADAPTERS[number].rank:
            a, b = ADAPTERS[number].deltas[manifest.targets[0].name]
            expected = (flat[token] @ a.T) @ b
        assert (found[token] == expected).all()
