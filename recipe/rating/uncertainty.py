"""What another sample of items and raters would change: the bootstrap over both, sample sizes, rank correlation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from recipe.evaluating.resampling import QUANTILES, Interval

SIGNIFICANCE = 0.05  # two-sided, the level of the 95% intervals
POWER = 0.8  # the customary chance to find a difference that is there (Cohen 1988)


class PanelBootstrap:
    """Draws of items and of raters with replacement, independently of each other, the same ones at every call.

    A rating counts as often as its item was drawn times as often as its rater was (the pigeonhole bootstrap, Owen
    2007): ratings of one item, and ratings by one person, are not independent. The intervals are rather too wide than
    too narrow.
    """

    def __init__(self, items: int, raters: int, samples: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.items = generator.multinomial(items, np.full(items, 1 / items), size=samples).astype(float)
        self.raters = generator.multinomial(raters, np.full(raters, 1 / raters), size=samples).astype(float)

    def totals(self, table: np.ndarray) -> np.ndarray:
        """Return the sums over items and raters of a table of shape (items, raters, k) in each draw: (samples, k)."""
        items, raters, width = table.shape
        by_rater = (self.items @ table.reshape(items, raters * width)).reshape(-1, raters, width)
        return np.einsum("srk,sr->sk", by_rater, self.raters)


def interval(value: float, drawn: np.ndarray) -> Interval:
    """Return a figure with its 95% percentile interval; draws without the figure (NaN) are left out."""
    known = drawn[np.isfinite(drawn)]
    if not len(known) or not math.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, QUANTILES)
    return Interval(value, float(low), float(high))


def mean_over_items(rows: Iterable[tuple[str, float]], samples: int, seed: int) -> Interval:
    """Return the mean of the values of (item, value), with its 95% interval over items drawn with replacement."""
    sums: dict[str, list[float]] = defaultdict(list)
    for item, value in rows:
        sums[item].append(value)
    table = np.array([[sum(values), len(values)] for _, values in sorted(sums.items())])
    drawn = PanelBootstrap(len(table), 1, samples, seed).items @ table
    total = table.sum(axis=0)
    return interval(float(total[0] / total[1]), drawn[:, 0] / drawn[:, 1])


class SampleSize(NamedTuple):
    """How many items it takes to tell two systems apart.

    Attributes:
        items: items rated so far.
        needed: items needed for power `POWER` at level `SIGNIFICANCE`; None if there is no difference to find.
    """

    items: int
    needed: int | None

    @property
    def more(self) -> int | None:
        """How many items are still missing; 0 if there are enough."""
        return None if self.needed is None else max(0, self.needed - self.items)


def sample_size(differences: np.ndarray) -> SampleSize:
    """Return how many items are needed, given each item's difference of two systems, the mean over its raters.

    The normal approximation ((z_{1-a/2} + z_{power}) · sd / mean)², with these raters: more items do not make up for
    raters who are no sample of readers. The planned difference is the one found so far, which is itself uncertain.
    """
    items = len(differences)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if mean == 0:
        return SampleSize(items, None)
    quantile = NormalDist().inv_cdf
    reach = quantile(1 - SIGNIFICANCE / 2) + quantile(POWER)
    return SampleSize(items, max(2, math.ceil((reach * deviation / mean) ** 2)))


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation; NaN for fewer than two pairs, or where one side does not vary."""
    if len(first) < 2:
        return float("nan")
    one, other = mid_ranks(first), mid_ranks(second)
    one, other = one - one.mean(), other - other.mean()
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale else float("nan")
