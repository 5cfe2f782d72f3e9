"""ROUGE-1, -2 and -L over characters, by rouge-score (Lin 2004)."""

import numpy as np

from recipe.language import N_
from recipe.metrics.base import PREDICTIONS, REFERENCES, LineMetric, as_reference_lists, import_extra
from recipe.metrics.figure import Figure, Group

KINDS = ("rouge1", "rouge2", "rougeL")


class Characters:
    """The tokenizer that rouge-score is given: its default drops everything but a-z and 0-9, so Chinese scores 0."""

    def tokenize(self, text: str) -> list[str]:
        """Return the characters of the text without whitespace."""
        return [char for char in text if not char.isspace()]


class CharacterRouge(LineMetric):
    """Mean F-measure of ROUGE-1, -2 and -L on characters, from 0 to 100; of several references the best counts.

    rouge-score gives 0 for ROUGE-2 to a line of one character, even against itself: lines whose references are all that
    short are left out of the mean of ROUGE-2.
    Raises ``MissingExtraError`` where rouge-score is not installed.
    """

    inputs = (PREDICTIONS, REFERENCES)
    figures = (
        Figure("rouge1", "ROUGE-1", Group.OVERLAP, N_("mean F-measure of common characters (rouge-score), 0 to 100")),
        Figure("rouge2", "ROUGE-2", Group.OVERLAP, N_("mean F-measure of common character bigrams, 0 to 100")),
        Figure("rougeL", "ROUGE-L", Group.OVERLAP, N_("mean F-measure of the longest common subsequence, 0 to 100")),
    )
    source = "Chin-Yew Lin. 2004. ROUGE: A Package for Automatic Evaluation of Summaries."

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer = Characters()
        self.scorer = import_extra("rouge_score.rouge_scorer").RougeScorer(list(KINDS), tokenizer=self.tokenizer)

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return (lines, 5): the three F-measures of the line (0 to 1), 1, and whether a reference has a bigram."""
        rows = []
        for prediction, targets in zip(predictions, as_reference_lists(references), strict=True):
            scores = self.scorer.score_multi(targets, prediction)
            has_bigram = any(len(self.tokenizer.tokenize(target)) > 1 for target in targets)
            rows.append([scores[kind].fmeasure for kind in KINDS] + [1.0, has_bigram])
        return np.asarray(rows, dtype=np.float64)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        *measures, lines, lines_with_bigram = sums
        counts = (lines, max(lines_with_bigram, 1), lines)
        return {kind: 100 * total / count for kind, total, count in zip(KINDS, measures, counts, strict=True)}
