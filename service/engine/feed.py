"""The feed: a plan turned into the arrays that the banked graph takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.packing import Plan
from service.engine.tokens import Tokens

IntArray = NDArray[np.int64]
GraphInputs = dict[str, NDArray[Any]]  # by the names of the graph's inputs

_SHORT_TEXT = 4  # tokens; a static pass of shorter texts has a shape that was not prepared

NO_ADAPTER = -1
PADDING = -2


@dataclass(frozen=True, slots=True)
class Lease:
    """An adapter's place in the bank: rows `first` to `first + rank - 1`."""

    first: int
    rank: int


@dataclass(frozen=True, slots=True)
class Feed:
    """The graph's inputs for one pass; text k of the batch is the plan's k-th placed text."""

    ids: IntArray  # [rows, tokens]
    positions: IntArray  # [rows, tokens]
    texts: IntArray  # [rows, tokens], the text's number, -1 for padding
    token_types: IntArray  # [rows, tokens]
    adapters: IntArray  # [rows, tokens], the adapter's number, -1 for none
    first: IntArray  # [texts], flat index of each text's first token
    columns: IntArray  # [blocks, K], bank rows
    owners: IntArray  # [blocks, K], the adapter number each column belongs to, -2 for padding
    tokens: int  # real tokens, without padding

    def inputs(self, names: frozenset[str]) -> GraphInputs:
        """Return the named inputs of the graph."""
        held: GraphInputs = {
            "ids": self.ids,
            "positions": self.positions,
            "texts": self.texts,
            "token_types": self.token_types,
            "first": self.first,
            "adapters": self.adapters,
            "columns": self.columns,
            "owners": self.owners,
        }
        return {name: array for name, array in held.items() if name in names}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a runtime wants of a feed: block length, and sizes to round up to."""

    block_tokens: int = 64
    column_step: int = 8
    static: bool = False  # few shapes: columns double, and the pass's size says how many texts

    def block(self, capacity: int) -> int:
        """Return how many tokens a block has in a pass of so many, which it divides."""
        block = min(self.block_tokens, capacity)
        while capacity % block:
            block -= 1
        return block

    def columns(self, needed: int) -> int:
        """Return how many columns to feed where `needed` are used; at least one step."""
        steps = max(1, -(-needed // self.column_step))
        if self.static:
            steps = 1 << (steps - 1).bit_length()
        return steps * self.column_step

    def texts(self, needed: int, capacity: int) -> int:
        """Return how many entries `first` has for `needed` texts in a pass of so many tokens."""
        if not self.static:
            return needed
        size = max(1, capacity // _SHORT_TEXT)
        while size < needed:
            size *= 2
        return size


def make_feed(
    plan: Plan,
    texts: Sequence[Tokens],
    adapters: Sequence[int],
    leases: Sequence[Lease],
    position_offset: int,
    layout: Layout,
) -> Feed:
    """Return the arrays for `plan`.

    `texts` and `adapters` are indexed as in the plan; `adapters[i]` numbers an entry of `leases`,
    or is `NO_ADAPTER` for the bare backbone. Padding is token 0 at the first position.
    """
    row_tokens = plan.shape.tokens
    capacity = plan.shape.capacity
    ids: list[int] = []
    pieces: list[tuple[int, int, int]] = []  # (text number, adapter, length), padding as text -1
    typed: list[tuple[int, list[int]]] = []
    number = 0
    for row in plan.rows:
        left = row_tokens
        for index in row:
            tokens = texts[index]
            if tokens.types is not None:
                typed.append((len(ids), tokens.types))
            ids += tokens.ids
            length = len(tokens.ids)
            pieces.append((number, adapters[index], length))
            left -= length
            number += 1
        if left:
            ids += [0] * left
            pieces.append((-1, NO_ADAPTER, left))
    table = np.array(pieces, dtype=np.int64)  # [pieces, 3]
    lengths = table[:, 2]
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(capacity) - np.repeat(starts, lengths) + position_offset
    real = table[:, 0] >= 0
    first = np.zeros(layout.texts(number, capacity), dtype=np.int64)
    first[:number] = starts[real]
    token_types = np.zeros(capacity, dtype=np.int64)
    for start, types in typed:
        token_types[start : start + len(types)] = types
    shape = (plan.shape.rows, row_tokens)
    positions[np.repeat(~real, lengths)] = position_offset
    columns, owners = _columns(pieces, leases, capacity, layout)
    return Feed(
        ids=np.array(ids, dtype=np.int64).reshape(shape),
        positions=positions.reshape(shape),
        texts=np.repeat(table[:, 0], lengths).reshape(shape),
        token_types=token_types.reshape(shape),
        adapters=np.repeat(table[:, 1], lengths).reshape(shape),
        first=first,
        columns=columns,
        owners=owners,
        tokens=int(lengths[real].sum()),
    )


def _columns(
    pieces: Sequence[tuple[int, int, int]],
    leases: Sequence[Lease],
    capacity: int,
    layout: Layout,
) -> tuple[IntArray, IntArray]:
    """Return the bank rows that each block of tokens needs, and whose they are."""
    block = layout.block(capacity)
    blocks: list[list[int]] = [[] for _ in range(capacity // block)]  # adapters, in order
    start = 0
    for _, adapter, length in pieces:
        if adapter != NO_ADAPTER and leases[adapter].rank:
            for members in blocks[start // block : (start + length - 1) // block + 1]:
                if adapter not in members:
                    members.append(adapter)
        start += length
    needed = max(sum(leases[a].rank for a in members) for members in blocks)
    width = layout.columns(needed)
    columns = np.zeros((len(blocks), width), dtype=np.int64)  # bank row 0 is always zero
    owners = np.full((len(blocks), width), PADDING, dtype=np.int64)
    for i, members in enumerate(blocks):
        at = 0
        for adapter in members:
            lease = leases[adapter]
            columns[i, at : at + lease.rank] = range(lease.first, lease.first + lease.rank)
            owners[i, at : at + lease.rank] = adapter
            at += lease.rank
    return columns, owners
