"""Likelihood: how surprised a model is by given lower lines."""

import math

import numpy as np

from recipe.language import N_
from recipe.metrics.base import CHARACTERS, LOSSES, LineMetric
from recipe.metrics.figure import Better, Figure, Group


class ReferenceLikelihood(LineMetric):
    """Loss per character and perplexity of lower lines, given their upper lines.

    Inputs: ``losses``, the summed negative log-likelihood of each lower line in nats, and ``characters``, how many
    characters were summed (the end token is not one). ``compute`` returns ``loss_per_character``, total loss over total
    characters, and ``perplexity``, its exponential: short lines do not weigh more than their characters.
    """

    inputs = (LOSSES, CHARACTERS)
    figures = (
        Figure(
            "loss_per_character",
            N_("Loss per character"),
            Group.LIKELIHOOD,
            N_(
                "negative log-likelihood of the first known lower line given the upper line, over its characters (the "
                "end token is not one); chance: of the random line"
            ),
            N_("nats"),
            Better.LOWER,
            is_main=True,
            is_by_length=True,
        ),
        Figure(
            "perplexity",
            N_("Perplexity"),
            Group.LIKELIHOOD,
            N_("exp(loss per character)"),
            better=Better.LOWER,
            is_main=True,
        ),
    )

    def line_statistics(self, *, losses: list[float], characters: list[int]) -> np.ndarray:
        """Return (lines, 2): nats, characters."""
        return np.asarray([losses, characters], dtype=np.float64).T

    def values(self, sums: np.ndarray) -> dict[str, float]:
        loss = float(sums[0] / sums[1])
        # exp overflows at 709.8; a perplexity of that size is infinite for every purpose.
        return {"loss_per_character": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}
