"""AlpacaEval's win rate, and what it would be if the answers of both models were equally long.

Dubois et al. 2024, "Length-Controlled AlpacaEval": a logistic regression of the preference on the difference in length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recipe.evaluating.resampling import Interval
from recipe.rating.uncertainty import PanelBootstrap, interval

_RIDGE = 1e-4  # keeps the coefficients finite where length or the model decides every preference
_ITERATIONS = 50
_LARGEST_STEP = 1.0


class WinRates(NamedTuple):
    """Shares from 0 to 1 in which the model is preferred to the baseline, over the same instructions.

    Attributes:
        length_controlled: the regression's prediction for answers of equal length.
        length_effect: its coefficient of the difference in length; above 0 longer answers are preferred.
    """

    instructions: int
    win_rate: Interval
    length_controlled: Interval
    length_effect: float


def win_rates(
    preferences: np.ndarray, lengths: np.ndarray, baseline_lengths: np.ndarray, samples: int, seed: int
) -> WinRates:
    """Return both win rates with 95% intervals over instructions.

    The model: logit P(model preferred) = a + b tanh(d / sd(d)), d the length of the model's answer minus that of the
    baseline's in characters. AlpacaEval adds a term of each instruction's difficulty, which takes the verdicts on
    many models; it is left out, so that the figure is comparable with others made here, not with the leaderboard's.

    Args:
        preferences: shape (instructions,): 1 where the model is preferred, 0 where the baseline is, 0.5 for a tie.
        lengths, baseline_lengths: of the two answers, in characters.
    """
    term = length_term(lengths, baseline_lengths)
    ones = np.ones((1, len(preferences)))
    draws = PanelBootstrap(len(preferences), 1, samples, seed).items
    found, drawn = fitted(preferences, term, ones)[0], fitted(preferences, term, draws)
    return WinRates(
        len(preferences),
        interval(float(preferences.mean()), draws @ preferences / len(preferences)),
        interval(_probability(found[0]), np.array([_probability(one) for one in drawn[:, 0]])),
        float(found[1]),
    )


def length_term(lengths: np.ndarray, baseline_lengths: np.ndarray) -> np.ndarray:
    """Return tanh of the standardised difference in length; zeros where the differences do not vary."""
    difference = lengths.astype(float) - baseline_lengths
    deviation = difference.std()
    return np.tanh(difference / deviation) if deviation else np.zeros(len(difference))


def fitted(preferences: np.ndarray, term: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (a, b) of the logistic regression for each row of weights, shape (draws, instructions) → (draws, 2).

    Newton's method on the weighted log-likelihood, less a small ridge.
    """
    design = np.stack([np.ones_like(term), term], axis=1)
    found = np.zeros((len(weights), 2))
    for _ in range(_ITERATIONS):
        chances = 1 / (1 + np.exp(-(found @ design.T)))
        gradient = (weights * (preferences - chances)) @ design - _RIDGE * found
        if np.abs(gradient).max() < 1e-9:
            break
        curvature = weights * chances * (1 - chances)
        hessian = np.einsum("sn,ni,nj->sij", curvature, design, design) + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        found = found + step * np.minimum(1, _LARGEST_STEP / np.maximum(largest, _LARGEST_STEP))
    return found


def _probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
