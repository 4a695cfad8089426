"""Requests that failed or were slow, in short spans of time: whose are they?

Such requests come in bursts: one stall, one cold load, one overload, and a hundred of them. So a
span of time counts once, however many there are. Of its bad requests one is drawn; it is the
canary's with the canary's share of all requests, pi, or rarer, where the canary is no worse. Who
bets on an odds ratio of psi says q = pi psi / (pi psi + 1 - pi) instead, and gets q / pi where it
is and (1 - q) / (1 - pi) where it is not. Instead of the draw, its mean is taken: with f, the
canary's share of the bad ones,

    f q / pi + (1 - f) (1 - q) / (1 - pi) = (f psi + 1 - f) / (pi psi + 1 - pi),

which is at most 1 on average wherever the mean of f is at most pi: also where a burst hits every
request of a moment, or falls upon one version as a whole, with the probability pi.

Source: a mean of e-values is one (Vovk and Wang 2021, arXiv 1912.06116); the bet
conditions on how many are bad, as Fisher's exact test does.

>>> np.exp(log_gains(30, 30, 0, 270)).round(2).tolist()  # thirty bad ones are as one
[1.51, 1.96, 2.8, 4.71]
"""

import numpy as np

from service.trials.odds import ODDS
from service.trials.wealth import Reals


def log_gains(
    bad_canary: float | Reals, canary: float | Reals, bad_live: float | Reals, live: float | Reals
) -> Reals:
    """Return what each bettor gets, as logarithms [..., odds].

    `canary` and `live` count the requests of the span, bad ones among them. Nothing is learned
    where none is bad, or where one of the two had no request.
    """
    bad = np.asarray(bad_canary, np.float64) + bad_live
    every = np.asarray(canary, np.float64) + live
    tells = (bad > 0) & (np.asarray(canary) > 0) & (np.asarray(live) > 0)
    f = np.where(tells, bad_canary / np.where(bad > 0, bad, 1.0), 0.0)[..., None]
    pi = np.where(tells, canary / np.where(every > 0, every, 1.0), 0.0)[..., None]
    gains: Reals = np.log((f * ODDS + 1.0 - f) / (pi * ODDS + 1.0 - pi))
    return gains
