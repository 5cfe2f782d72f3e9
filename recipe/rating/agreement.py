"""How far raters agree: Krippendorff's alpha, Cohen's kappa, plain percentages. Plain numpy.

Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; Cohen 1960 and 1968. A unit is one thing that several
raters judged; a value is a point of a scale or a category.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Coincidences(NamedTuple):
    """Pairs of values that two raters gave to the same unit.

    Attributes:
        values: the different values in their order, length V.
        by_unit: shape (units, V, V). A unit rated m times adds its m (m - 1) ordered pairs, each weighing 1 / (m - 1).
            Units with fewer than two ratings are left out.
    """

    values: list[Hashable]
    by_unit: np.ndarray


def coincidences(units: Mapping[str, Sequence[Hashable]]) -> Coincidences:
    """Count the pairs of values of each unit; `units` maps a unit to the values that its raters gave."""
    rated = [ratings for ratings in units.values() if len(ratings) >= 2]
    values = sorted({value for ratings in rated for value in ratings})  # type: ignore[type-var]
    place = {value: number for number, value in enumerate(values)}
    counts = np.zeros((len(rated), len(values)))
    for number, ratings in enumerate(rated):
        for value in ratings:
            counts[number, place[value]] += 1
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs -= counts[:, :, None] * np.eye(len(values))
    return Coincidences(values, pairs / (counts.sum(axis=1) - 1)[:, None, None])


def alpha(table: np.ndarray, level: str) -> float:
    """Return Krippendorff's alpha of a table of coincidences, shape (V, V), values in ascending order.

    `level` is "nominal" (values differ or not) or "ordinal" (the further apart in rank, the worse). NaN where there are
    no pairs, or where all values are one: without variation agreement says nothing.
    """
    frequency = table.sum(axis=1)
    total = frequency.sum()
    distance = _squared_distances(frequency, level)
    expected = frequency @ distance @ frequency
    if total < 2 or expected == 0:
        return float("nan")
    return float(1 - (total - 1) * (table * distance).sum() / expected)


def _squared_distances(frequency: np.ndarray, level: str) -> np.ndarray:
    if level == "nominal":
        return 1 - np.eye(len(frequency))
    if level != "ordinal":
        raise ValueError(f"level is {level!r}; it takes nominal or ordinal")
    # The ratings from one value to the other, both ends counting half: a difference of mid-ranks.
    middle = np.cumsum(frequency) - frequency / 2
    return (middle[:, None] - middle[None, :]) ** 2


def share_within(found: Coincidences, steps: int) -> float:
    """Return the share of pairs of ratings of one unit that lie at most `steps` values of a scale apart; NaN if none.

    A unit weighs as many as its pairs of ratings divided by the ratings less one. With 0 steps: exactly equal.
    """
    table = found.by_unit.sum(axis=0)
    if not table.size:
        return float("nan")
    if steps == 0:
        return float(np.trace(table) / table.sum())
    values = np.asarray(found.values, dtype=float)
    near = np.abs(values[:, None] - values[None, :]) <= steps
    return float(table[near].sum() / table.sum())


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable], weighting: str = "none") -> float:
    """Return Cohen's kappa of two raters' values for the same units; NaN where both gave one and the same value only.

    `weighting` "quadratic" weighs a disagreement by the square of the distance of two numbers, "none" counts every
    disagreement alike.
    """
    values = sorted(set(first) | set(second))  # type: ignore[type-var]
    place = {value: number for number, value in enumerate(values)}
    table = np.zeros((len(values), len(values)))
    for one, other in zip(first, second, strict=True):
        table[place[one], place[other]] += 1
    return kappa_of(table, values, weighting)


def kappa_of(table: np.ndarray, values: Sequence[Hashable], weighting: str = "none") -> float:
    """Return Cohen's kappa of a table of counts, shape (V, V): [i, j] is how often one said i and the other j.

    `weighting` as in `cohen_kappa`; `values` are what i and j stand for.
    """
    if weighting == "quadratic":
        numbers = np.asarray(values, dtype=float)
        weights = (numbers[:, None] - numbers[None, :]) ** 2
    elif weighting == "none":
        weights = 1 - np.eye(len(values))
    else:
        raise ValueError(f"weighting is {weighting!r}; it takes none or quadratic")
    expected = table.sum(axis=1) @ weights @ table.sum(axis=0) / max(table.sum(), 1)
    return float(1 - (table * weights).sum() / expected) if expected else float("nan")
