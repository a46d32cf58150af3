"""Two models on the same rows: the difference of their accuracies with its interval, and how often one test set may be asked.

Counts in, numbers out. Only rows on which exactly one of the two is right tell them apart: `gained` counts those that the
challenger alone has right, `lost` those that the champion alone has. Knows no policy and decides nothing.
"""

import math
from dataclasses import dataclass

from curation.learning.evaluation import Z_95, Estimate, wilson

POINTS = 100.0
"""A difference of shares of 0.01 is one point."""
BISECTIONS = 40  # [-1, 1] halved until its ends are 2e-12 apart


@dataclass(frozen=True)
class Budget:
    """How many verdicts one frozen test set supports, after ease.ml/ci; `tolerance_points` is what it was asked for.

    `disagreement`: share of rows on which the two models differ, the upper end of its 95% interval. `verdicts_given` counts this
    verdict too. `rows_needed`: for that many; `tolerance_now_points`: what so many rows can promise after so many verdicts.
    """

    rows: int
    disagreement: float
    tolerance_points: float
    reliability: float
    verdicts_given: int
    verdicts_supported: int
    rows_needed: int
    tolerance_now_points: float


def score(gained: int, lost: int, rows: int, difference: float) -> float:
    """Tango's score statistic, standard normal when `difference` (a share) is the true one; it falls as `difference` rises.

    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
    Statistics in Medicine 17 (1998). At a difference of 0 it is McNemar's (gained - lost) / sqrt(gained + lost).
    """
    linear = (2 * rows - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1 - difference)
    lost_share = (math.sqrt(max(0.0, linear**2 - 8 * rows * constant)) - linear) / (4 * rows)
    variance = rows * (2 * lost_share + difference * (1 - difference))
    excess = gained - lost - rows * difference
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def bound(gained: int, lost: int, rows: int, quantile: float) -> float:
    """The difference (a share) at which the score is `quantile`: a lower bound for a positive one, an upper for a negative.

    quantile: of the standard normal; +-1.96 give the two-sided 95% interval, 0.84 a lower bound that holds in 80% of samples.
    """
    low, high = -1.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if score(gained, lost, rows, middle) > quantile:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def difference_points(gained: int, lost: int, rows: int) -> Estimate:
    """Challenger's accuracy minus champion's in points with Tango's 95% interval, over at least one row."""
    value = (gained - lost) / rows
    low, high = (bound(gained, lost, rows, quantile) for quantile in (Z_95, -Z_95))
    return Estimate(POINTS * value, POINTS * min(low, value), POINTS * max(high, value))


def budget(rows: int, differing: int, tolerance_points: float, reliability: float, verdicts_given: int) -> Budget:
    """How many fully adaptive verdicts `rows` support: all of them within `tolerance_points` of the truth, with `reliability`.

    C. Renggli et al., "Continuous Integration of Machine Learning Models with ease.ml/ci" (MLSys 2019), section 4: when the two
    models differ on at most a share p of the rows, Bennett's inequality bounds the chance that the estimated difference of their
    accuracies is off by more than e by 2 exp(-n p h(e / p)), h(u) = (1 + u) ln(1 + u) - u. Whoever trains sees every verdict and
    adapts to it, so H verdicts mean 2^H possible histories, each with its part of the allowed failures d = 1 - reliability:

        n = (H ln 2 + ln(4 / d)) / (p h(e / p))

    (half of d for p, which is itself estimated; the other half two-sided). For p = 0.1, e = 1 point, d = 0.0001 and 32 verdicts
    that is 67,705 rows, the paper's 67 thousand.
    """
    share = wilson(differing, rows).high
    spent = math.log(4 / (1 - reliability))

    def information(tolerance: float) -> float:
        ratio = tolerance / share
        return share * ((1 + ratio) * math.log1p(ratio) - ratio)

    needed = verdicts_given * math.log(2) + spent
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rows * information(middle) < needed else (low, middle)
    return Budget(
        rows=rows,
        disagreement=share,
        tolerance_points=tolerance_points,
        reliability=reliability,
        verdicts_given=verdicts_given,
        verdicts_supported=max(0, math.floor((rows * information(tolerance_points / POINTS) - spent) / math.log(2))),
        rows_needed=math.ceil(needed / information(tolerance_points / POINTS)),
        tolerance_now_points=POINTS * high,
    )
