"""Diversity and memory: does a model repeat itself, or its training file?"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Self

import numpy as np
from sacrebleu.metrics import BLEU

from recipe.language import N_
from recipe.metrics.base import ANSWERS, PREDICTIONS, UPPERS, CorpusMetric, LineMetric, without_punctuation
from recipe.metrics.figure import Better, Figure, Group
from recipe.metrics.material import Material

SELF_BLEU_ORDER = 2  # answers of five characters rarely share a longer n-gram


class DistinctCharacters(CorpusMetric):
    """distinct-1 and distinct-2: different characters (bigrams) over all of them, marks aside, in percent.

    Li et al. 2016. The figure falls as a corpus grows, so compare corpora of one size only. No bigram spans two lines.
    """

    inputs = (PREDICTIONS,)
    figures = (
        Figure(
            "distinct1",
            N_("distinct-1"),
            Group.DIVERSITY,
            N_("different characters over all characters of all lower lines, marks aside; depends on their number"),
            "%",
            Better.LIKE_REFERENCES,
        ),
        Figure(
            "distinct2",
            N_("distinct-2"),
            Group.DIVERSITY,
            N_("the same for pairs of neighbouring characters"),
            "%",
            Better.LIKE_REFERENCES,
            is_main=True,
        ),
    )
    source = "Jiwei Li et al. 2016. A Diversity-Promoting Objective Function for Neural Conversation Models."

    def _compute(self, *, predictions: list[str]) -> dict[str, float]:
        lines = [without_punctuation(line) for line in predictions]
        bigrams = [pair for line in lines for pair in pairwise(line)]
        characters = "".join(lines)
        return {
            "distinct1": 100 * len(set(characters)) / len(characters) if characters else 0.0,
            "distinct2": 100 * len(set(bigrams)) / len(bigrams) if bigrams else 0.0,
        }


class SelfBleu(LineMetric):
    """How alike several answers to one upper line are: mean BLEU-2 of each answer against the others, from 0 to 100.

    Zhu et al. 2018, on characters (sacrebleu, tokenize="zh", effective order). 100: always the same answer. Upper
    lines with fewer than two answers are left out.
    """

    inputs = (ANSWERS,)
    figures = (
        Figure(
            "self_bleu",
            "Self-BLEU-2",
            Group.DIVERSITY,
            N_("mean BLEU-2 of each answer against the other answers to the same upper line, 0 to 100"),
            better=Better.LOWER,
        ),
    )
    source = "Yaoming Zhu et al. 2018. Texygen: A Benchmarking Platform for Text Generation Models."

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scorer = BLEU(tokenize="zh", max_ngram_order=SELF_BLEU_ORDER, effective_order=True)

    def line_statistics(self, *, answers: list[list[str]]) -> np.ndarray:
        """Return (upper lines, 2): summed BLEU of the answers, number of answers."""
        return np.asarray([self._against_each_other(lines) for lines in answers], dtype=np.float64)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {"self_bleu": float(sums[0] / sums[1]) if sums[1] else 0.0}

    def _against_each_other(self, lines: list[str]) -> tuple[float, int]:
        if len(lines) < 2:
            return 0.0, 0
        scores = [
            self.scorer.sentence_score(line, lines[:position] + lines[position + 1 :]).score
            for position, line in enumerate(lines)
        ]
        return sum(scores), len(lines)


class TrainingMemory(LineMetric):
    """Percentages of lower lines found verbatim in the training file.

    ``memorised_lines``: the lower line stands there as somebody's lower line; ``memorised_pairs``: it stands there as
    the answer to this very upper line.
    """

    inputs = (PREDICTIONS, UPPERS)
    figures = (
        Figure(
            "memorised_lines",
            N_("Lines of the training file"),
            Group.DIVERSITY,
            N_("lower lines that stand verbatim in the training file, as answer to any upper line"),
            "%",
            Better.LIKE_REFERENCES,
            is_main=True,
        ),
        Figure(
            "memorised_pairs",
            N_("Couplets of the training file"),
            Group.DIVERSITY,
            N_("lower lines that stand there as answer to this very upper line"),
            "%",
            Better.LIKE_REFERENCES,
        ),
    )
    is_for_chance = False  # its lines are drawn from the training file

    def __init__(self, training_lowers: Collection[str], training_pairs: Collection[tuple[str, str]], **kwargs):
        """Both collections are asked for membership once a line: sets make that quick."""
        super().__init__(**kwargs)
        self.training_lowers = training_lowers
        self.training_pairs = training_pairs

    @classmethod
    def made_of(cls, material: Material) -> Self | None:
        known = material.training_file
        return None if known is None else cls(known.lower_set, known.pair_set)

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, 3): line known, pair known, 1."""
        rows = [
            [lower in self.training_lowers, (upper, lower) in self.training_pairs, True]
            for upper, lower in zip(uppers, predictions, strict=True)
        ]
        return np.asarray(rows, dtype=np.float64)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {"memorised_lines": 100 * sums[0] / sums[2], "memorised_pairs": 100 * sums[1] / sums[2]}
