"""Likelihood: how surprised a model is by given lower lines."""

import math

import datasets
import evaluate
import numpy as np

from recipe.metrics.base import LineMetric


class ReferenceLikelihood(LineMetric):
    """Loss per character and perplexity of lower lines, given their upper lines.

    Inputs: ``losses``, the summed negative log-likelihood of each lower line in nats, and ``characters``, how many
    characters were summed (the end token is not one). ``compute`` returns ``loss_per_character``, total loss over total
    characters, and ``perplexity``, its exponential: short lines do not weigh more than their characters.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Loss per character and perplexity of lower lines given their upper lines.",
            citation="",
            inputs_description="losses: nats per line; characters: characters per line.",
            features=datasets.Features({"losses": datasets.Value("float64"), "characters": datasets.Value("int64")}),
        )

    def line_statistics(self, *, losses: list[float], characters: list[int]) -> np.ndarray:
        """Return (lines, 2): nats, characters."""
        return np.asarray([losses, characters], dtype=np.float64).T

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        loss = float(sums[0] / sums[1])
        # exp overflows at 709.8; a perplexity of that size is infinite for every purpose.
        return {"loss_per_character": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}
