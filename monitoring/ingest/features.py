"""Features of all embeddings of a frame at once: one product for every version of a hidden size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.rows import HalfArray
from monitoring.sketches.features import FeatureMap, fixed_mixed
from monitoring.state.ports import Features


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of one version in the matrix of their hidden size."""

    first: int
    count: int
    map: FeatureMap | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """Features of one version's rows; None where there is no map, or no row."""

    features: Features | None  # [e, 1024]
    projected: Features | None  # [e, 32]


NOTHING = Mapped(None, None)


def mapped(
    matrices: Mapping[int, HalfArray], wanted: Sequence[Wanted], *, projected: bool
) -> list[Mapped]:
    """Return the features of each version's rows, and where asked for their projections."""
    found = [NOTHING] * len(wanted)
    for hidden, matrix in matrices.items():
        chosen = [
            place
            for place, want in enumerate(wanted)
            if want.map is not None and want.count and want.map.hidden == hidden
        ]
        if chosen:
            for place, mapping in zip(
                chosen, _of_one(matrix, [wanted[p] for p in chosen], projected), strict=True
            ):
                found[place] = mapping
    return found


def _of_one(matrix: HalfArray, wanted: Sequence[Wanted], projected: bool) -> list[Mapped]:
    maps: list[FeatureMap] = []
    numbers: dict[str, int] = {}
    which = []
    for want in wanted:
        assert want.map is not None, "only rows with a map are wanted"
        number = numbers.setdefault(want.map.id, len(maps))
        if number == len(maps):
            maps.append(want.map)
        which.append(number)
    counts = np.array([want.count for want in wanted], np.int64)
    ends = np.cumsum(counts)
    rows = np.repeat(np.array([want.first for want in wanted]) - (ends - counts), counts)
    rows += np.arange(ends[-1])
    directions = maps[0].directions
    phases = directions.phases(matrix if len(rows) == len(matrix) else matrix[rows])
    if len(rows) == len(matrix):
        phases = phases[rows]
    features = fixed_mixed(phases, maps, np.repeat(np.array(which, np.int64), counts))
    sides = directions.projected_of(features) if projected else None
    return [
        Mapped(features[start:stop], None if sides is None else sides[start:stop])
        for start, stop in zip((ends - counts).tolist(), ends.tolist(), strict=True)
    ]
