"""The G-test: do counts of two samples come from the same shares?"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.detectors.tails import chi_square_tail
from monitoring.rows import IntArray

EXPECTED_MIN = 5.0  # counts of a cell below which the chi-square does not hold
LEFT_OVER_MIN = 1.0  # of a single cell
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class CountsTest:
    """What the test says; NaN where there is nothing to compare."""

    statistic: float  # G, over the cells that were compared
    pvalue: float
    cells: int  # after pooling


NOTHING = CountsTest(_NAN, _NAN, 0)


def counts_test(first: IntArray, second: IntArray, *, ordered: bool = False) -> CountsTest:
    """Return the G-test of two samples' counts [cells] of the same things.

    G = 2 sum O ln(O / E) over both samples (Woolf, 1957; Sokal and Rohlf, "Biometry", 17.4), with
    Williams' correction (Biometrika 63, 1976) for p. Cells are pooled until the smaller sample
    expects 5 in each: the commonest first, so that a hundred rare classes make some tens of groups
    and a new class is not lost in a common one; or, where cells have an order, neighbours. What is
    left over stands alone where 1 is expected in it, as Cochran bears (Biometrics 10, 1954), else
    it joins the last group. Nothing is compared where fewer than 2 groups are left.

    >>> found = counts_test(np.array([30, 70]), np.array([45, 55]))
    >>> round(found.statistic, 6), round(found.pvalue, 6), found.cells
    (4.824672, 0.028699, 2)
    """
    rows = np.array([first.sum(), second.sum()], dtype=np.float64)
    if rows.min() == 0:
        return NOTHING
    table = np.stack([first, second]).astype(np.float64)
    if not ordered:
        table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
    expected_one = float(rows.sum() / rows.min())  # rows of both, where the smaller expects one
    table = _pooled(table, EXPECTED_MIN * expected_one, LEFT_OVER_MIN * expected_one)
    cells = table.shape[1]
    if cells < 2:
        return NOTHING
    total, columns = rows.sum(), table.sum(axis=0)
    expected = np.outer(rows, columns) / total
    terms = np.where(table > 0, table * np.log(np.where(table > 0, table, 1.0) / expected), 0.0)
    statistic = max(0.0, 2 * float(terms.sum()))
    spread = (total * (1 / rows).sum() - 1) * (total * (1 / columns).sum() - 1)
    correction = 1 + float(spread) / (6 * float(total) * (cells - 1))
    return CountsTest(statistic, chi_square_tail(statistic / correction, cells - 1), cells)


def _pooled(
    table: npt.NDArray[np.float64], least: float, least_left: float
) -> npt.NDArray[np.float64]:
    """Return sums of neighbouring columns [2, groups] that count `least` each, in all.

    The last may count as few as `least_left`; there is one group where all columns count less.
    """
    groups: list[npt.NDArray[np.float64]] = []
    unfinished = np.zeros(2)
    for cell in table.T:
        unfinished = unfinished + cell
        if unfinished.sum() >= least:
            groups.append(unfinished)
            unfinished = np.zeros(2)
    if not groups or unfinished.sum() >= least_left:
        groups.append(unfinished)
    else:
        groups[-1] = groups[-1] + unfinished
    return np.stack(groups, axis=1)
