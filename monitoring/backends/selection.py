"""Which adapters alibi-detect's detectors watch: a JSON file, read and checked once.

A list of objects: `tenant` and `adapter` (names, or patterns with `*` and `?`), `detector`, and
optionally `window` (how many of the latest rows) and `parameters`. Every detector that matches an
adapter watches it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

import msgspec

from monitoring.backends.parameters import InvalidParameter, Parameters, read_parameters
from monitoring.errors import InvalidMonitorSettings

Detector = Literal["MMDDrift", "LSDDDrift", "KSDrift", "ClassifierDrift", "MMDDriftOnline"]
DETECTORS: tuple[Detector, ...] = get_args(Detector)

WINDOW = 500
WINDOW_MIN, WINDOW_MAX = 20, 5000
_MEMBERS = {"tenant", "adapter", "detector", "window", "parameters"}
_PATTERN = re.compile(r"[a-z0-9*?-]{1,63}")


@dataclass(frozen=True, slots=True)
class Selection:
    """One detector, for the adapters that its patterns match."""

    tenant: str
    adapter: str
    detector: Detector
    window: int  # rows
    parameters: Parameters

    def matches(self, tenant: str, adapter: str) -> bool:
        """Return whether the detector watches an adapter."""
        return fnmatchcase(tenant, self.tenant) and fnmatchcase(adapter, self.adapter)


def selected(selections: Sequence[Selection], tenant: str, adapter: str) -> tuple[Selection, ...]:
    """Return the detectors of an adapter, in the file's order."""
    return tuple(one for one in selections if one.matches(tenant, adapter))


def rows_needed(selections: Sequence[Selection], tenant: str, adapter: str) -> int:
    """Return how many of an adapter's latest rows must be kept for its detectors; 0 for none."""
    return max((one.window for one in selected(selections, tenant, adapter)), default=0)


def read_selections(file: Path) -> tuple[Selection, ...]:
    """Return what the file selects; raise `InvalidMonitorSettings`, which names every fault."""
    try:
        items = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        raise InvalidMonitorSettings(f"{file} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InvalidMonitorSettings(f"{file} is no JSON: {error}") from error
    if not isinstance(items, list):
        raise InvalidMonitorSettings(f"{file} must hold a list")
    faults: list[str] = []
    found = [_selection(item, f"[{number}]", faults) for number, item in enumerate(items)]
    if faults:
        raise InvalidMonitorSettings("\n".join(f"{file}: {fault}" for fault in faults))
    return tuple(one for one in found if one is not None)


def _selection(item: object, where: str, faults: list[str]) -> Selection | None:
    if not isinstance(item, dict):
        faults.append(f"{where} must be an object")
        return None
    before = len(faults)
    faults += [
        f"{where}.{name} is not known; there are {', '.join(sorted(_MEMBERS))}"
        for name in sorted(item.keys() - _MEMBERS)
    ]
    tenant, adapter = str(item.get("tenant")), str(item.get("adapter"))
    faults += [
        f"{where}.{name} must be a name, or a pattern with * and ?"
        for name in ("tenant", "adapter")
        if not isinstance(item.get(name), str) or not _PATTERN.fullmatch(item[name])
    ]
    detector = item.get("detector")
    if detector not in DETECTORS:
        faults.append(f"{where}.detector must be one of {', '.join(DETECTORS)}")
        return None
    window = item.get("window", WINDOW)
    if type(window) is not int or not WINDOW_MIN <= window <= WINDOW_MAX:
        faults.append(f"{where}.window must be a whole number, {WINDOW_MIN} to {WINDOW_MAX}")
        return None
    try:
        parameters = read_parameters(detector, item.get("parameters", {}), window)
    except InvalidParameter as error:
        faults.append(f"{where}.parameters{error}")
        return None
    if len(faults) > before:
        return None
    return Selection(tenant, adapter, detector, window, parameters)
