"""Where learning curves meet: the nearest rising curve through noisy points, and the size at which it reaches a height.

Arrays in, arrays out, many curves at once (one a row); knows no models and no labels.
"""

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-9
"""Heights that differ by less are equal: means of shares of whole rows differ by more, or by rounding alone."""

Floats = npt.NDArray[np.float64]


def rising(curves: Floats) -> Floats:
    """The nearest curves (least squares) that never fall, (n, k) from (n, k): max over i <= k of min over j >= k of mean(i..j).

    R. E. Barlow et al., "Statistical Inference under Order Restrictions" (1972), 1.4.
    """
    points = curves.shape[1]
    sums = np.concatenate([np.zeros((len(curves), 1)), curves.cumsum(axis=1)], axis=1)
    means = {(i, j): (sums[:, j + 1] - sums[:, i]) / (j + 1 - i) for i in range(points) for j in range(i, points)}
    columns = [
        np.max([np.min([means[i, j] for j in range(k, points)], axis=0) for i in range(k + 1)], axis=0) for k in range(points)
    ]
    return np.stack(columns, axis=1)


def crossings(sizes: Floats, curves: Floats, heights: Floats) -> tuple[Floats, Floats]:
    """The first and the last size at which each rising curve is at its height, in straight lines between points.

    (n,) each from sizes (k,), curves (n, k) and heights (n,). Where a curve begins above its height that is the first size, where
    it ends below it the last one.
    """
    first, last = np.full(len(curves), sizes[-1]), np.full(len(curves), sizes[0])
    segments = list(zip(sizes, sizes[1:], curves.T, curves.T[1:], strict=False))

    def within(start: float, end: float, low: Floats, high: Floats, flat: float) -> Floats:
        is_rising = high > low + ROUNDING
        place = np.divide(heights - low, high - low, out=np.full(len(low), flat), where=is_rising)
        return np.asarray(start + np.clip(place, 0, 1) * (end - start))

    for start, end, low, high in reversed(segments):
        first = np.where(high >= heights - ROUNDING, within(start, end, low, high, 0.0), first)
    for start, end, low, high in segments:
        last = np.where(low <= heights + ROUNDING, within(start, end, low, high, 1.0), last)
    return first, last
