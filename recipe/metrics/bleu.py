"""Corpus BLEU over characters, by sacrebleu (Post 2018; Papineni et al. 2002)."""

from dataclasses import replace
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU

from recipe.language import N_
from recipe.metrics.base import SacrebleuMetric, as_reference_lists, without_punctuation
from recipe.metrics.figure import Figure, Group

MAX_ORDER = 4
ORDERS = range(1, MAX_ORDER + 1)
WITHOUT_MARKS = "_without_marks"


_DEFINITIONS = (
    N_("corpus BLEU over characters with n-grams up to 1, brevity penalty included (sacrebleu, tokenize=zh), 0 to 100"),
    N_("corpus BLEU over characters with n-grams up to 2, brevity penalty included (sacrebleu, tokenize=zh), 0 to 100"),
    N_("corpus BLEU over characters with n-grams up to 3, brevity penalty included (sacrebleu, tokenize=zh), 0 to 100"),
    N_("corpus BLEU over characters with n-grams up to 4, brevity penalty included (sacrebleu, tokenize=zh), 0 to 100"),
)
_LABELS_WITHOUT_MARKS = {
    "BLEU-1": N_("BLEU-1 without marks"),
    "BLEU-2": N_("BLEU-2 without marks"),
    "BLEU-3": N_("BLEU-3 without marks"),
    "BLEU-4": N_("BLEU-4 without marks"),
    "1-gram precision": N_("1-gram precision without marks"),
    "2-gram precision": N_("2-gram precision without marks"),
    "3-gram precision": N_("3-gram precision without marks"),
    "4-gram precision": N_("4-gram precision without marks"),
    "Brevity penalty": N_("Brevity penalty without marks"),
}
_PRECISIONS = (
    (
        N_("1-gram precision"),
        N_("share of the lower lines' 1-grams that a reference has, by sacrebleu's smoothing, 0 to 100"),
    ),
    (
        N_("2-gram precision"),
        N_("share of the lower lines' 2-grams that a reference has, by sacrebleu's smoothing, 0 to 100"),
    ),
    (
        N_("3-gram precision"),
        N_("share of the lower lines' 3-grams that a reference has, by sacrebleu's smoothing, 0 to 100"),
    ),
    (
        N_("4-gram precision"),
        N_("share of the lower lines' 4-grams that a reference has, by sacrebleu's smoothing, 0 to 100"),
    ),
)


def _bleu(order: int, is_main: bool = False, is_by_length: bool = False) -> Figure:
    definition = _DEFINITIONS[order - 1]
    return Figure(
        f"bleu{order}", f"BLEU-{order}", Group.OVERLAP, definition, is_main=is_main, is_by_length=is_by_length
    )


def _precision(order: int) -> Figure:
    label, definition = _PRECISIONS[order - 1]
    return Figure(f"precision{order}", label, Group.OVERLAP, definition, is_shown=False)


def _without_marks(figure: Figure) -> Figure:
    return replace(
        figure,
        key=figure.key + WITHOUT_MARKS,
        label=_LABELS_WITHOUT_MARKS[figure.label],
        definition=N_("the same without punctuation: marks are copied from the upper line and match for nothing"),
        is_main=figure.key in ("bleu1", "bleu2", "bleu4"),
        is_by_length=False,
    )


class CharacterBleu(SacrebleuMetric):
    """BLEU-1 to BLEU-4 on characters: sacrebleu with ``tokenize="zh"``, against one or several references a line.

    ``compute`` returns, all from 0 to 100:
        score: BLEU-4, exactly ``sacrebleu.metrics.BLEU(tokenize="zh").corpus_score(...).score``;
        bleu1 ... bleu4: BLEU with that largest n-gram order (brevity penalty included);
        precision1 ... precision4: the n-gram precisions alone;
    and brevity_penalty (0 to 1) and ``signature``, sacrebleu's own (for the order 4).

    A corpus without a single n-gram of some order (lines of one to three characters only) has BLEU 0 from that order
    on, as sacrebleu defines it.
    """

    figures = (
        _bleu(1),
        _bleu(2, is_by_length=True),
        _bleu(3),
        _bleu(4, is_main=True),
        *map(_precision, ORDERS),
        Figure(
            "brevity_penalty",
            N_("Brevity penalty"),
            Group.OVERLAP,
            N_("what BLEU is multiplied by for lower lines shorter than the references, 0 to 1"),
            is_shown=False,
        ),
    )
    source = "Matt Post. 2018. A Call for Clarity in Reporting BLEU Scores. WMT."
    signed_figure = "bleu4"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scorer = BLEU(tokenize="zh")

    def values(self, sums: np.ndarray) -> dict[str, float]:
        """Return the figures; the sums are length, closest reference length, matched n-grams 1-4, n-grams 1-4."""
        counts = [int(value) for value in sums]
        matched, total = counts[2 : 2 + MAX_ORDER], counts[2 + MAX_ORDER :]
        by_order = [
            BLEU.compute_bleu(
                matched[:order], total[:order], counts[0], counts[1], smooth_method="exp", max_ngram_order=order
            )
            for order in ORDERS
        ]
        result = {f"bleu{order}": bleu.score for order, bleu in zip(ORDERS, by_order, strict=True)}
        result |= {f"precision{order}": value for order, value in zip(ORDERS, by_order[-1].precisions, strict=True)}
        return result | {"brevity_penalty": by_order[-1].bp}

    def _compute(self, **inputs: Any) -> dict[str, Any]:
        result = super()._compute(**inputs)
        return {"score": result[self.signed_figure]} | result


class CharacterBleuWithoutMarks(CharacterBleu):
    """BLEU as ``CharacterBleu`` has it, after marks and spaces were taken out of predictions and references.

    ``compute`` returns the same keys, each but ``score`` and ``signature`` with ``_without_marks`` at its end.
    """

    figures = tuple(map(_without_marks, CharacterBleu.figures))
    signed_figure = "bleu4_without_marks"

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        return super().line_statistics(
            predictions=[without_punctuation(line) for line in predictions],
            references=[[without_punctuation(line) for line in lines] for lines in as_reference_lists(references)],
        )

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {name + WITHOUT_MARKS: value for name, value in super().values(sums).items()}
