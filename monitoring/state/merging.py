"""Adding sketches up where not all of them have features of one map."""

from monitoring.errors import Incompatible
from monitoring.sketches.sketch import Sketch


def merged(older: Sketch, newer: Sketch) -> Sketch:
    """Return the sum; where the maps differ, with the features of the newer one alone."""
    try:
        return older.merge(newer)
    except Incompatible:
        return counts_of(older).merge(newer)


def counts_of(sketch: Sketch) -> Sketch:
    """Return a sketch without its features: what is left adds up with any of so many classes."""
    plain = Sketch.empty(sketch.classes)
    plain.predictions = sketch.predictions
    plain.bitmap = sketch.bitmap.copy()
    plain.groups = sketch.groups.copy()
    plain.images = None if sketch.images is None else sketch.images.copy()
    plain.tally[:] = sketch.tally
    plain.class_embedded[:] = 0
    return plain
