"""The figures of training, against values worked by hand."""

import json
import math

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU
from tiny_models import character_tokenizer
from torch.overrides import TorchFunctionMode
from transformers import EvalPrediction

from recipe.rows.preprocessing import IGNORED_LABEL
from recipe.training.validation_metrics import (
    TokenWindow,
    answer_mask,
    make_compute_metrics,
    reduce_logits,
    text_of,
    window_figures,
)

TOKENIZER = character_tokenizer("-春夏秋冬东西南北，")
CLS, SEP, DASH = TOKENIZER.bos_token_id, TOKENIZER.eos_token_id, TOKENIZER.get_vocab()["-"]


def ids(text):
    """Labels of a row: `[CLS] text [SEP]`."""
    return [*TOKENIZER(text).input_ids, SEP]


def padded(rows):
    length = max(map(len, rows))
    return np.array([row + [IGNORED_LABEL] * (length - len(row)) for row in rows])


# ---- Logits to tokens and losses ----


def test_logits_are_shifted_and_reduced():
    logits = torch.log(
        torch.tensor(
            [
                [[0.1, 0.7, 0.2], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]],
                [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05]],
            ]
        )
    )
    labels = torch.tensor([[0, 1, 2], [2, 0, IGNORED_LABEL]])
    predicted, losses = reduce_logits(logits, labels)
    # Position 0 predicts label 1, position 1 label 2; what the last position says has no label.
    assert torch.equal(predicted, torch.tensor([[1, 0], [0, 2]]))
    expected = torch.tensor([[-math.log(0.7), -math.log(0.25)], [-math.log(0.6), 0.0]])
    torch.testing.assert_close(losses, expected)
    assert losses.dtype == torch.float32 and predicted.dtype == torch.int64


def test_half_precision_logits_are_reduced_in_full():
    logits = torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    labels = torch.randint(50, (2, 4), generator=torch.Generator().manual_seed(1))
    _, losses = reduce_logits(logits, labels)
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(losses.mean(), expected)


# ---- The answer ----


