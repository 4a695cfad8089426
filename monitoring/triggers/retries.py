"""What becomes of an attempt to send, and when the next one is."""

from dataclasses import dataclass
from typing import Literal

_GONE = 410
_SECONDS_MAX = 24 * 3600.0  # that a receiver may ask to be left alone


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt met: a status, or a fault on the way to one."""

    status: int | None
    fault: str | None = None  # "no answer within 10 s"; names no address
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the trigger."""

    standing: Literal["waiting", "delivered", "failed"]
    detail: str
    not_before_s: float = 0.0  # from now, where the receiver asked for it


@dataclass(frozen=True, slots=True)
class Retries:
    """Delays that grow by a factor up to the longest: by default 19 attempts over 69 hours.

    The first delay is longer than an attempt may take, so that a second attempt, whoever makes
    it, never begins while one that was not settled is under way.
    """

    attempts: int = 19
    first_s: float = 15.0
    factor: float = 3.0
    longest_s: float = 6 * 3600.0
    jitter: float = 0.2  # share by which a delay is longer or shorter, so that many don't march
    oldest_s: float = 72 * 3600.0  # an older trigger is not sent: much may have changed since

    def delay_s(self, attempt: int, draw: float) -> float:
        """Return how long after attempt 1, 2, ... the next one is; `draw` is uniform in [0, 1).

        >>> [round(Retries().delay_s(attempt, 0.5)) for attempt in (1, 2, 3, 8, 18)]
        [15, 45, 135, 21600, 21600]
        """
        grown = self.first_s * self.factor ** min(attempt - 1, 64)
        return min(grown, self.longest_s) * (1 + self.jitter * (2 * draw - 1))

    @property
    def delay_s_max(self) -> float:
        """Return the longest time that can lie between two attempts."""
        return max(self.longest_s * (1 + self.jitter), _SECONDS_MAX)


def verdict_of(outcome: Outcome, attempt: int, retries: Retries) -> Verdict:
    """Return what an attempt comes to.

    2xx is delivered. 410 says that the receiver is gone for good, so nothing more is sent.
    Everything else is tried again while attempts are left: also 4xx, since most of them are
    mistakes in setting up, which someone repairs within days, and redirects, which are not
    followed because the evidence would go where nobody set it up to go.
    """
    if outcome.status is None:
        detail = outcome.fault or "no answer"
    elif 200 <= outcome.status < 300:
        return Verdict("delivered", f"answered {outcome.status}")
    elif outcome.status == _GONE:
        return Verdict("failed", "answered 410: the receiver is gone")
    elif 300 <= outcome.status < 400:
        detail = f"answered {outcome.status}: redirects are not followed"
    else:
        detail = f"answered {outcome.status}"
    if attempt >= retries.attempts:
        return Verdict("failed", f"{detail}; given up after {attempt} attempts")
    asked_s = min(max(0.0, outcome.retry_after_s or 0.0), _SECONDS_MAX)
    return Verdict("waiting", detail, asked_s)
