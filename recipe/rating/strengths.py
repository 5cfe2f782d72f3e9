"""Strengths of systems from comparisons in pairs: the model of Bradley and Terry (1952), ties as half a win each."""

from __future__ import annotations

import numpy as np

_MOST_ITERATIONS = 200
_LARGEST_STEP = 1.0  # in log-odds; a full Newton step can leave the region in which the quadratic fits
_TOLERANCE = 1e-9


def bradley_terry(wins: np.ndarray, prior_ties: float = 0.0) -> np.ndarray:
    """Return the log strengths of k systems, their mean 0: P(i beats j) = 1 / (1 + exp(s_j - s_i)).

    Newton's method on the log-likelihood, which is concave; many tables are fitted at once.

    Args:
        wins: shape (..., k, k); [i, j] is how often i beat j, a tie counting half for each. The diagonal is ignored.
        prior_ties: ties of each system with an imaginary opponent of average strength. Above 0 strengths are finite
            even for a system that always wins; 0 is maximum likelihood.

    Raises:
        ValueError: `prior_ties` is 0 and some systems never lost to the others (or never met them): then no finite
            strengths exist (Ford 1957).
    """
    systems = wins.shape[-1]
    wins = np.where(np.eye(systems, dtype=bool), 0.0, wins)
    if prior_ties == 0 and not all(_all_reachable(table) for table in wins.reshape(-1, systems, systems)):
        raise ValueError("some systems never lost to the others: their strength has no bound")
    games = wins + np.swapaxes(wins, -1, -2)
    strengths = np.zeros(wins.shape[:-1])
    for _ in range(_MOST_ITERATIONS):
        chances = 1 / (1 + np.exp(strengths[..., None, :] - strengths[..., :, None]))
        against_average = 1 / (1 + np.exp(-strengths))
        gradient = (wins - games * chances).sum(axis=-1) + prior_ties * (0.5 - against_average)
        if np.abs(gradient).max(initial=0) < _TOLERANCE:
            break
        curvature = games * chances * (1 - chances)
        diagonal = curvature.sum(axis=-1) + prior_ties * against_average * (1 - against_average)
        hessian = diagonal[..., None] * np.eye(systems) - curvature
        if prior_ties == 0:
            hessian = hessian + 1 / systems  # pins the mean, which the comparisons alone leave free
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        largest = np.abs(step).max(axis=-1, keepdims=True, initial=0)
        strengths = strengths + step * np.minimum(1, _LARGEST_STEP / np.maximum(largest, _LARGEST_STEP))
    return strengths - strengths.mean(axis=-1, keepdims=True)


def _all_reachable(wins: np.ndarray) -> bool:
    """Whether a chain of wins leads from every system to every other one."""
    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins)):
        reached = reached @ reached
    return bool(reached.all())
