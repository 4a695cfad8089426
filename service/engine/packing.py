"""Packing: which waiting texts share the next forward pass, and where each one lies.

Pure: no clock, no model. A pass has one of a short list of static shapes; texts are laid into its
rows by best fit, the oldest first of all and the rest longest first, so that padding stays small
and every pass serves the text that waited longest. Time is linear in the texts looked at: free
room is a bit set, so the best row is found by one shift.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ROW_TOKENS = 128  # the row length that short texts share
_SHORTEST = 16
_LOOK_AHEAD = 256  # texts looked at beyond those whose lengths fill the shape


@dataclass(frozen=True, slots=True)
class Shape:
    """A static shape of one forward pass."""

    rows: int
    tokens: int  # of one row

    @property
    def capacity(self) -> int:
        """Return how many tokens it holds."""
        return self.rows * self.tokens

    def __str__(self) -> str:
        return f"{self.rows}x{self.tokens}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The shapes that a runtime is prepared for, by row length, each list growing."""

    by_row: tuple[tuple[Shape, ...], ...]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Return every shape."""
        return tuple(shape for row in self.by_row for shape in row)

    @property
    def longest(self) -> int:
        """Return the length of the longest text that fits."""
        return self.by_row[-1][-1].tokens

    def row_class(self, length: int) -> tuple[Shape, ...]:
        """Return the shapes whose rows a text of `length` needs."""
        for shapes in self.by_row:
            if shapes[-1].tokens >= length:
                return shapes
        raise AssertionError(f"a text of {length} tokens is longer than any row")


def make_grid(max_length: int, token_budget: int, row_counts: Sequence[int]) -> Grid:
    """Return the grid for texts up to `max_length` and passes of about `token_budget` tokens.

    Short texts: one row of 16, 32, 64 or 128 tokens, then `row_counts` rows of 128. Longer texts:
    rows of 256, 512 and so on up to `max_length`, one or as many as the budget holds.
    """
    row = min(ROW_TOKENS, max_length)
    short = []
    tokens = _SHORTEST
    while tokens < row:
        short.append(Shape(1, tokens))
        tokens *= 2
    short.append(Shape(1, row))
    short += [Shape(n, row) for n in sorted(set(row_counts)) if n > 1 and n * row <= token_budget]
    classes = [tuple(short)]
    while row < max_length:
        row = min(row * 2, max_length)
        most = max(1, token_budget // row)
        classes.append(tuple(Shape(n, row) for n in sorted({1, most})))
    return Grid(tuple(classes))


def make_image_grid(tokens: int, token_budget: int) -> Grid:
    """Return the grid for images that cost so many tokens each: a row is one image.

    1, 2 and 4 images, and so on by doubling as long as the budget holds them.
    """
    counts = [1, 2, 4]
    while 2 * counts[-1] * tokens <= token_budget:
        counts.append(2 * counts[-1])
    return Grid((tuple(Shape(count, tokens) for count in counts),))


@dataclass(frozen=True, slots=True)
class Plan:
    """Where texts lie: `rows[i]` holds the indices of row i's texts, in order."""

    shape: Shape
    rows: tuple[tuple[int, ...], ...]

    @property
    def placed(self) -> Iterable[int]:
        """Return the indices of all placed texts, row by row."""
        return (index for row in self.rows for index in row)


class _Rows:
    """Rows under construction, found by free room."""

    def __init__(self, shape: Shape) -> None:
        self.texts: list[list[int]] = [[] for _ in range(shape.rows)]
        self._by_room: dict[int, list[int]] = {shape.tokens: list(range(shape.rows))[::-1]}
        self._rooms = 1 << shape.tokens  # bit n is set while a row has room for exactly n more

    @property
    def full(self) -> bool:
        return self._rooms == 1 or self._rooms == 0

    def place(self, index: int, length: int) -> bool:
        """Lay the text into the fullest row that has room; return whether there was one."""
        fitting = self._rooms >> length
        if not fitting:
            return False
        room = (fitting & -fitting).bit_length() - 1 + length
        rows = self._by_room[room]
        row = rows.pop()
        if not rows:
            self._rooms &= ~(1 << room)
        self.texts[row].append(index)
        left = room - length
        self._by_room.setdefault(left, []).append(row)
        self._rooms |= 1 << left
        return True


def plan(lengths: Sequence[int], adapters: Sequence[int], grid: Grid, adapters_max: int) -> Plan:
    """Return the next pass for the waiting texts, oldest first.

    `lengths` in tokens, each 1 to `grid.longest`; `adapters` numbers each text's adapter, and at
    most `adapters_max` different ones take part. The oldest text always does. Texts that do not
    appear in the plan keep waiting.
    """
    assert lengths, "there is nothing to plan"
    assert min(lengths) > 0, "a text of no tokens would be answered with another's first token"
    shapes = grid.row_class(lengths[0])
    candidates, enough = _candidates(lengths, adapters, shapes[-1], adapters_max)
    rows = _Rows(shapes[-1])
    for shape in shapes:
        if shape.tokens < lengths[0] or (shape.capacity < enough and shape is not shapes[-1]):
            continue
        rows, unplaced = _fill(shape, candidates, lengths)
        if not unplaced or shape is shapes[-1]:
            break
    ordered = tuple(tuple(sorted(row, key=lambda i: (adapters[i], i))) for row in rows.texts)
    return Plan(shape, ordered)


def _candidates(
    lengths: Sequence[int], adapters: Sequence[int], largest: Shape, adapters_max: int
) -> tuple[list[int], int]:
    """Return the texts that may take part, oldest first, and the tokens that are wanted."""
    chosen: list[int] = []
    known: set[int] = set()
    wanted = 0
    beyond = 0
    for index, length in enumerate(lengths):
        if length > largest.tokens:
            continue
        if adapters[index] not in known:
            if len(known) == adapters_max:
                continue
            known.add(adapters[index])
        chosen.append(index)
        if wanted >= largest.capacity:
            beyond += 1
            if beyond == _LOOK_AHEAD:
                break
        else:
            wanted += length
    return chosen, min(wanted, largest.capacity)


def _fill(
    shape: Shape, candidates: Sequence[int], lengths: Sequence[int]
) -> tuple[_Rows, list[int]]:
    """Lay candidates into the shape; return the rows and those that found no room."""
    rows = _Rows(shape)
    placed = rows.place(candidates[0], lengths[candidates[0]])
    assert placed, "the oldest text fits an empty shape"
    room = shape.capacity - lengths[candidates[0]]
    split = 1
    while split < len(candidates) and room > 0:
        room -= lengths[candidates[split]]
        split += 1
    by_length: list[list[int]] = [[] for _ in range(shape.tokens + 1)]
    unplaced: list[int] = []
    for index in candidates[1:split]:
        if lengths[index] > shape.tokens:
            unplaced.append(index)
        else:
            by_length[lengths[index]].append(index)
    for length in range(shape.tokens, 0, -1):
        for index in by_length[length]:
            if not rows.place(index, length):
                unplaced.append(index)  # noqa: PERF401 - placing is what happens here
    for index in candidates[split:]:
        if rows.full:
            break
        if lengths[index] > shape.tokens or not rows.place(index, lengths[index]):
            unplaced.append(index)
    return rows, unplaced
