"""The odds ratios that bettors bet on: by how much a canary may be worse than live.

Ten points of accuracy are an odds ratio of 1.5 where live is right in 0.6 of the cases, of 2.25 at
0.9 and of 12 at 0.99. Far ones need little money: where they are right, it grows fast.
"""

import numpy as np

from service.trials.wealth import Bettors, Reals

ODDS: Reals = np.array([1.6, 2.2, 3.5, 8.0])
BETTORS = Bettors((0.4, 0.4, 0.12, 0.08))
