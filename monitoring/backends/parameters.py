"""What may be set of alibi-detect's detectors, and within which bounds.

An allow-list: parameters that name code, devices or files are not on it, and those on it are
bounded, because each of them costs memory or time in the sidecar.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Number = int | float
Parameters = Mapping[str, Number | str]


class InvalidParameter(ValueError):
    """A parameter that cannot be used; the message begins with its place."""


@dataclass(frozen=True, slots=True)
class _Range:
    default: Number
    least: Number
    most: Number

    def checked(self, value: object) -> Number:
        whole = isinstance(self.default, int)
        right = type(value) is int or (not whole and type(value) is float)
        if not right or not self.least <= value <= self.most:  # type: ignore[operator]
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"must be {kind}, {self.least:g} to {self.most:g}")
        return value  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Choice:
    default: str
    others: tuple[str, ...]

    def checked(self, value: object) -> str:
        if value not in (self.default, *self.others):
            raise ValueError(f"must be one of {', '.join((self.default, *self.others))}")
        return str(value)


_P_VALUE = _Range(0.05, 1e-4, 0.5)
_REFERENCE = _Range(1000, 50, 5000)  # rows of the reference, drawn once where there are more
_PERMUTATIONS = _Range(100, 20, 2000)

_ALLOWED: dict[str, dict[str, _Range | _Choice]] = {
    "MMDDrift": {
        "p_val": _P_VALUE,
        "reference_rows": _REFERENCE,
        "n_permutations": _PERMUTATIONS,
    },
    "LSDDDrift": {
        "p_val": _P_VALUE,
        "reference_rows": _REFERENCE,
        "n_permutations": _PERMUTATIONS,
        "lambda_rd_max": _Range(0.2, 0.01, 1.0),
    },
    "KSDrift": {
        "p_val": _P_VALUE,
        "reference_rows": _REFERENCE,
        "correction": _Choice("bonferroni", ("fdr",)),
    },
    "ClassifierDrift": {
        "p_val": _P_VALUE,
        "reference_rows": _REFERENCE,
        "n_folds": _Range(5, 2, 10),
        "regularisation": _Range(1.0, 1e-4, 1e4),  # scikit-learn's C
    },
    # Its thresholds are simulated, in a time that grows with `ert` times `window_size`: half a
    # minute at 1000 times 20. With 1000 rows of reference it took 4 GiB of memory, with 500 a
    # quarter of one.
    "MMDDriftOnline": {
        "ert": _Range(1000, 50, 1000),
        "window_size": _Range(20, 5, 50),
        "reference_rows": _Range(300, 50, 500),
    },
}


def read_parameters(detector: str, given: object, window: int) -> Parameters:
    """Return all parameters of a detector, with defaults for those that are not given.

    Raises `InvalidParameter`.
    """
    if not isinstance(given, dict):
        raise InvalidParameter(" must be an object")
    allowed = _ALLOWED[detector]
    for name in sorted(given.keys() - allowed.keys()):
        known = ", ".join(sorted(allowed))
        raise InvalidParameter(f".{name} is not one of {detector}'s: {known}")
    found: dict[str, Number | str] = {}
    for name, bounds in allowed.items():
        try:
            found[name] = bounds.checked(given.get(name, bounds.default))
        except ValueError as error:
            raise InvalidParameter(f".{name} {error}") from None
    if detector == "MMDDriftOnline" and int(found["window_size"]) > window:
        raise InvalidParameter(".window_size must not be above the window")
    return MappingProxyType(found)
