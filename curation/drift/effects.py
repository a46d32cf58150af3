"""How far two samples of counts differ, and how often chance alone makes them differ as much. Numbers in, numbers out.

Population stability index: Lewis, *An Introduction to Credit Scoring*, 1994. Its null: both samples from one multinomial, with which
n m / (n + m) times the index is chi-squared (Yurdakul & Naranjo, *Statistical properties of the population stability index*, 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_EXPECTED = (
    5.0  # rows of a bin in the smaller sample; below it the chi-squared approximation is too generous (Cochran, 1954)
)
PRIOR = 0.5  # rows added to every bin, so that an empty one has a logarithm (Jeffreys)
WORD_VARIANCE = 0.05 * 0.95
"""A word rarer than one text in twenty counts as if it were that common: 0.05 standard deviations are one text in a hundred then."""


@dataclass(frozen=True)
class Effect:
    """`psi` of two samples; `null_psi`: what chance exceeds with the probability asked for; `null_p`: how often it exceeds `psi`."""

    psi: float
    null_psi: float
    null_p: float


def psi_of(reference: Sequence[int], rows: Sequence[int]) -> npt.NDArray[np.float64]:
    """Contribution of every bin to the population stability index: never negative, never infinite."""
    before, after = ((np.asarray(counts, float) + PRIOR) / (sum(counts) + PRIOR * len(counts)) for counts in (reference, rows))
    parts: npt.NDArray[np.float64] = (after - before) * np.log(after / before)
    return parts


def compared(reference: Sequence[int], rows: Sequence[int], rate: float) -> Effect:
    """The effect between two samples in the same bins, against chance at probability `rate`. Both samples must have rows.

    Two tests share the rate: chi-squared over bins of enough rows sees a shift of the whole, an exact test of each bin sees what
    appears in a small one, such as a value that never was.
    """
    from scipy.special import chdtrc, chdtri

    before, after = np.asarray(reference, float), np.asarray(rows, float)
    seen = before + after > 0
    before, after = before[seen], after[seen]
    if len(before) < 2:
        return Effect(0.0, 0.0, 1.0)
    scale = 1 / before.sum() + 1 / after.sum()
    merged = _merged(before, after)
    freedom = merged.shape[1] - 1
    p_whole, null_psi = 1.0, 0.0
    if freedom:
        p_whole = float(chdtrc(freedom, _chi_squared(*merged)))
        null_psi = float(chdtri(freedom, rate / 2)) * scale
    p_bin = len(before) * float(np.min(exact_p(before, after, int(before.sum()), int(after.sum()))))
    total = float(psi_of(before.astype(int).tolist(), after.astype(int).tolist()).sum())
    return Effect(total, null_psi, min(1.0, 2 * p_whole, 2 * p_bin))


def _merged(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Both samples (2 x bins) with the bins of too few expected rows made one, and that one added to the next where it is too small."""
    pooled = before + after
    order = np.argsort(-pooled, kind="stable")
    expected = pooled[order] / pooled.sum() * min(before.sum(), after.sum())
    kept = int((expected >= LEAST_EXPECTED).sum())
    if kept < len(order) and expected[kept:].sum() < LEAST_EXPECTED:
        kept = max(kept - 1, 0)
    both = np.vstack([before[order], after[order]])
    rest = both[:, kept:].sum(axis=1, keepdims=True)
    return np.hstack([both[:, :kept], rest]) if rest.sum() else both


def _chi_squared(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """Pearson's statistic of homogeneity of two samples."""
    pooled = (before + after) / (before.sum() + after.sum())
    return float(sum(((counts - counts.sum() * pooled) ** 2 / (counts.sum() * pooled)).sum() for counts in (before, after)))


def exact_p(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], reference_rows: int, rows: int
) -> npt.NDArray[np.float64]:
    """Two-sided probability of each bin's counts, given their sum: binomial, so on the safe side of the hypergeometric."""
    from scipy.special import bdtr, bdtrc

    total, share = before + after, rows / (rows + reference_rows)
    below = bdtr(after, total, share)
    above = np.where(after > 0, bdtrc(np.maximum(after - 1, 0), total, share), 1.0)
    p: npt.NDArray[np.float64] = np.minimum(1.0, 2 * np.minimum(below, above))
    return p


def word_effects(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], reference_rows: int, rows: int
) -> npt.NDArray[np.float64]:
    """Each word's effect on the scale of the index, from the texts that hold it: its squared shift in standard deviations."""
    old, new = before / reference_rows, after / rows
    middle = (old + new) / 2
    return (new - old) ** 2 / np.maximum(middle * (1 - middle), WORD_VARIANCE)
