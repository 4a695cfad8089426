"""A lock that is handed on in the order in which it was asked for."""

import threading
from collections import deque
from typing import Self


class Turns:
    """One thread at a time, first come, first served; whoever has it may take it again.

    A thread that folds frame after frame would starve all others of an ordinary lock, because it
    asks again before they wake.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> Self:
        me = threading.get_ident()
        with self._guard:
            if self._owner == me:
                self._depth += 1
                return self
            if self._owner is None:
                self._owner, self._depth = me, 1
                return self
            ticket = threading.Lock()
            ticket.acquire()
            self._waiting.append(ticket)
        ticket.acquire()  # given back by whoever hands over
        self._owner, self._depth = me, 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth:
                return
            if self._waiting:
                self._owner = -1  # of the thread that wakes
                self._waiting.popleft().release()
            else:
                self._owner = None
