"""Too little of a core: a program that is stopped most of the time, as a CPU quota does it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from examples.gameday.programs import Program

_PERIOD_S = 0.1  # of the kernel's own quota


@contextmanager
def throttled(program: Program, share: float) -> Iterator[None]:
    """Let a program run for a share of the time, around the block."""
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            program.freeze()
            ending.wait(_PERIOD_S * (1.0 - share))
            program.thaw()
            ending.wait(_PERIOD_S * share)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
