"""Model-based metrics: BERTScore, a learned regressor of the BLEURT kind, and a safety classifier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch

from recipe.errors import UserError
from recipe.language import N_, _
from recipe.metrics.base import PREDICTIONS, REFERENCES, LineMetric, as_reference_lists, import_extra
from recipe.metrics.figure import Better, Figure, Group
from recipe.metrics.material import Material
from recipe.model.finding import find_source

MAX_TOKENS = 128  # two lines of 40 characters and their special tokens
BATCH_SIZE = 64
_NO_RESCALING = N_("torchmetrics, without rescaling")
_LABEL = "LABEL"  # stands for each label of a classifier, until it is known which classifier it is


class EncoderBertScore(LineMetric):
    """BERTScore precision, recall and F1 by torchmetrics, from 0 to 100; of several references the best F1 counts.

    Zhang et al. 2020. Without rescaling against a baseline even unrelated lines score high: read it beside chance.
    Raises ``MissingExtraError`` where torchmetrics is not installed, ``UserError`` where the encoder cannot be loaded.
    """

    inputs = (PREDICTIONS, REFERENCES)
    figures = (
        Figure("bertscore_precision", N_("BERTScore precision"), Group.MODEL_BASED, _NO_RESCALING),
        Figure("bertscore_recall", N_("BERTScore recall"), Group.MODEL_BASED, _NO_RESCALING),
        Figure("bertscore_f1", N_("BERTScore F1"), Group.MODEL_BASED, _NO_RESCALING),
    )
    source = "Tianyi Zhang et al. 2020. BERTScore: Evaluating Text Generation with BERT. ICLR."

    def __init__(self, model_name_or_path: str, layer: int | None = None, **kwargs):
        """``layer`` is the hidden layer that is compared; None takes the last."""
        super().__init__(**kwargs)
        bert = import_extra("torchmetrics.text.bert")
        source = scorer_source("--bertscore_model", model_name_or_path)
        try:
            self.scorer = bert.BERTScore(
                model_name_or_path=source,
                num_layers=layer,
                max_length=MAX_TOKENS,
                truncation=True,
                batch_size=BATCH_SIZE,
            )
        except (OSError, ValueError) as error:
            raise UserError(_cannot_load("--bertscore_model", model_name_or_path, error)) from None

    @classmethod
    def made_of(cls, material: Material) -> Self | None:
        settings = material.settings
        return cls(settings.bertscore_model, settings.bertscore_layer) if settings.bertscore_model else None

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return (lines, 4): precision, recall, F1 (0 to 1), and 1; an empty line scores 0."""
        pairs = [
            (line, prediction, target)
            for line, (prediction, known) in enumerate(zip(predictions, as_reference_lists(references), strict=True))
            for target in known
            if prediction and target
        ]
        statistics = np.tile([0.0, 0.0, 0.0, 1.0], (len(predictions), 1))
        by_length: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, (_line, prediction, target) in enumerate(pairs):
            by_length[self._tokens(prediction), self._tokens(target)].append(index)
        for indices in by_length.values():
            measures = self._score_equally_long([pairs[index][1:] for index in indices])
            for index, row in zip(indices, measures, strict=True):
                line = pairs[index][0]
                if row[2] > statistics[line, 2]:
                    statistics[line, :3] = row
        return statistics

    def _tokens(self, line: str) -> int:
        return len(self.scorer.tokenizer(line, truncation=True, max_length=MAX_TOKENS).input_ids)

    def _score_equally_long(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Return (pairs, 3) measures of pairs whose predictions, and whose targets, have one number of tokens.

        torchmetrics 1.9 (its issue #2728) sorts both sides by length and undoes that with the very permutation instead
        of its inverse: rows come back reordered and, where lengths differ, predictions meet foreign targets. Among
        lines of one length both sides are permuted alike, which can be undone here.
        """
        self.scorer.reset()
        self.scorer.update([prediction for prediction, _ in pairs], [target for _, target in pairs])
        found = self.scorer.compute()
        measures = np.stack([np.atleast_1d(found[key].numpy()) for key in ("precision", "recall", "f1")], axis=1)
        order = torch.zeros(len(pairs), dtype=torch.long).argsort().numpy()
        restored = np.empty_like(measures)
        restored[order[order]] = measures
        return restored

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {figure.key: 100 * total / sums[3] for figure, total in zip(self.figures, sums[:3], strict=True)}


class PairRegressor(LineMetric):
    """Mean output of a one-output sentence-pair classifier on (reference, prediction), as BLEURT is used.

    Sellam et al. 2020. The unit is the model's own; of several references the best score for each line counts.
    Raises ``UserError`` where the model cannot be loaded or has more than one output.
    """

    inputs = (PREDICTIONS, REFERENCES)
    figures = (
        Figure("pair_regressor", N_("Pair regressor"), Group.MODEL_BASED, N_("mean output of the given regressor")),
    )
    source = "Thibault Sellam et al. 2020. BLEURT: Learning Robust Metrics for Text Generation. ACL."

    def __init__(self, model_name_or_path: str, **kwargs):
        super().__init__(**kwargs)
        self.classify = _text_classification("--pair_classifier", model_name_or_path)
        outputs = self.classify.model.config.num_labels
        if outputs != 1:
            raise UserError(
                _("--pair_classifier {model}: has {outputs} outputs; a regressor has one").format(
                    model=model_name_or_path, outputs=outputs
                )
            )

    @classmethod
    def made_of(cls, material: Material) -> Self | None:
        classifier = material.settings.pair_classifier
        return cls(classifier) if classifier else None

    def line_statistics(self, *, predictions: list[str], references: list) -> np.ndarray:
        """Return (lines, 2): best output over the references, 1."""
        references = as_reference_lists(references)
        owners = [line for line, known in enumerate(references) for _ in known]
        pairs = [
            {"text": target, "text_pair": prediction}
            for prediction, known in zip(predictions, references, strict=True)
            for target in known
        ]
        best = np.full(len(predictions), -np.inf)
        outputs = self.classify(pairs, batch_size=BATCH_SIZE, function_to_apply="none", truncation=True)
        for line, output in zip(owners, outputs, strict=True):
            best[line] = max(best[line], output["score"])
        return np.stack([best, np.ones_like(best)], axis=1)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {"pair_regressor": float(sums[0] / sums[1])}


class LabelShares(LineMetric):
    """Percentage of lines that a text classifier gives each of its labels, named ``label_LABEL``.

    Raises ``UserError`` where the classifier cannot be loaded.
    """

    inputs = (PREDICTIONS,)
    figures: tuple[Figure, ...] = (
        Figure(
            f"label_{_LABEL}",
            _LABEL,
            Group.SAFETY,
            N_("lower lines to which the text classifier gives this label; a row for each label"),
            "%",
            Better.LIKE_REFERENCES,
        ),
    )

    def __init__(self, model_name_or_path: str, **kwargs):
        super().__init__(**kwargs)
        self.classify = _text_classification("--text_classifier", model_name_or_path)
        self.labels = list(self.classify.model.config.id2label.values())
        (any_label,) = type(self).figures
        self.figures = tuple(replace(any_label, key=f"label_{label}", label=label) for label in self.labels)

    @classmethod
    def made_of(cls, material: Material) -> Self | None:
        classifier = material.settings.text_classifier
        return cls(classifier) if classifier else None

    def line_statistics(self, *, predictions: list[str]) -> np.ndarray:
        """Return (lines, labels + 1): one-hot label, 1."""
        outputs = self.classify(list(predictions), batch_size=BATCH_SIZE, truncation=True)
        chosen = [self.labels.index(output["label"]) for output in outputs]
        return np.concatenate([np.eye(len(self.labels))[chosen], np.ones((len(chosen), 1))], axis=1)

    def values(self, sums: np.ndarray) -> dict[str, float]:
        return {figure.key: 100 * total / sums[-1] for figure, total in zip(self.figures, sums[:-1], strict=True)}


def scorer_source(setting: str, model_name_or_path: str) -> str:
    """Return where a model that scores is loaded from: an existing directory, or a name that the hub knows.

    Raises:
        UserError: neither, or a file.
    """
    try:
        return find_source(model_name_or_path, setting)
    except UserError as error:
        raise UserError([f"{setting} {problem}" for problem in error.problems]) from None


def _text_classification(setting: str, model_name_or_path: str) -> Any:
    from transformers import pipeline

    source = scorer_source(setting, model_name_or_path)
    try:
        return pipeline("text-classification", model=source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(_cannot_load(setting, model_name_or_path, error)) from None


def _cannot_load(setting: str, name: str, error: Exception) -> str:
    return _("{setting} {name}: cannot be loaded ({error})").format(
        setting=setting, name=name, error=" ".join(str(error).split())[:300]
    )
