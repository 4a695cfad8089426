"""Who has a state directory open: every process that has holds `store/lock`, shared."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import Conflict

LOCK = Path("store") / "lock"


def is_held(state: Path) -> bool:
    """Return whether some process has the state directory open."""
    try:
        with (state / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Keep every other process out of a state directory; raise `Conflict` where one is in."""
    lock = state / LOCK
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"a service has {state} open; stop it first") from None
        yield


@contextmanager
def beside_others(state: Path) -> Iterator[None]:
    """Have a state directory open, as a service does: nobody sweeps the store meanwhile."""
    with (state / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
