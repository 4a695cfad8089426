"""The service on a machine that may break: its disk becomes slow, or an adapter's numbers break.

    python -m examples.gameday.faulty FOLDER serve ...

What is broken now is said by files in the folder:

- `slow-disk`: every sync that the service asks for waits for the seconds that are written in it.
  That is all that its event log does; what SQLite syncs it syncs in C, as fast as the disk is.
- `slow-model`: every forward pass waits for the seconds that are written in it.
- `slow-load`: so does every adapter that is read to be put into the bank.
- `wrong-clock`: the wall clock of the service is ahead by the seconds that are written in it, or
  behind where they are negative.
- `non-finite`: adapters whose digests are written in it, one a line, answer NaN. The checks of an
  upload let no weights pass that do so on a backbone as small as this one.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest
from service.engine.heads import Heads

if TYPE_CHECKING:  # it is imported below, by when the clock may be wrong
    from service.registry.store import Store

SLOW_DISK, NON_FINITE = "slow-disk", "non-finite"
SLOW_MODEL, SLOW_LOAD, WRONG_CLOCK = "slow-model", "slow-load", "wrong-clock"


def seconds_in(file: Path) -> float:
    """Return the seconds that a file says, 0 while there is none."""
    try:
        return float(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0.0


def slowed(sync: Callable[[int], None], file: Path) -> Callable[[int], None]:
    """Return a sync that takes as much longer as a file says, while there is one."""

    def slow(handle: int) -> None:
        time.sleep(seconds_in(file))
        sync(handle)

    return slow


def slow_to_load(
    load: "Callable[[Store, str, Manifest], Adapter]", file: Path
) -> "Callable[[Store, str, Manifest], Adapter]":
    """Return a load that takes as much longer as a file says, while there is one."""

    def slow(store: "Store", digest: str, manifest: Manifest) -> Adapter:
        time.sleep(seconds_in(file))
        return load(store, digest, manifest)

    return slow


def ahead(clock: Callable[[], float], file: Path) -> Callable[[], float]:
    """Return a clock that is ahead by as much as a file says, while there is one."""
    return lambda: clock() + seconds_in(file)


Probabilities = Callable[
    [Heads, FloatArray, Sequence[tuple[Adapter, Sequence[int]]]], list[FloatArray]
]


def broken_by(whole: Probabilities, folder: Path) -> Probabilities:
    """Return what is as slow as a file says, and answers NaN for adapters that another names."""
    file = folder / NON_FINITE

    def probabilities(
        heads: Heads, pooled: FloatArray, groups: Sequence[tuple[Adapter, Sequence[int]]]
    ) -> list[FloatArray]:
        time.sleep(seconds_in(folder / SLOW_MODEL))
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
    time.time = ahead(time.time, folder / WRONG_CLOCK)  # before anything keeps the real one
    Heads.probabilities = broken_by(Heads.probabilities, folder)  # type: ignore[assignment,method-assign]
    from service.registry.store import Store

    Store.load = slow_to_load(Store.load, folder / SLOW_LOAD)  # type: ignore[assignment,method-assign]
    from service.command import main as command

    command()


if __name__ == "__main__":
    main()
