"""Uncertainty by the bootstrap: figures computed again on upper lines drawn with replacement. Plain numpy.

Koehn 2004 (statistical significance tests for machine translation evaluation): 95% percentile intervals. Two systems
are compared on the very same draws, so that what makes an upper line hard for both does not widen the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

QUANTILES = (0.025, 0.975)

Figures = Callable[[np.ndarray], Mapping[str, float]]


class Interval(NamedTuple):
    """A figure on all lines, and the bounds of its 95% interval."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Draws of upper lines, the same ones at every call."""

    def __init__(self, samples: int, seed: int) -> None:
        self.samples = samples
        self.seed = seed

    def intervals(self, figures: Figures, statistics: np.ndarray) -> dict[str, Interval]:
        """Return each figure of `statistics`, shape (lines, statistics), with its interval."""
        drawn = self._redrawn(figures, statistics)
        return {name: _interval(float(value), drawn[name]) for name, value in figures(statistics.sum(axis=0)).items()}

    def differences(self, figures: Figures, first: np.ndarray, second: np.ndarray) -> dict[str, Interval]:
        """Return each figure of `first` minus that of `second` (same lines, same shape), with the paired interval."""
        value, other = figures(first.sum(axis=0)), figures(second.sum(axis=0))
        drawn, other_drawn = self._redrawn(figures, first), self._redrawn(figures, second)
        return {name: _interval(float(value[name] - other[name]), drawn[name] - other_drawn[name]) for name in value}

    def _redrawn(self, figures: Figures, statistics: np.ndarray) -> dict[str, np.ndarray]:
        """Return each figure on every draw, shape (samples,)."""
        generator = np.random.default_rng(self.seed)
        lines = len(statistics)
        rows = []
        for _ in range(self.samples):
            times_drawn = np.bincount(generator.integers(lines, size=lines), minlength=lines)
            rows.append(figures(times_drawn @ statistics))
        # A draw can miss a figure that all lines together have, such as the tones of the only line of seven characters.
        return {name: np.asarray([row.get(name, np.nan) for row in rows]) for name in figures(statistics.sum(axis=0))}


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.nanquantile(drawn, QUANTILES)
    return Interval(value, float(low), float(high))


def area_under_curve(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return the probability that a random positive scores above a random negative, ties counting half.

    This is the statistic of Mann and Whitney (1947) over the number of pairs.
    """
    _, places, counts = np.unique(np.concatenate([positives, negatives]), return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_ranks[places[: len(positives)]].sum()
    return float((rank_sum - len(positives) * (len(positives) + 1) / 2) / (len(positives) * len(negatives)))
