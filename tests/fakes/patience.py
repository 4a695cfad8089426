"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

from tests.fakes.waiting import PATIENCE_S


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)
