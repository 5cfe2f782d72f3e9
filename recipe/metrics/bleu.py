"""Corpus BLEU over characters, by sacrebleu (Post 2018; Papineni et al. 2002)."""

from itertools import zip_longest
from typing import Any

import evaluate
import numpy as np
from sacrebleu.metrics import BLEU

from recipe.metrics.base import LineMetric, as_reference_lists, overlap_features, without_punctuation

MAX_ORDER = 4


class CharacterBleu(LineMetric):
    """BLEU-1 to BLEU-4 on characters: sacrebleu with ``tokenize="zh"``, against one or several references a line.

    ``compute`` returns, all from 0 to 100:
        score: BLEU-4, exactly ``sacrebleu.metrics.BLEU(tokenize="zh").corpus_score(...).score``;
        bleu1 ... bleu4: BLEU with that largest n-gram order (brevity penalty included);
        precision1 ... precision4: the n-gram precisions alone;
    and brevity_penalty (0 to 1) and ``signature``, sacrebleu's own (for the order 4).

    A corpus without a single n-gram of some order (lines of one to three characters only) has BLEU 0 from that order
    on, as sacrebleu defines it.
    """

    def __init__(self, punctuation: bool = True, **kwargs):
        """With ``punctuation=False`` marks and spaces are taken out of predictions and references first."""
        super().__init__(**kwargs)
        self.punctuation = punctuation
        self.scorer = BLEU(tokenize="zh")

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Corpus BLEU over Chinese characters by sacrebleu.",
            citation="Matt Post. 2018. A Call for Clarity in Reporting BLEU Scores. WMT.",
            inputs_description="predictions: one line each; references: one line or a list of lines each.",
            features=overlap_features(),
        )

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return (lines, 10): length, closest reference length, matched n-grams 1-4, n-grams 1-4."""
        references = as_reference_lists(references)
        if not self.punctuation:
            predictions = [without_punctuation(line) for line in predictions]
            references = [[without_punctuation(line) for line in lines] for lines in references]
        # sacrebleu wants one stream per rank of reference; None fills a stream where a line has fewer references.
        streams = [list(stream) for stream in zip_longest(*references)]
        # The statistics have no public name, but sacrebleu's own significance module is built on this method.
        statistics = self.scorer._extract_corpus_statistics(predictions, streams)
        return np.asarray(statistics, dtype=np.float64)

    def figures(self, sums: np.ndarray) -> dict[str, float]:
        counts = [int(value) for value in sums]
        matched, total = counts[2 : 2 + MAX_ORDER], counts[2 + MAX_ORDER :]
        by_order = [
            BLEU.compute_bleu(
                matched[:order], total[:order], counts[0], counts[1], smooth_method="exp", max_ngram_order=order
            )
            for order in range(1, MAX_ORDER + 1)
        ]
        result = {"score": by_order[-1].score}
        result |= {f"bleu{order}": bleu.score for order, bleu in enumerate(by_order, start=1)}
        result |= {f"precision{order}": value for order, value in enumerate(by_order[-1].precisions, start=1)}
        return result | {"brevity_penalty": by_order[-1].bp}

    @property
    def signature(self) -> str:
        """sacrebleu's signature of the last corpus whose statistics were taken."""
        return str(self.scorer.get_signature())

    def _compute(self, **inputs: Any) -> dict[str, Any]:
        return super()._compute(**inputs) | {"signature": self.signature}
