"""Efficiency: throughput and latency from measured seconds."""

import numpy as np

from recipe.metrics.base import REAL, WHOLE, Input, OfflineMetric


class GenerationTiming(OfflineMetric):
    """Couplets and tokens a second, and latency quantiles, of a number of generation calls.

    Inputs, one each call: ``seconds``, ``couplets`` answered, ``tokens`` generated (the end token included).
    ``compute`` returns ``couplets_per_second`` and ``tokens_per_second``, total over total seconds, and
    ``latency_p50_ms`` and ``latency_p95_ms``, quantiles of a call's milliseconds (linear interpolation).
    """

    inputs = (
        Input("seconds", "how long each call took", (REAL,)),
        Input("couplets", "how many it answered", (WHOLE,)),
        Input("tokens", "how many it generated", (WHOLE,)),
    )

    def _compute(self, *, seconds: list[float], couplets: list[int], tokens: list[int]) -> dict[str, float]:
        median, high = np.quantile(seconds, [0.5, 0.95])
        return {
            "couplets_per_second": sum(couplets) / sum(seconds),
            "tokens_per_second": sum(tokens) / sum(seconds),
            "latency_p50_ms": 1000 * float(median),
            "latency_p95_ms": 1000 * float(high),
        }
