"""The service on a machine that may break: its disk becomes slow, or an adapter's numbers break.

    python -m examples.gameday.faulty FOLDER serve ...

What is broken now is said by files in the folder:

- `slow-disk`: every sync that the service asks for waits for the seconds that are written in it.
  That is all that its event log does; what SQLite syncs it syncs in C, as fast as the disk is.
- `non-finite`: adapters whose digests are written in it, one a line, answer NaN. The checks of an
  upload let no weights pass that do so on a backbone as small as this one.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.heads import Heads

SLOW_DISK, NON_FINITE = "slow-disk", "non-finite"


def slowed(sync: Callable[[int], None], file: Path) -> Callable[[int], None]:
    """Return a sync that takes as much longer as a file says, while there is one."""

    def slow(handle: int) -> None:
        if file.is_file():
            time.sleep(float(file.read_text(encoding="ascii")))
        sync(handle)

    return slow


Probabilities = Callable[
    [Heads, FloatArray, Sequence[tuple[Adapter, Sequence[int]]]], list[FloatArray]
]


def broken_by(whole: Probabilities, file: Path) -> Probabilities:
    """Return what answers NaN for the adapters that a file names, while there is one."""

    def probabilities(
        heads: Heads, pooled: FloatArray, groups: Sequence[tuple[Adapter, Sequence[int]]]
    ) -> list[FloatArray]:
        found = whole(heads, pooled, groups)
        broken = file.read_text(encoding="ascii").split() if file.is_file() else ()
        for (adapter, _), rows in zip(groups, found, strict=True):
            if adapter.digest in broken:
                rows[:] = np.nan
        return found

    return probabilities


def main() -> None:
    """Run the command on a machine that may break."""
    folder = Path(sys.argv.pop(1))
    for name in ("fsync", "fdatasync"):
        setattr(os, name, slowed(getattr(os, name), folder / SLOW_DISK))
    Heads.probabilities = broken_by(Heads.probabilities, folder / NON_FINITE)  # type: ignore[assignment,method-assign]
    from service.command import main as command

    command()


if __name__ == "__main__":
    main()
