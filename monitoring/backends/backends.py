"""The selected detectors of alibi-detect, made when needed and kept while they are used."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from monitoring.backends import alibi
from monitoring.backends.result import BackendResult
from monitoring.backends.rows import BackendRows
from monitoring.backends.selection import (
    WINDOW_MIN,
    Selection,
    rows_needed,
    selected,
)

MADE_MAX = 32  # detectors that are kept, each with a reference and its kernel matrix
# What numpy, scipy, scikit-learn and torch raise for rows that a method cannot work with.
_FAILURES = (ArithmeticError, IndexError, RuntimeError, ValueError)


class Backends:
    """The detectors; not to be used by two threads at a time, because they share random states."""

    def __init__(self, selections: Sequence[Selection], seed: int) -> None:
        self._selections = tuple(selections)
        self._seed = seed
        self._made: OrderedDict[tuple[str, int], alibi.Test | str] = OrderedDict()

    def rows_needed(self, tenant: str, adapter: str) -> int:
        """Return how many of an adapter's latest rows must be kept; 0 where none is selected."""
        return rows_needed(self._selections, tenant, adapter)

    def assess(
        self,
        tenant: str,
        adapter: str,
        reference_id: str,
        reference: Callable[[], BackendRows | None],
        window: BackendRows,
    ) -> tuple[BackendResult, ...]:
        """Test an adapter's latest rows with each of its detectors.

        `reference_id` names the reference, which is asked for only where a detector is made anew.
        The same rows and seed give the same figures, `seconds` apart.
        """
        return tuple(
            self._tested(selection, reference_id, reference, window.last(selection.window))
            for selection in selected(self._selections, tenant, adapter)
        )

    def _tested(
        self,
        selection: Selection,
        reference_id: str,
        reference: Callable[[], BackendRows | None],
        window: BackendRows,
    ) -> BackendResult:
        began_s = time.perf_counter()
        rows = len(window.probabilities)
        if rows < WINDOW_MIN:
            return _unknown(selection, rows, f"too few rows: {rows} of {WINDOW_MIN}")
        test = self._test(selection, reference_id, reference)
        if isinstance(test, str):
            return _unknown(selection, rows, test)
        try:
            statistic, pvalue, threshold, is_drift = test(window)
        except _FAILURES as error:
            return _unknown(selection, rows, _told(error))
        if math.isnan(statistic) or math.isnan(threshold):
            return _unknown(selection, rows, "the statistic is not defined for these rows")
        return BackendResult(
            name=_name(selection),
            statistic=statistic,
            pvalue=pvalue,
            threshold=threshold,
            is_drift=is_drift,
            rows=rows,
            seconds=time.perf_counter() - began_s,
        )

    def _test(
        self,
        selection: Selection,
        reference_id: str,
        reference: Callable[[], BackendRows | None],
    ) -> alibi.Test | str:
        """Return a detector for the reference, or why there is none."""
        key = (reference_id, self._selections.index(selection))
        found = self._made.pop(key, None)
        if found is None:
            found = self._make(selection, reference())
        self._made[key] = found
        while len(self._made) > MADE_MAX:
            self._made.popitem(last=False)
        return found

    def _make(self, selection: Selection, reference: BackendRows | None) -> alibi.Test | str:
        if reference is None:
            return "no reference"
        rows = len(reference.probabilities)
        if rows < WINDOW_MIN:
            return f"reference too small: {rows} of {WINDOW_MIN} rows"
        try:
            return alibi.make(selection.detector, selection.parameters, reference, self._seed)
        except _FAILURES as error:
            return _told(error)


def _unknown(selection: Selection, rows: int, reason: str) -> BackendResult:
    return BackendResult(
        name=_name(selection),
        statistic=None,
        pvalue=None,
        threshold=None,
        is_drift=None,
        rows=rows,
        unknown=reason,
    )


def _name(selection: Selection) -> str:
    return f"alibi-detect {selection.detector}"


def _told(error: Exception) -> str:
    if isinstance(error, alibi.Unfit):
        return str(error)
    return f"alibi-detect failed: {type(error).__name__}: {error}"
