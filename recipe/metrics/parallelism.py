"""Parallelism: how well the characters at each position match in kind, learned or by part of speech."""

from __future__ import annotations

import logging
from functools import cache, partial
from typing import ClassVar, Self

import numpy as np

from recipe.couplet.form import is_punctuation
from recipe.couplet.parallelism import CharacterAssociation
from recipe.language import N_, _
from recipe.metrics.base import PREDICTIONS, UPPERS, LeftOutError, LineMetric, import_extra
from recipe.metrics.figure import Better, Figure, Group
from recipe.metrics.material import Material


class LearnedParallelism(LineMetric):
    """Mean over lines of ``recipe.couplet.parallelism.CharacterAssociation.score`` (in nats per position).

    Above 0: the characters answer each other more often than chance would have it. A position that only one of the
    two lines has scores 0.
    """

    inputs = (PREDICTIONS, UPPERS)
    figures = (
        Figure(
            "parallelism",
            N_("Learned parallelism"),
            Group.PARALLELISM,
            N_(
                "mean over positions of how much more often the two characters answer each other in the training file "
                "than independent ones would (pointwise mutual information, shrunken); 0 is chance"
            ),
            N_("nats"),
            Better.LIKE_REFERENCES,
            is_main=True,
            is_by_length=True,
        ),
    )
    must_separate = True
    is_plotted = True

    def __init__(self, association: CharacterAssociation, **kwargs):
        super().__init__(**kwargs)
        self.association = association

    @classmethod
    def made_of(cls, material: Material) -> Self | None:
        known = material.training_file
        if known is None:
            raise LeftOutError(_("the learned parallelism needs couplets to learn from; give --train_file"))
        return cls(CharacterAssociation.learn(known.uppers, known.lowers))

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, 2): score, 1."""
        scores = self.association.score_lines(uppers, predictions)
        return np.stack([scores, np.ones_like(scores)], axis=1)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {"parallelism": float(sums[0] / sums[1])}


class PartOfSpeechAgreement(LineMetric):
    """Share of the upper line's characters answered by one of the same part of speech, mean over lines, in percent.

    Each character is tagged by itself; tags are jieba's, cut to their first letter (noun, verb, adjective, ...). Marks
    are not counted. Raises ``MissingExtraError`` where jieba is not installed.
    """

    inputs = (PREDICTIONS, UPPERS)
    figures = (
        Figure(
            "pos_character",
            N_("Part of speech, by character"),
            Group.PARALLELISM,
            N_("characters answered by one of the same part of speech, each tagged by itself (jieba)"),
            "%",
            Better.LIKE_REFERENCES,
        ),
    )
    must_separate = True
    guesses_words: ClassVar[bool] = False  # whether jieba may take characters together that its dictionary has not

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Quiet at the cause: jieba reports the loading of its dictionary on stderr at level DEBUG.
        import_extra("jieba").setLogLevel(logging.WARNING)
        self._cut = partial(import_extra("jieba.posseg").cut, HMM=self.guesses_words)
        self._character_tag = cache(lambda char: next(iter(self._cut(char))).flag[0])

    def tags(self, line: str) -> list[str]:
        """Return one tag for each character of the line, marks included."""
        return [self._character_tag(char) for char in line]

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, 2): share of agreeing positions, 1."""
        rows = [[self._agreement(upper, lower), 1.0] for upper, lower in zip(uppers, predictions, strict=True)]
        return np.asarray(rows)

    def _agreement(self, upper: str, lower: str) -> float:
        positions = [position for position, char in enumerate(upper) if not is_punctuation(char)]
        tags = list(zip(self.tags(upper), self.tags(lower), strict=False))
        hits = sum(tags[position][0] == tags[position][1] for position in positions if position < len(tags))
        return hits / len(positions) if positions else 0.0

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {self.figures[0].key: float(100 * sums[0] / sums[1])}


class WordClassAgreement(PartOfSpeechAgreement):
    """Share of the upper line's characters answered by one of a word of the same part of speech, in percent.

    As ``PartOfSpeechAgreement``, but jieba cuts each line into words, and a character has its word's tag.
    """

    figures = (
        Figure(
            "pos_word",
            N_("Part of speech, by word"),
            Group.PARALLELISM,
            N_("the same with the tags of the words that jieba finds in the line"),
            "%",
            Better.LIKE_REFERENCES,
        ),
    )
    guesses_words = True

    def tags(self, line: str) -> list[str]:
        return [word.flag[0] for word in self._cut(line) for _ in word.word]
