"""Corpus chrF over characters, by sacrebleu (Popović 2015)."""

from itertools import zip_longest
from typing import Any

import evaluate
import numpy as np
from sacrebleu.metrics import CHRF

from recipe.metrics.base import LineMetric, as_reference_lists, overlap_features

CHARACTER_ORDER = 2  # the usual 6 finds nothing to match in lines of five to seven characters


class CharacterChrf(LineMetric):
    """chrF with n-grams up to order 2 and beta 2, from 0 to 100; of several references the best for each line counts.

    ``compute`` returns ``chrf``, exactly ``sacrebleu.metrics.CHRF(char_order=2).corpus_score(...).score``, and
    ``signature``.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scorer = CHRF(char_order=CHARACTER_ORDER)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Corpus chrF of order 2 by sacrebleu.",
            citation="Maja Popović. 2015. chrF: character n-gram F-score for automatic MT evaluation. WMT.",
            inputs_description="predictions: one line each; references: one line or a list of lines each.",
            features=overlap_features(),
        )

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return (lines, 6): for each order the n-grams of the line, of its best reference, and of both."""
        streams = [list(stream) for stream in zip_longest(*as_reference_lists(references))]
        # Not a public name, but sacrebleu's own significance module is built on this method and the next.
        return np.asarray(self.scorer._extract_corpus_statistics(predictions, streams), dtype=np.float64)

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        return {"chrf": self.scorer._compute_score_from_stats(sums.tolist()).score}

    @property
    def signature(self) -> str:
        """sacrebleu's signature of the last corpus whose statistics were taken."""
        return str(self.scorer.get_signature())

    def _compute(self, **inputs: Any) -> dict[str, Any]:
        return super()._compute(**inputs) | {"signature": self.signature}
