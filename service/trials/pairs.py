"""Pairs: canary and live on the same texts, whichever of the two answered the caller.

Of a labelled text that both answered, let c be 1 where the canary was wrong and l where live was.
Texts of one request are often of one kind, and where the two versions differ by kind, many rows of
one request are no more than one draw. So a request is bet on once, by S: the sum of c - l over
those of its rows that were labelled together, divided by all of its rows; who bets the part r gets
1 + r S.

Where the canary is no worse, that is 1 on average at most, **also where labels are complaints**.
One version was shown, and of texts that both answered it is as often the one as the other, by a
draw that depends on nothing: so who alone is wrong says nothing of whether the one that was shown
is. Let a wrong answer that is shown get its label at some moment with chance a, a right one with b,
and let p be how often the canary alone is wrong, q live alone. The next label that tells them apart

    is against the canary with a weight of a p (it was shown) + b p (live was) = (a + b) p,
    and against live with b q + a q = (a + b) q.

So it is a coin that falls against the canary with p / (p + q), at most one half if p <= q, whatever
a and b are, whenever they change, and in whatever order labels of right and of wrong answers come.
By the canary's own answers alone every complaint would be evidence.

S is a sum of such rows by a number that no label decides, so it holds for many rows a request as
for one, if they get their labels together. Where twins of one version are dropped more often than
the other's, its requests count less in proportion (`labels.Twinned`).

Nothing is supposed of how errors hang together, or how hard texts are. What is supposed: requests
are drawn one by one; labels come in no order of texts or versions; and the chance of a label, at
each moment, depends, if on anything of the answer, on whether the one that was shown is right. Not
on which version gave it, and not on its class or confidence, which the versions may choose
differently. `Labels.of_both` sees some of what does not hold to that.

Source: a sign test of discordant pairs (McNemar 1947) whose sides are drawn; bets on a bounded
mean, Waudby-Smith and Ramdas 2023 (arXiv 2010.09686).

>>> np.exp(log_gains(1.0)).round(3).tolist()  # one row, on which the canary alone was wrong
[1.165, 1.4, 1.9]
"""

import numpy as np

from service.trials.wealth import Bettors, Reals

_STAKES = ((0.165, 0.65), (0.4, 0.25), (0.9, 0.1))  # and their part of the purse

_R: Reals = np.array([stake for stake, _ in _STAKES])
BETTORS = Bettors(tuple(part for _, part in _STAKES))


def log_gains(behind: float | Reals) -> Reals:
    """Return what each bettor gets, as logarithms [..., bettors].

    `behind` is by how much the canary was wrong more often than live, of one request: -1 to 1.
    """
    gains: Reals = np.log1p(_R * np.asarray(behind, np.float64)[..., None])
    return gains
