"""Paired answers: canary and live on the same text, compared with how live does elsewhere.

A labelled answer of the canary has a twin: what live said of the same text. With 1 for a wrong
answer and 0 for a right one, c of the canary and l of its twin, c - l is on average at most 0 where
the canary is no worse. Beside the twin, k rows that live answered itself tell how often it is wrong
(their mean is o). Of the same live version the mean of o - l is 0; so

    S = c - (1 - b) l - b o

is on average at most 0 too, for any b. A large b is good where the errors of the two have little in
common, a small one where a hard text is hard for both; so there are bettors with several. Who
bets the part r gets 1 + r S, on average 1 at most.

Nothing is supposed of how errors hang together, how many rows a request has, or how hard texts are.
What is supposed: whether a row gets its label does not depend on which version was wrong. Where
labels are complaints it does, and `labels.Labels.pairs_count` finds out.

Source: bets on a bounded mean, Waudby-Smith and Ramdas 2023 (arXiv 2010.09686); the other rows are
a control variate, as labels are in prediction-powered inference (arXiv 2301.09633).

>>> gains = np.exp(log_gains(1.0, 0.0, 0.0, 0))  # the canary alone was wrong, no other rows
>>> gains.round(2).tolist()
[1.2, 1.3, 1.5, 1.9, 1.2, 1.3, 1.5, 1.9, 1.2, 1.3, 1.5, 1.9]
"""

from itertools import product

import numpy as np

from service.trials.wealth import Bettors, Reals

_RATIOS = ((1.0, 0.4), (0.6, 0.35), (0.2, 0.25))  # b over k / (k + 1), and their part of the purse
_STAKES = ((0.2, 0.35), (0.3, 0.4), (0.5, 0.15), (0.9, 0.1))

_B: Reals = np.array([ratio for (ratio, _), _ in product(_RATIOS, _STAKES)])
_R: Reals = np.array([stake for _, (stake, _) in product(_RATIOS, _STAKES)])
BETTORS = Bettors(tuple(one * other for (_, one), (_, other) in product(_RATIOS, _STAKES)))


def log_gains(
    canary_wrong: float | Reals,
    twin_wrong: float | Reals,
    others_wrong: float | Reals,
    others: int | Reals,
) -> Reals:
    """Return what each bettor gets, as logarithms [..., bettors].

    `others_wrong` is the mean of the k = `others` rows that live answered itself; of none, any
    number.
    """
    c, twin, o = (np.asarray(each)[..., None] for each in (canary_wrong, twin_wrong, others_wrong))
    k = np.asarray(others, np.float64)[..., None]
    b = _B * k / (k + 1.0)
    gains: Reals = np.log1p(_R * (c - (1.0 - b) * twin - b * o))
    return gains
