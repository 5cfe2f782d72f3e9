"""Diversity and memory: does a model repeat itself, or its training file?"""

from collections.abc import Collection
from itertools import pairwise

import datasets
import evaluate
import numpy as np
from sacrebleu.metrics import BLEU

from recipe.metrics.base import LineMetric, OfflineMetric, without_punctuation

SELF_BLEU_ORDER = 2  # answers of five characters rarely share a longer n-gram


class DistinctCharacters(OfflineMetric):
    """distinct-1 and distinct-2: different characters (bigrams) over all of them, marks aside, in percent.

    Li et al. 2016. The figure falls as a corpus grows, so compare corpora of one size only. No bigram spans two lines.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of different characters and bigrams among all of them.",
            citation="Jiwei Li et al. 2016. A Diversity-Promoting Objective Function for Neural Conversation Models.",
            inputs_description="predictions: lines.",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

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

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scorer = BLEU(tokenize="zh", max_ngram_order=SELF_BLEU_ORDER, effective_order=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Mean BLEU-2 of each answer against the other answers to the same upper line.",
            citation="Yaoming Zhu et al. 2018. Texygen: A Benchmarking Platform for Text Generation Models.",
            inputs_description="predictions: the list of answers to each upper line.",
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("string"))}),
        )

    def line_statistics(self, *, predictions: list[list[str]]) -> np.ndarray:
        """Return (upper lines, 2): summed BLEU of the answers, number of answers."""
        return np.asarray([self._against_each_other(answers) for answers in predictions], dtype=np.float64)

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        return {"self_bleu": float(sums[0] / sums[1]) if sums[1] else 0.0}

    def _against_each_other(self, answers: list[str]) -> tuple[float, int]:
        if len(answers) < 2:
            return 0.0, 0
        scores = [
            self.scorer.sentence_score(answer, answers[:position] + answers[position + 1 :]).score
            for position, answer in enumerate(answers)
        ]
        return sum(scores), len(answers)


class TrainingMemory(LineMetric):
    """Percentages of lower lines found verbatim in the training file.

    ``memorised_lines``: the lower line stands there as somebody's lower line; ``memorised_pairs``: it stands there as
    the answer to this very upper line.
    """

    def __init__(self, training_lowers: Collection[str], training_pairs: Collection[tuple[str, str]], **kwargs):
        """Both collections are asked for membership once a line: sets make that quick."""
        super().__init__(**kwargs)
        self.training_lowers = training_lowers
        self.training_pairs = training_pairs

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Share of lower lines found verbatim in the training file.",
            citation="",
            inputs_description="predictions: lower lines; uppers: the upper lines they answer.",
            features=datasets.Features({"predictions": text, "uppers": text}),
        )

    def line_statistics(self, *, predictions: list[str], uppers: list[str]) -> np.ndarray:
        """Return (lines, 3): line known, pair known, 1."""
        rows = [
            [lower in self.training_lowers, (upper, lower) in self.training_pairs, True]
            for upper, lower in zip(uppers, predictions, strict=True)
        ]
        return np.asarray(rows, dtype=np.float64)

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        return {"memorised_lines": 100 * sums[0] / sums[2], "memorised_pairs": 100 * sums[1] / sums[2]}
