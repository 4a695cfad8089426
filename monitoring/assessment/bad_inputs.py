"""How many inputs were bad, and in what way: the counts behind `tenantry_input_bad_total`."""

from collections.abc import Mapping

from monitoring.sketches.sketch import Sketch
from monitoring.web.reports import BadInput


def bad_inputs(sketch: Sketch) -> Mapping[BadInput, int]:
    """Return counts of texts, and of images that could not be decoded, by reason."""
    inputs, images = sketch.inputs, sketch.image_counts
    return {
        "empty": inputs.empty,
        "truncated": inputs.truncated,
        "replaced": inputs.replaced_rows,
        "undecodable": 0 if images is None else images.undecodable,
    }
