"""Paired answers: canary and live on the same text, one bet for each request.

A labelled answer of the canary has a twin: what live said of the same text. With 1 for a wrong
answer and 0 for a right one, c of the canary and l of its twin, c - l is on average at most 0 where
the canary is no worse. Texts of one request are often of one kind, and where the two versions
differ by kind, many rows of one request are no more than one draw. So a request is bet on once, by
the mean S of c - l over those of its rows that were labelled together; who bets the part r gets
1 + r S, on average 1 at most.

Nothing is supposed of how errors hang together, how hard texts are, or how many rows a request has.
What is supposed: requests come to the canary by a draw of their own, and whether a row gets its
label does not depend on which version was wrong. Where labels are complaints it does, and
`labels.Labels.pairs_count` finds out.

Source: bets on a bounded mean, Waudby-Smith and Ramdas 2023 (arXiv 2010.09686).

>>> np.exp(log_gains(1.0)).round(2).tolist()  # one row, on which the canary alone was wrong
[1.33, 1.8, 1.98]
"""

import numpy as np

from service.trials.wealth import Bettors, Reals

_STAKES = ((0.33, 0.65), (0.8, 0.25), (0.98, 0.1))  # and their part of the purse

_R: Reals = np.array([stake for stake, _ in _STAKES])
BETTORS = Bettors(tuple(part for _, part in _STAKES))


def log_gains(behind: float | Reals) -> Reals:
    """Return what each bettor gets, as logarithms [..., bettors].

    `behind` is by how much the canary was wrong more often than its twins, of one request: -1 to 1.
    """
    gains: Reals = np.log1p(_R * np.asarray(behind, np.float64)[..., None])
    return gains
