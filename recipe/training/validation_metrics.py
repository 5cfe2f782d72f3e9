"""What training reports: figures over real tokens, as sums of hits and counts, never as means of means.

No logits of a whole evaluation set are held: `reduce_logits` turns each batch's into a token and a loss per position
(6,000 rows × 32 positions × 21,128 words × 4 bytes would be 16 GB).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction, PreTrainedTokenizerFast

from recipe.model.tokenization import SPACE_TOKEN
from recipe.rows.preprocessing import IGNORED_LABEL

TUTORIAL_ROW_TOKENS = 50  # the tutorial pads every row to so many tokens


# Figures of an evaluation in which less is more.
LOWER_IS_BETTER = ("loss", "perplexity")


def figure_names(has_answer: bool, is_generating: bool) -> list[str]:
    """Return the names of an evaluation's figures, `generation_bleu` of `recipe.training.probing` among them.

    Args:
        has_answer: whether the texts have a prompt and an answer (`TextFormat.has_answer`).
    """
    of_answers = [*(["lower_accuracy"] if has_answer else []), "bleu_teacher_forced"]
    return [*LOWER_IS_BETTER, "accuracy", *of_answers, *(["generation_bleu"] if has_answer and is_generating else [])]


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reduce logits (batch, length, vocabulary) to what the metrics need, shifted: position t predicts label t + 1.

    Returns:
        The most probable token (int64) and the negative log-likelihood of the label in nats (float32; 0 at padding),
        both of shape (batch, length - 1).
    """
    logits, targets = logits[:, :-1].float(), labels[:, 1:]
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), targets, reduction="none", ignore_index=IGNORED_LABEL
    )
    return logits.argmax(dim=-1), losses


def answer_mask(labels: np.ndarray, opening_lengths: np.ndarray) -> np.ndarray:
    """Return a mask of the characters of the answers in rows of labels (rows, length), `[SEP]` left out.

    Args:
        opening_lengths: where the answer of each row begins, in tokens. Rows after those, with which several processes
            fill up their last batch, have no label at all.

    Raises:
        ValueError: there are fewer rows than lengths, so that they cannot belong together.
    """
    if len(labels) < len(opening_lengths):
        raise ValueError(f"{len(labels)} rows of labels for {len(opening_lengths)} rows of the held-out set")
    starts = np.zeros(len(labels), dtype=np.int64)
    starts[: len(opening_lengths)] = opening_lengths
    ends = (labels != IGNORED_LABEL).sum(axis=1) - 1
    positions = np.arange(labels.shape[1])
    return (positions >= starts[:, None]) & (positions < ends[:, None])


