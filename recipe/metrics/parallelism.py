"""Parallelism: how well the characters at each position match in kind, learned or by part of speech."""

import logging
from functools import cache, partial

import datasets
import evaluate
import numpy as np

from recipe.couplet.form import is_punctuation
from recipe.couplet.parallelism import CharacterAssociation
from recipe.metrics.base import LineMetric, import_extra


def _pair_info(description: str) -> evaluate.MetricInfo:
    text = datasets.Value("string")
    return evaluate.MetricInfo(
        description=description,
        citation="",
        inputs_description="predictions: lower lines; uppers: the upper lines they answer.",
        features=datasets.Features({"predictions": text, "uppers": text}),
    )


class LearnedParallelism(LineMetric):
    """Mean over lines of ``recipe.couplet.parallelism.CharacterAssociation.score`` (in nats per position).

    Above 0: the characters answer each other more often than chance would have it. A position that only one of the
    two lines has scores 0.
    """

    def __init__(self, association: CharacterAssociation, **kwargs):
        super().__init__(**kwargs)
        self.association = association

    def _info(self) -> evaluate.MetricInfo:
        return _pair_info("Position-aligned association of characters, learned from a training file.")

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, 2): score, 1."""
        scores = self.association.score_lines(uppers, predictions)
        return np.stack([scores, np.ones_like(scores)], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        return {"parallelism": float(sums[0] / sums[1])}


class PartOfSpeechAgreement(LineMetric):
    """Share of the upper line's characters answered by one of the same part of speech, mean over lines, in percent.

    Tags are jieba's, cut to their first letter (noun, verb, adjective, ...). ``unit="character"`` tags each character
    by itself; ``unit="word"`` segments each line and gives a character its word's tag. Marks are not counted.
    Raises ``MissingExtraError`` where jieba is not installed.
    """

    def __init__(self, unit: str = "character", **kwargs):
        super().__init__(**kwargs)
        # Quiet at the cause: jieba reports the loading of its dictionary on stderr at level DEBUG.
        import_extra("jieba").setLogLevel(logging.WARNING)
        self.unit = unit
        self._cut = partial(import_extra("jieba.posseg").cut, HMM=unit == "word")
        self._character_tag = cache(lambda char: next(iter(self._cut(char))).flag[0])

    def _info(self) -> evaluate.MetricInfo:
        return _pair_info("Agreement of parts of speech, position by position.")

    def tags(self, line: str) -> list[str]:
        """Return one tag for each character of the line, marks included."""
        if self.unit == "character":
            return [self._character_tag(char) for char in line]
        return [word.flag[0] for word in self._cut(line) for _ in word.word]

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, 2): share of agreeing positions, 1."""
        rows = [[self._agreement(upper, lower), 1.0] for upper, lower in zip(uppers, predictions, strict=True)]
        return np.asarray(rows)

    def _agreement(self, upper: str, lower: str) -> float:
        positions = [position for position, char in enumerate(upper) if not is_punctuation(char)]
        tags = list(zip(self.tags(upper), self.tags(lower), strict=False))
        hits = sum(tags[position][0] == tags[position][1] for position in positions if position < len(tags))
        return hits / len(positions) if positions else 0.0

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        return {f"pos_{self.unit}": float(100 * sums[0] / sums[1])}
