"""A reference and a window on one plane, for people to look at."""

from collections.abc import Sequence

from monitoring.assessment.comparison import Comparison
from monitoring.assessment.examples import embeddings_of
from monitoring.report import Point
from monitoring.sketches.sample import SampledRow


def projected(
    rows: Sequence[SampledRow], comparison: Comparison, names: tuple[str, ...], most: int
) -> tuple[Point, ...]:
    """Return points of the reference, and the newest `most` of some sampled rows.

    A borrowed reference has no points, as its rows are other tenants'.
    """
    reference = comparison.reference
    if reference is None or reference.plane is None:
        return ()
    plane = reference.plane
    known = [
        Point(x=x, y=y, label=reference.labels[kind], prediction_id=None)
        for (x, y), kind in zip(plane.points.tolist(), plane.classes.tolist(), strict=True)
    ]
    recent = sorted(rows, key=lambda row: row.time_us)[-most:]
    embeddings = embeddings_of(recent, len(plane.centre))
    if embeddings is None:
        return tuple(known)
    placed = plane.place(embeddings).tolist()
    return (
        *known,
        *(
            Point(x=x, y=y, label=name_of(names, row), prediction_id=row.prediction_id)
            for row, (x, y) in zip(recent, placed, strict=True)
        ),
    )


def name_of(names: tuple[str, ...], row: SampledRow) -> str:
    """Return the name of the class that was predicted; its number where no name is known."""
    return names[row.class_index] if row.class_index < len(names) else str(row.class_index)
