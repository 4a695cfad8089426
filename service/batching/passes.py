"""Passes: a plan that keeps to the fair order where packing alone would not.

The planner lays the first text before all others and the rest longest first, in rows that suit the
first: a short text that is second in order can be left out for a long one that is last, and a long
one waits until it is first. Here whatever stands in the first half of a pass is in it. Pure.
"""

from collections.abc import Sequence

from service.engine.packing import Grid, Plan, plan


def next_pass(lengths: Sequence[int], numbers: Sequence[int], grid: Grid) -> Plan:
    """Return the next pass for texts in fair order; `numbers` are their adapters, all in slots.

    The first text is in it, and with it all those whose tokens, counted in order, fill at most half
    of a pass.
    """
    due = _due(lengths, grid)
    longest = max(due, key=lengths.__getitem__)
    if grid.row_class(lengths[longest]) is grid.row_class(lengths[0]):
        planned = plan(lengths, numbers, grid, len(numbers))
    else:  # the rows must suit the longest
        order = [longest, *(i for i in range(len(lengths)) if i != longest)]
        planned = _planned(order, lengths, numbers, grid)
    if set(planned.placed).issuperset(due):
        return planned
    # What half of the rows would hold can always be laid longest first.
    alone = _planned(due, lengths, numbers, Grid(((planned.shape,),)))
    return _filled(alone, lengths, numbers)


def _due(lengths: Sequence[int], grid: Grid) -> list[int]:
    """Return the first texts that half of any pass would hold, the very first always."""
    room = min(shapes[-1].capacity for shapes in grid.by_row) // 2
    due: list[int] = []
    for index, length in enumerate(lengths):
        room -= length
        if room < 0 and due:
            break
        due.append(index)
    return due


def _planned(
    order: Sequence[int], lengths: Sequence[int], numbers: Sequence[int], grid: Grid
) -> Plan:
    """Return the plan for some of the texts, in this order."""
    own = plan([lengths[i] for i in order], [numbers[i] for i in order], grid, len(order))
    return Plan(own.shape, tuple(tuple(order[at] for at in row) for row in own.rows))


def _filled(planned: Plan, lengths: Sequence[int], numbers: Sequence[int]) -> Plan:
    """Lay other texts into the room that a plan has left, in order, into the fullest rows."""
    rows = [list(row) for row in planned.rows]
    room = [planned.shape.tokens - sum(lengths[i] for i in row) for row in rows]
    placed = set(planned.placed)
    for index, length in enumerate(lengths):
        if index not in placed and length <= max(room):
            fullest = min((r for r in range(len(rows)) if room[r] >= length), key=room.__getitem__)
            rows[fullest].append(index)
            room[fullest] -= length
    ordered = (tuple(sorted(row, key=lambda i: (numbers[i], i))) for row in rows)
    return Plan(planned.shape, tuple(ordered))
