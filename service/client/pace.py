"""Time and chance as the clients need them; tests bring their own."""

import random
import time
from typing import Protocol

import anyio


class Pace(Protocol):
    """A clock that can be waited on, and chance."""

    def now(self) -> float:
        """Return the seconds of a clock that only goes forward."""

    def wait(self, seconds: float) -> None:
        """Return after so many seconds."""

    def draw(self) -> float:
        """Return a number in [0, 1)."""


class AsyncPace(Protocol):
    """The same for an event loop."""

    def now(self) -> float:
        """Return the seconds of a clock that only goes forward."""

    async def wait(self, seconds: float) -> None:
        """Return after so many seconds."""

    def draw(self) -> float:
        """Return a number in [0, 1)."""


class _Real:
    def now(self) -> float:
        """Return the monotonic clock's seconds."""
        return time.monotonic()

    def draw(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311 - spreads clients, keeps no secret


class RealPace(_Real):
    """The time of this machine."""

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


class RealAsyncPace(_Real):
    """The time of this machine, while the event loop goes on."""

    async def wait(self, seconds: float) -> None:
        """Let others run meanwhile."""
        await anyio.sleep(seconds)
