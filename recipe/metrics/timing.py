"""Efficiency: throughput and latency from measured seconds."""

import datasets
import evaluate
import numpy as np

from recipe.metrics.base import OfflineMetric


class GenerationTiming(OfflineMetric):
    """Couplets and tokens a second, and latency quantiles, of a number of generation calls.

    Inputs, one each call: ``seconds``, ``couplets`` answered, ``tokens`` generated (the end token included).
    ``compute`` returns ``couplets_per_second`` and ``tokens_per_second``, total over total seconds, and
    ``latency_p50_ms`` and ``latency_p95_ms``, quantiles of a call's milliseconds (linear interpolation).
    """

    def _info(self) -> evaluate.MetricInfo:
        count = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="Throughput and latency of generation calls.",
            citation="",
            inputs_description="seconds, couplets, tokens: one of each for every call.",
            features=datasets.Features({"seconds": datasets.Value("float64"), "couplets": count, "tokens": count}),
        )

    def _compute(self, *, seconds: list[float], couplets: list[int], tokens: list[int]) -> dict[str, float]:
        median, high = np.quantile(seconds, [0.5, 0.95])
        return {
            "couplets_per_second": sum(couplets) / sum(seconds),
            "tokens_per_second": sum(tokens) / sum(seconds),
            "latency_p50_ms": 1000 * float(median),
            "latency_p95_ms": 1000 * float(high),
        }
