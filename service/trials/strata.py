"""Rows of the canary beside other rows of live, in small strata: whose are the wrong ones?

A stratum holds c rows of the canary and n rows of live, x of them wrong. If the canary is no worse,
its part of the x is hypergeometric, or smaller: any of the rows may as well be the wrong ones. Who
bets on an odds ratio of psi gets psi ** X / Z, X being the canary's wrong rows and Z the mean of
psi ** X under that law. How many are wrong is given, so nothing is supposed of how hard the texts
of a stratum are, only that they are as hard for one version as for the other; and of two ways in
which labels are chosen by the answers, complaints say, none shows that treats both alike.

Source: Fisher's exact test as a sequence of e-values; the same conditioning makes the safe logrank
test of Ter Schure, Perez-Ortiz, Ly and Gruenwald (arXiv 2011.06931).

>>> np.exp(log_gains(1, 1, 0, 9)).round(2).tolist()  # the one wrong row of ten is the canary's
[1.51, 1.96, 2.8, 4.71]
"""

from functools import lru_cache
from math import comb

import numpy as np

from service.trials.odds import ODDS
from service.trials.wealth import Reals


@lru_cache(maxsize=65_536)
def log_gains(wrong_canary: int, canary: int, wrong_live: int, live: int) -> Reals:
    """Return what each bettor gets, as logarithms [odds]; not to be changed."""
    wrong, whole = wrong_canary + wrong_live, comb(canary + live, wrong_canary + wrong_live)
    parts = range(max(0, wrong - live), min(wrong, canary) + 1)
    law = np.array([comb(canary, k) * comb(live, wrong - k) / whole for k in parts])
    mean = (law * ODDS[:, None] ** (np.array(parts) - wrong_canary)).sum(axis=1)
    gains: Reals = -np.log(mean)
    return gains
