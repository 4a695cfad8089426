from dataclasses import replace

import numpy as np

from monitoring.assessment.bad_inputs import bad_inputs
from monitoring.sketches.sketch import Sketch
from monitoring.web.reports import BAD_INPUTS
from tests.unit.monitoring.detectors.made_windows import draw, rows_of


def test_bad_inputs_are_counted_by_reason() -> None:
    rows = rows_of(draw(20, 1), embedded=False)
    rows = replace(
        rows,
        characters=np.array([0, 0, 5, *[-1] * 17]),
        replaced=np.array([0, 0, 3, *[-1] * 17]),
        truncated=np.arange(20) < 4,
    )
    sketch = Sketch.empty(4)
    sketch.add(rows, None, None, None)
    assert bad_inputs(sketch) == {"empty": 2, "truncated": 4, "replaced": 1, "undecodable": 0}


def test_every_reason_that_the_metrics_have_is_counted() -> None:
    assert set(bad_inputs(Sketch.empty(2))) == set(BAD_INPUTS)
