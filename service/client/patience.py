"""How often and how long a call is tried: decided purely, carried out by a client's shell.

The time that a caller gives is one budget for everything: connecting, sending, waiting for the
answer, and the waits between attempts. A wait that would end beyond it is not begun.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Literal, TypeVar

from service.client.calls import Call
from service.client.errors import InvalidCall, TenantryClientError, TimePassed, Unreachable
from service.client.reply import Reply

_T = TypeVar("_T")

# Asked of Tenantry itself these refuse before anything is done; 502 and 504 come from in between.
_LATER = frozenset({429, 502, 503})


@dataclass(frozen=True, slots=True)
class Patience:
    """What a caller puts up with."""

    timeout_s: float
    retries: int  # attempts after the first
    backoff_s: float = 0.2  # before the second attempt, at most; then twice that, and so on
    backoff_s_max: float = 10.0

    def __post_init__(self) -> None:
        if not (self.timeout_s > 0 and self.retries >= 0):
            raise InvalidCall("timeout_s must be more than 0, and retries not less than 0")


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request; `left_s` is all the time there is."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait before the next attempt."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Broken:
    """An attempt without an answer."""

    # Nothing was sent; something may have been sent; the time was over.
    kind: Literal["unreached", "cut", "late"]
    reason: str


Step = Send | Wait
Outcome = Reply | Broken | None  # None: a wait has ended
Conversation = Generator[Step, Outcome, _T]


def converse(
    call: Call[_T],
    address: str,
    patience: Patience,
    now: Callable[[], float],
    draw: Callable[[], float],
) -> Conversation[_T]:
    """Give the steps of a call, take what came of each, and return what the answer says.

    Repeated is what cannot have been done yet, and what may be done twice: 429 and 503 when
    `Retry-After` says, connections that did not come about, and for repeatable calls also those
    that broke. `now` is a monotonic clock in seconds, `draw` gives numbers in [0, 1) so that many
    clients do not come back at one moment. Raises `TenantryClientError`.
    """
    end = now() + patience.timeout_s
    unsure = False  # whether an earlier attempt may have been carried out
    for attempt in count():
        left = end - now()
        if left <= 0:
            raise _late(call, patience)
        outcome = yield Send(left)
        assert outcome is not None, "an attempt ends in a reply or without one"
        if isinstance(outcome, Broken):
            if outcome.kind == "late":
                raise _late(call, patience)
            again = outcome.kind == "unreached" or call.repeatable
            unsure = unsure or outcome.kind == "cut"
            error = _unreachable(call, address, outcome, unsure=unsure)
        else:
            done = outcome.succeeded or outcome.status in call.taken
            if done or (unsure and call.gone_is_done and outcome.status == 404):
                return call.read(outcome)
            again = outcome.status in _LATER and (call.repeatable or outcome.is_own)
            error = outcome.error(str(call))
        wait = _wait(attempt, error.retry_after_s, patience, draw())
        if not again or attempt >= patience.retries or now() + wait >= end:
            raise error
        yield Wait(wait)
    raise AssertionError("counting has no end")


def _wait(attempt: int, asked_s: float | None, patience: Patience, drawn: float) -> float:
    """Return how long to wait: at least as long as was asked for, and never all at once."""
    step = min(patience.backoff_s_max, patience.backoff_s * (1 << min(attempt, 16)))
    if asked_s is None:
        return step * (0.5 + drawn / 2)
    return asked_s + patience.backoff_s * drawn


def _late(call: Call[_T], patience: Patience) -> TimePassed:
    unsure = "" if call.repeatable else "; it may have been done, look before you repeat it"
    return TimePassed(
        f"no answer within {patience.timeout_s:g} s to {call}{unsure}",
        advice="give it more time (`timeout_s`, `--timeout`), or ask for less at once",
    )


def _unreachable(
    call: Call[_T], address: str, broken: Broken, *, unsure: bool
) -> TenantryClientError:
    if broken.kind == "unreached":
        return Unreachable(
            f"nobody answers at {address}: {broken.reason}",
            advice="is `tenantry serve` running there, and is the address right?",
        )
    advice = "it may have been done: look before you repeat it"
    if call.repeatable:
        advice = "it can be repeated"
    assert unsure
    return Unreachable(f"the connection to {address} broke: {broken.reason}", advice=advice)
