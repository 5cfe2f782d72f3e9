"""Corpus chrF over characters, by sacrebleu (Popović 2015)."""

import numpy as np
from sacrebleu.metrics import CHRF

from recipe.language import N_
from recipe.metrics.base import SacrebleuMetric
from recipe.metrics.figure import Figure, Group

CHARACTER_ORDER = 2  # the usual 6 finds nothing to match in lines of five to seven characters


class CharacterChrf(SacrebleuMetric):
    """chrF with n-grams up to order 2 and beta 2, from 0 to 100; of several references the best for each line counts.

    ``compute`` returns ``chrf``, exactly ``sacrebleu.metrics.CHRF(char_order=2).corpus_score(...).score``, and
    ``signature``.
    """

    figures = (
        Figure(
            "chrf",
            N_("chrF (order 2)"),
            Group.OVERLAP,
            N_("character F-score, n-grams 1 and 2, beta 2 (sacrebleu), 0 to 100"),
        ),
    )
    source = "Maja Popović. 2015. chrF: character n-gram F-score for automatic MT evaluation. WMT."
    signed_figure = "chrf"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scorer = CHRF(char_order=CHARACTER_ORDER)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        """Return chrF; the sums are, for each order, the n-grams of the lines, of their best references, of both."""
        # Not a public name, but sacrebleu's own significance module is built on this method.
        return {"chrf": self.scorer._compute_score_from_stats(sums.tolist()).score}
