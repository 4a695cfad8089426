"""Evidence against a canary, as money: what bettors have who say that it is worse than live.

Each starts with 1 and bets in a way of their own, again and again. Where the canary is no worse, no
bet gains on average, given what was seen before it; so neither does the weighted mean of all of
them, and by Ville's inequality it ever reaches 1 / alpha with probability alpha at most, however
often one looks. What is bet on stands in `pairs` and `bursts`; this is the purse.

Source: Ville 1939; mixtures of bets, Robbins 1970; e-processes, Ramdas, Gruenwald, Vovk and Shafer
2023 (arXiv 2210.01948).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

_LN10 = float(np.log(10.0))


@dataclass(frozen=True, slots=True)
class Bettors:
    """Ways of betting, and the part of the first 1 that each of them gets."""

    parts: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the parts are a whole."""
        assert abs(sum(self.parts) - 1.0) < 1e-9, "the parts of the purse make 1"

    def __len__(self) -> int:
        return len(self.parts)


class Wealth:
    """What the bettors have, as logarithms; of one trial, or of a whole array of them.

    >>> wealth = Wealth(Bettors((0.5, 0.5)))
    >>> for _ in range(20):  # one doubles each time, the other loses half
    ...     wealth.bet(np.log([2.0, 0.5]))
    >>> round(float(wealth.log10()), 3)
    5.72
    """

    __slots__ = ("_log_parts", "logs")

    def __init__(self, bettors: Bettors, shape: tuple[int, ...] = ()) -> None:
        """Begin with 1; `shape` is of the trials, () for one."""
        self.logs: Reals = np.zeros((*shape, len(bettors)))
        self._log_parts: Reals = np.log(np.array(bettors.parts))

    def bet(self, log_gains: Reals) -> None:
        """Multiply; `log_gains` [*shape, bettors] are the logarithms of what each bettor gets."""
        self.logs += log_gains

    def log10(self) -> Reals:
        """Return the logarithm (base 10) of the mean wealth, of `shape`."""
        logs = self.logs + self._log_parts
        top = logs.max(axis=-1)
        evidence: Reals = (top + np.log(np.exp(logs - top[..., None]).sum(axis=-1))) / _LN10
        return evidence