def make_compute_metrics(
    tokenizer: PreTrainedTokenizerFast, opening_lengths: np.ndarray | None
) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return the `compute_metrics` of an evaluation.

    It returns, all over the real tokens of the whole held-out set: `loss` (nats per token, which replaces the library's
    mean over batches, so that "best" is weighted by tokens too), `perplexity`, `accuracy` (share of tokens after
    `[CLS]` whose most probable prediction is right), and `bleu_teacher_forced` (character BLEU-4 of the most probable
    characters, each predicted from the *true* ones before it). With `opening_lengths` (see
    `answer_mask`; None for texts without prompt and answer) `lower_accuracy` is the accuracy over the characters of the
    answers, of couplets the lower lines, and the BLEU is that of the answers; otherwise of whole texts.
    """
    from recipe.metrics.accuracy import TokenAccuracy
    from recipe.metrics.bleu import CharacterBleu

    vocabulary = tokenizer.get_vocab()
    # The last name is for ids without a token: embeddings padded to a round number have some, and may predict one.
    names = np.full(max(vocabulary.values()) + 2, "□", dtype="<U1")
    for token, index in vocabulary.items():
        names[index] = text_of(token)

    def accuracy(predicted: np.ndarray, expected: np.ndarray) -> float:
        return TokenAccuracy().compute(predictions=predicted, references=expected)["accuracy"]

    def compute_metrics(evaluation: EvalPrediction) -> dict[str, float]:
        predicted, losses = (np.asarray(part) for part in evaluation.predictions)
        labels = np.asarray(evaluation.label_ids)
        expected = labels[:, 1:]
        # Padded rows and, in distributed evaluation, whole padded batches carry ignored labels: they count nowhere.
        real = expected != IGNORED_LABEL
        loss = float(losses[real].astype(np.float64).sum() / real.sum())
        metrics = {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "accuracy": accuracy(predicted[real], expected[real]),
        }
        answer = real & (expected != tokenizer.eos_token_id)
        if opening_lengths is not None:
            answer = answer_mask(labels, opening_lengths)[:, 1:]
            metrics["lower_accuracy"] = accuracy(predicted[answer], expected[answer])
        texts = [_texts(tokens, answer, names) for tokens in (predicted, expected)]
        bleu = CharacterBleu().compute(predictions=texts[0], references=texts[1])
        return metrics | {"bleu_teacher_forced": bleu["score"]}

    return compute_metrics


def text_of(token: str) -> str:
    """Return the character that a token stands for; `□` for a token that is not one character."""
    if token == SPACE_TOKEN:
        return " "
    return token if len(token) == 1 else "□"


def _texts(tokens: np.ndarray, mask: np.ndarray, names: np.ndarray) -> list[str]:
    return ["".join(names[np.minimum(row[chosen], len(names) - 1)]) for row, chosen in zip(tokens, mask, strict=True)]


class TokenWindow:
    """Sums over the micro-batches since the last log record, kept on the device so that no step waits for them."""

    NAMES = ("hits", "targets", "tokens", "rows", "tutorial_hits", "tutorial_targets")

    def __init__(self) -> None:
        self.sums: torch.Tensor | None = None

    @torch.no_grad()
    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count one micro-batch: logits (batch, length, vocabulary), labels (batch, length)."""
        targets = labels[:, 1:]
        real = targets != IGNORED_LABEL
        hits = (logits[:, :-1].argmax(dim=-1) == targets) & real
        inside = real[:, : TUTORIAL_ROW_TOKENS - 1]
        padding = inside.shape[0] * (TUTORIAL_ROW_TOKENS - 1) - inside.sum()
        sums = torch.stack(
            [
                *(
                    hits.sum(),
                    real.sum(),
                    (labels != IGNORED_LABEL).sum(),
                    real.new_full((), len(labels), dtype=torch.int64),
                ),
                *(hits[:, : TUTORIAL_ROW_TOKENS - 1].sum() + padding, inside.sum() + padding),
            ]
        )
        self.sums = sums if self.sums is None else self.sums + sums

    def drain(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, int]:
        """Return the sums over all processes by name and start again from zero; empty if nothing was added."""
        if self.sums is None:
            return {}
        values: Sequence[int] = reduce(self.sums).tolist()
        self.sums = None
        return dict(zip(self.NAMES, values, strict=True))

    def state(self) -> list[int] | None:
        return None if self.sums is None else self.sums.tolist()

    def restore(self, state: list[int] | None, device: torch.device) -> None:
        self.sums = None if state is None else torch.tensor(state, dtype=torch.int64, device=device)


def window_figures(sums: dict[str, int], seconds: float) -> dict[str, Any]:
    """Turn drained sums into log figures.

    `accuracy` counts real tokens. `tutorial_accuracy_padded_to_50` is the figure that the tutorial prints for the same
    predictions: rows cut and padded to 50 tokens, each padding position a hit, since padding is learnt at once.
    """
    return {
        "accuracy": sums["hits"] / max(sums["targets"], 1),
        "tutorial_accuracy_padded_to_50": sums["tutorial_hits"] / max(sums["tutorial_targets"], 1),
        "tokens_per_second": sums["tokens"] / seconds,
    }