def test_the_mask_of_the_answers_literally():
    labels = padded([ids("春夏-秋冬"), ids("春-夏，东-秋冬，西"), ids("春夏")])
    # The first answer begins after the opening of 4 tokens, [CLS] among them; the last text has no opening.
    assert answer_mask(labels, np.array([4, 7, 1])).astype(int).tolist() == [
        [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0],
        [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_rows_without_an_answer_have_an_empty_mask():
    cut_inside_the_opening = ids("春夏秋冬")[:-1]
    all_padding = [IGNORED_LABEL] * 5
    assert not answer_mask(np.array([cut_inside_the_opening, all_padding]), np.array([6])).any()


def test_lengths_of_more_rows_than_there_are_belong_to_another_set():
    with pytest.raises(ValueError, match="1 rows of labels for 2 rows"):
        answer_mask(padded([ids("春-夏")]), np.array([3, 3]))


# ---- compute_metrics ----


def evaluate(rows, predicted, losses, tokenizer=TOKENIZER, has_answer=True):
    """Run compute_metrics on label rows; predictions and losses as `reduce_logits` would give them."""
    labels = padded(rows)
    shape = (len(rows), labels.shape[1] - 1)
    filled_predictions, filled_losses = np.full(shape, 7), np.zeros(shape, np.float32)
    for row, (tokens, nats) in enumerate(zip(predicted, losses, strict=True)):
        filled_predictions[row, : len(tokens)] = tokens
        filled_losses[row, : len(nats)] = nats
    openings = [row.index(DASH) + 1 for row in rows if DASH in row]  # a row of padding has none
    metrics = make_compute_metrics(tokenizer, np.array(openings) if has_answer else None)
    return metrics(EvalPrediction(predictions=(filled_predictions, filled_losses), label_ids=labels))


def test_figures_by_hand():
    rows = [ids("春-夏"), ids("春夏秋-冬东西")]
    # Right except for one character of the upper line in the first row and two of the lower line in the second.
    predicted = [ids("秋-夏")[1:], ids("春夏秋-冬南北")[1:]]
    losses = [[1.0] * 4, [0.5] * 8]
    metrics = evaluate(rows, predicted, losses)
    assert metrics["loss"] == pytest.approx(8 / 12)  # 12 tokens after [CLS]; the mean of the two means would be 0.75
    assert metrics["perplexity"] == pytest.approx(math.exp(8 / 12))
    assert metrics["accuracy"] == pytest.approx(9 / 12)
    assert metrics["lower_accuracy"] == pytest.approx(2 / 4)
    reference = BLEU(tokenize="zh").corpus_score(["夏", "冬南北"], [["夏", "冬东西"]]).score
    assert metrics["bleu_teacher_forced"] == pytest.approx(reference)
    assert all(isinstance(value, float) for value in metrics.values())
    json.dumps(metrics)


def test_padding_and_whole_padded_rows_count_nowhere():
    rows, predicted, losses = [ids("春夏-秋冬")], [ids("春夏-秋东")[1:]], [[0.3] * 6]
    alone = evaluate(rows, predicted, losses)
    # Distributed evaluation fills up with rows of padding; whatever was predicted there, nothing changes.
    joined = evaluate([*rows, [IGNORED_LABEL] * 12], [*predicted, [DASH] * 11], [*losses, [9.0] * 11])
    assert joined == alone


def test_plain_texts_have_no_lower_line():
    metrics = evaluate([ids("春夏秋冬")], [ids("春夏秋东")[1:]], [[1.0] * 5], has_answer=False)
    assert "lower_accuracy" not in metrics
    assert metrics["accuracy"] == pytest.approx(4 / 5)
    reference = BLEU(tokenize="zh").corpus_score(["春夏秋东"], [["春夏秋冬"]]).score
    assert metrics["bleu_teacher_forced"] == pytest.approx(reference)


def test_a_prediction_without_a_token_is_a_box_not_a_crash():
    beyond = len(TOKENIZER) + 40  # embeddings padded to a round number have such rows
    metrics = evaluate([ids("春夏-秋冬")], [[*ids("春夏-")[1:-1], beyond, SEP, SEP]], [[1.0] * 6])
    assert metrics["accuracy"] == pytest.approx(4 / 6) and metrics["lower_accuracy"] == 0.0


def test_a_hopeless_loss_has_a_finite_perplexity():
    assert math.isfinite(evaluate([ids("春-夏")], [[1] * 4], [[5000.0] * 4])["perplexity"])


def test_tokens_read_as_characters():
    assert [text_of(token) for token in ("春", "▁", "[UNK]", "##春", "-")] == ["春", " ", "□", "□", "-"]


# ---- The log window ----


def one_hot(tokens, width=20):
    return torch.nn.functional.one_hot(torch.tensor(tokens), width).float()


def test_the_window_counts_real_tokens_and_the_tutorials_padded_ones():
    window = TokenWindow()
    assert window.drain(lambda sums: sums) == {}
    # Two rows of 6 and 4 tokens: 5 + 3 targets. Three and two of them are right.
    labels = torch.tensor([[2, 5, 6, 4, 7, 3], [2, 5, 4, 3, IGNORED_LABEL, IGNORED_LABEL]])
    predicted = [[5, 6, 4, 9, 9, 0], [5, 9, 3, 0, 0, 0]]
    window.add(one_hot(predicted), labels)
    sums = window.drain(lambda sums: sums)
    assert sums == {
        "hits": 5,
        "targets": 8,
        "tokens": 10,
        "rows": 2,
        # Padded to 50 tokens a row has 49 targets; what is not a real one is padding, a hit each.
        "tutorial_hits": 5 + 2 * 49 - 8,
        "tutorial_targets": 2 * 49,
    }
    figures = window_figures(sums, seconds=4.0)
    assert figures["accuracy"] == 5 / 8
    assert figures["tutorial_accuracy_padded_to_50"] == 95 / 98
    assert figures["tokens_per_second"] == 10 / 4
    assert window.drain(lambda sums: sums) == {}


def test_the_tutorials_figure_cuts_rows_at_50_tokens():
    labels = torch.full((1, 60), 5)
    window = TokenWindow()
    window.add(one_hot([[5] * 60]), labels)
    sums = window.drain(lambda sums: sums)
    assert (sums["hits"], sums["tutorial_hits"], sums["tutorial_targets"]) == (59, 49, 49)


def test_batches_add_up_as_sums_not_as_means():
    window = TokenWindow()
    window.add(one_hot([[5, 9, 9]]), torch.tensor([[2, 5, 3]]))  # 1 of 2
    window.add(one_hot([[5, 5, 5, 5, 5, 5, 5]]), torch.tensor([[2, 5, 5, 5, 5, 5, 5]]))  # 6 of 6
    assert window_figures(window.drain(lambda sums: sums), 1.0)["accuracy"] == 7 / 8


class Calls(TorchFunctionMode):
    """Names of the functions of torch that are called inside the block."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


def test_counting_a_batch_waits_for_no_device():
    labels = torch.from_numpy(padded([ids("春夏-秋冬"), ids("东-西")]))
    with Calls() as calls:
        TokenWindow().add(torch.randn(2, labels.shape[1], len(TOKENIZER)), labels)
    assert "argmax" in calls.names
    # Each of these copies between the host and a device, and waits until all that was started before is done.
    assert calls.names.isdisjoint({"item", "tolist", "__bool__", "new_tensor", "tensor", "cpu", "nonzero"})


def test_the_window_is_summed_over_processes_and_survives_a_checkpoint():
    window = TokenWindow()
    window.add(one_hot([[5, 9, 9]]), torch.tensor([[2, 5, 3]]))
    state = json.loads(json.dumps(window.state()))
    again = TokenWindow()
    again.restore(state, torch.device("cpu"))
    assert again.drain(lambda sums: 2 * sums)["targets"] == 4
    again.restore(None, torch.device("cpu"))
    assert again.state() is None
