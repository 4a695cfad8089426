"""Admission: what of the queue one tenant may hold, and when to ask again.

Pure. The bound is a dynamic threshold (Choudhury and Hahne 1998, "Dynamic queue length thresholds
for shared-memory packet switches"): a share of what is free now. A lone tenant may hold half of the
queue at a ratio of 1; the more of it others hold, the less one may, and something always stays free
for a tenant that comes new.
"""

from dataclasses import dataclass

_RETRY_S_MIN = 0.05
_RETRY_S_MAX = 60.0
_RETRY_S_UNKNOWN = 1.0  # before anything has run
_NEWEST = 0.2  # how much the newest pass counts


@dataclass(frozen=True, slots=True)
class Amount:
    """So many texts, and tokens of them."""

    texts: int
    tokens: int

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.texts + other.texts, self.tokens + other.tokens)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.texts - other.texts, self.tokens - other.tokens)

    def __mul__(self, times: int) -> "Amount":
        return Amount(self.texts * times, self.tokens * times)

    def __le__(self, other: "Amount") -> bool:
        return self.texts <= other.texts and self.tokens <= other.tokens


def threshold(free: Amount, factor: float) -> Amount:
    """Return what a tenant may hold: what is free times `factor`, its weight times the ratio."""
    return Amount(int(max(0, free.texts) * factor), int(max(0, free.tokens) * factor))


class DrainRate:
    """How fast the queue empties: texts and tokens a second, the last passes most of all."""

    def __init__(self) -> None:
        self._texts = 0.0
        self._tokens = 0.0

    def ran(self, amount: Amount, seconds: float) -> None:
        """Note a pass."""
        if seconds <= 0:
            return
        newest = _NEWEST if self._tokens else 1.0
        self._texts += newest * (amount.texts / seconds - self._texts)
        self._tokens += newest * (amount.tokens / seconds - self._tokens)

    def wait_s(self, excess: Amount, factor: float, tenants: int) -> float:
        """Estimate when a tenant that is `excess` over its threshold would be under it.

        What it holds shrinks by its part of the rate, one of so many tenants'; what it may hold
        grows by the rate times its factor. That nothing new comes meanwhile is the best case.
        """
        if not self._tokens:
            return _RETRY_S_UNKNOWN
        gain = 1.0 / max(1, tenants) + factor
        wait = max(excess.texts / self._texts, excess.tokens / self._tokens) / gain
        return min(max(wait, _RETRY_S_MIN), _RETRY_S_MAX)
