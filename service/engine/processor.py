"""The machine's processor: how many this process may use, and what they can do."""

import os
from pathlib import Path


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def processor_flags() -> frozenset[str]:
    """Return the instruction sets of this processor, as Linux names them; none elsewhere."""
    return frozenset(_field("flags").split())


def processor_model() -> str:
    """Return the processor's own name; empty where the system does not tell."""
    return _field("model name")


def _field(name: str) -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return ""
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((x for x in lines if x.startswith(name)), "")
    return line.partition(":")[2].strip()
