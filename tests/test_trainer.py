"""The recipe's Trainer: what a step's loss and gradient are, what an evaluation weighs, what is logged."""

import json
import resource
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from finetune_helpers import invented_couplets
from tiny_models import character_tokenizer, tiny_gpt2
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import ProgressCallback, TrainerCallback, TrainerState, TrainingArguments

from recipe.rows.preprocessing import make_collator
from recipe.rows.sampling import epoch_order
from recipe.training.callbacks import (
    _HELD_OUT_FIGURES,
    _TRAINING_FIGURES,
    _WRITING_FIGURES,
    MetricsFile,
    Pace,
    TidyProgress,
    format_duration,
)
from recipe.training.trainer import CoupletTrainer
from recipe.training.validation_metrics import make_compute_metrics, reduce_logits

TOKENIZER = character_tokenizer()
ROWS = [[*TOKENIZER(row).input_ids, TOKENIZER.eos_token_id] for row in invented_couplets(72, seed=4)]
LENGTHS = np.array([len(row) for row in ROWS], dtype=np.int32)


def make_trainer(directory, train=ROWS, validation=ROWS[:10], callbacks=(), group_by_length=True, **arguments):
    settings = {
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 3,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 7,
    }
    dash = TOKENIZER.convert_tokens_to_ids("-")
    openings = np.array([row.index(dash) + 1 for row in validation])
    return CoupletTrainer(
        model=tiny_gpt2(TOKENIZER),
        args=TrainingArguments(str(directory), **(settings | arguments)),
        data_collator=make_collator(TOKENIZER),
        train_dataset=Dataset.from_dict({"input_ids": train}),
        eval_dataset=Dataset.from_dict({"input_ids": validation}),
        processing_class=TOKENIZER,
        compute_metrics=make_compute_metrics(TOKENIZER, openings),
        preprocess_logits_for_metrics=reduce_logits,
        callbacks=list(callbacks),
        train_lengths=np.array([len(row) for row in train], dtype=np.int32),
        group_by_length=group_by_length,
    )


def token_losses(rows, model):
    """The loss of each token after [CLS] of each row, one row at a time, with no library between."""
    losses = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row])
            logits = model.eval()(ids).logits[0, :-1]
            losses.append(cross_entropy(logits, ids[0, 1:], reduction="none").numpy())
    return losses


def records(trainer, key):
    return [record[key] for record in trainer.state.log_history if key in record]


# ---- Loss and gradient ----


class Gradients(TrainerCallback):
    """Keeps the gradient that each step hands to the optimizer."""

    def __init__(self):
        self.steps = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.steps.append(torch.cat([parameter.grad.flatten().clone() for parameter in model.parameters()]))


def steps_of(directory, batch, accumulation, **arguments):
    gradients = Gradients()
    trainer = make_trainer(
        directory,
        callbacks=[gradients],
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        max_steps=4,
        max_grad_norm=0.0,
        **arguments,
    )
    trainer.train()
    return trainer, gradients.steps


@pytest.mark.parametrize("group_by_length", [True, False])
def test_a_batch_of_eight_equals_eight_batches_of_one_on_unequal_lengths(tmp_path, group_by_length):
    whole, whole_gradients = steps_of(tmp_path / "a", 8, 1, group_by_length=group_by_length)
    split, split_gradients = steps_of(tmp_path / "b", 1, 8, group_by_length=group_by_length)
    middle, middle_gradients = steps_of(tmp_path / "c", 2, 4, group_by_length=group_by_length)
    assert len(set(LENGTHS.tolist())) > 3
    for other, gradients in ((split, split_gradients), (middle, middle_gradients)):
        assert records(other, "loss") == pytest.approx(records(whole, "loss"), rel=1e-5)
        assert records(other, "grad_norm") == pytest.approx(records(whole, "grad_norm"), rel=1e-4)
        for step, expected in zip(gradients, whole_gradients, strict=True):
            torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-6)
        # Counts do not depend on the batches either.
        assert records(other, "accuracy") == pytest.approx(records(whole, "accuracy"))


def test_the_loss_of_a_step_is_the_mean_over_its_tokens_not_over_its_rows(tmp_path):
    trainer, gradients = steps_of(tmp_path, 4, 2, group_by_length=False)
    first = [ROWS[row] for row in epoch_order(LENGTHS, 8, 7, 0, False)[:8]]
    losses = token_losses(first, tiny_gpt2(TOKENIZER))
    by_token = np.concatenate(losses).mean()
    by_row = np.mean([row.mean() for row in losses])
    assert abs(by_token - by_row) > 1e-4
    assert records(trainer, "loss")[0] == pytest.approx(by_token, rel=1e-5)
    # The gradient is that of this very number.
    model = tiny_gpt2(TOKENIZER)
    nats = [
        cross_entropy(model(torch.tensor([row])).logits[0, :-1], torch.tensor(row[1:]), reduction="none")
        for row in first
    ]
    torch.cat(nats).mean().backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    torch.testing.assert_close(gradients[0], expected, rtol=1e-3, atol=1e-6)


def test_the_end_token_is_learnt(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=60, learning_rate=2e-2)
    trainer.train()
    row = torch.tensor([ROWS[0]])
    with torch.inference_mode():
        logits = trainer.model.eval()(row).logits[0]
    assert logits[-2].argmax() == TOKENIZER.eos_token_id  # after the lower line's last character


# ---- The order of the rows ----


def test_training_follows_the_samplers_order_epoch_by_epoch(tmp_path):
    seen = []
    trainer = make_trainer(tmp_path, num_train_epochs=2, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    trainer.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.extend(kwargs["attention_mask"].sum(dim=1).tolist()), with_kwargs=True
    )
    trainer.train()
    expected = [LENGTHS[epoch_order(LENGTHS, 8, 7, epoch, True)] for epoch in range(2)]
    assert seen == np.concatenate(expected).tolist()


def test_data_seed_alone_moves_the_rows(tmp_path):
    orders = [
        list(make_trainer(tmp_path, **seeds)._get_train_sampler())
        for seeds in ({"seed": 1}, {"seed": 2}, {"seed": 2, "data_seed": 1})
    ]
    assert orders[0] == orders[2] != orders[1]


# ---- Evaluation ----


def test_an_evaluation_weighs_tokens_and_reads_every_row(tmp_path):
    trainer = make_trainer(tmp_path)
    metrics = trainer.evaluate()
    losses = token_losses(ROWS[:10], tiny_gpt2(TOKENIZER))
    assert metrics["eval_loss"] == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    assert metrics["eval_perplexity"] == pytest.approx(np.exp(np.concatenate(losses).mean()), rel=1e-5)
    hits = total = 0
    model = tiny_gpt2(TOKENIZER).eval()
    for row in ROWS[:10]:
        with torch.inference_mode():
            predicted = model(torch.tensor([row])).logits[0, :-1].argmax(-1)
        hits, total = hits + int((predicted == torch.tensor(row[1:])).sum()), total + len(row) - 1
    assert metrics["eval_accuracy"] == pytest.approx(hits / total)
    assert {"eval_lower_accuracy", "eval_bleu_teacher_forced"} <= metrics.keys()


def test_an_evaluation_does_not_depend_on_its_batches(tmp_path):
    figures = []
    for batch in (1, 3, 10):
        metrics = make_trainer(tmp_path, per_device_eval_batch_size=batch).evaluate()
        figures.append([value for key, value in metrics.items() if not key.endswith(("runtime", "per_second", "time"))])
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)
    assert figures[2] == pytest.approx(figures[0], rel=1e-5)


def test_no_logits_of_a_whole_evaluation_are_held(tmp_path):
    trainer = make_trainer(tmp_path)
    held = trainer.predict(trainer.eval_dataset).predictions
    assert [part.shape for part in held] == [(10, LENGTHS[:10].max() - 1)] * 2


def test_figures_of_generated_lines_join_the_evaluations(tmp_path):
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=2, max_steps=4)
    calls = []
    trainer.generation_metrics = lambda model: calls.append(model) or {"generation_bleu": 12.5}
    trainer.train()
    assert records(trainer, "eval_generation_bleu") == [12.5, 12.5]
    assert calls == [trainer.model] * 2


# ---- What is logged ----


def test_a_training_record_holds_every_promised_figure(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=4, logging_steps=2, callbacks=[MetricsFile(tmp_path)])
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    training = [line for line in lines if "loss" in line]
    assert [line["step"] for line in training] == [2, 4]
    names = {"loss", "accuracy", "tutorial_accuracy_padded_to_50", "learning_rate", "grad_norm", "tokens_per_second"}
    for line in training:
        assert names <= line.keys()
        assert 0 <= line["accuracy"] < line["tutorial_accuracy_padded_to_50"] < 1


def test_the_logged_accuracy_is_that_of_the_predictions_made_in_training(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=1)
    trainer.train()
    model = tiny_gpt2(TOKENIZER)  # the weights before the only step
    hits = total = 0
    for row in (ROWS[row] for row in epoch_order(LENGTHS, 8, 7, 0, True)[:8]):
        with torch.inference_mode():
            predicted = model(torch.tensor([row])).logits[0, :-1].argmax(-1)
        hits, total = hits + int((predicted == torch.tensor(row[1:])).sum()), total + len(row) - 1
    assert records(trainer, "accuracy") == [pytest.approx(hits / total)]
    assert records(trainer, "tutorial_accuracy_padded_to_50") == [pytest.approx((hits + 8 * 49 - total) / (8 * 49))]


def test_evaluating_is_left_out_of_the_tokens_per_second(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2, logging_steps=2, eval_strategy="steps", eval_steps=1)
    trainer.generation_metrics = lambda model: time.sleep(1.0) or {}
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    tokens = sum(LENGTHS[epoch_order(LENGTHS, 8, 7, 0, True)[:16]])
    # Two evaluations of a second each; whatever else the machine was busy with, they are not in the training's time.
    assert tokens / records(trainer, "tokens_per_second")[0] < seconds - 1.99


def test_the_metrics_file_of_a_resumed_run_drops_what_is_trained_again(tmp_path):
    state = TrainerState(global_step=4, log_history=[{"loss": 1, "step": 2}, {"loss": 2, "step": 4}])
    file = MetricsFile(tmp_path)
    earlier = ['{"step": 2, "loss": 1}', '{"step": 4, "loss": 2}', '{"step": 5, "loss": 3}', '{"step": 6, "lo']
    file.path.write_text("\n".join(earlier), encoding="utf-8")
    file.on_train_begin(None, state, None)
    file.on_log(None, state, None, {"loss": 4})
    assert logged_losses(file) == [1, 2, 4]
    file.on_train_begin(None, TrainerState(), None)  # a fresh start
    assert file.path.read_text(encoding="utf-8") == ""


def test_a_metrics_file_that_cannot_be_written_catches_up(tmp_path, capsys):
    state = TrainerState()
    file = MetricsFile(tmp_path)
    file.on_train_begin(None, state, None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for step, limit in enumerate([soft, 10, 10, soft, soft]):
        state.global_step, logs = step, {"loss": step}
        state.log_history.append(logs | {"step": step})
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # what a full disk does, at the tenth byte
        try:
            file.on_log(None, state, None, logs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert logged_losses(file) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err.count("is behind until it can be written again: File too large") == 1


def test_a_figure_that_is_no_number_is_null_in_the_metrics_file(tmp_path):
    file = MetricsFile(tmp_path)
    file.on_log(None, TrainerState(), None, {"loss": 1.5, "grad_norm": float("nan"), "learning_rate": float("inf")})
    written = json.loads(file.path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert written == {"step": 0, "loss": 1.5, "grad_norm": None, "learning_rate": None}


def logged_losses(file):
    return [json.loads(line)["loss"] for line in file.path.read_text(encoding="utf-8").splitlines()]


def test_log_lines_name_their_figures_and_the_time_left(tmp_path, capsys):
    evaluations = {"eval_strategy": "steps", "eval_steps": 4}
    trainer = make_trainer(tmp_path, max_steps=4, logging_steps=2, disable_tqdm=False, **evaluations)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(TidyProgress())
    trainer.train()
    out = capsys.readouterr().out
    (first,) = [line for line in out.splitlines() if line.startswith("step 2/4")]
    for name in ("loss", "accuracy", "padded-to-50", "tokens/s", "left"):
        assert f"  {name} " in first
    assert "step 4/4  held out: loss " in out and "lower line accuracy" in out
    assert "{'" not in out


def test_no_line_of_a_long_run_is_wider_than_100_columns(capsys):
    progress = TidyProgress()
    progress.training_bar = tqdm(disable=True)
    state = TrainerState(global_step=56_250, max_steps=156_250, eval_steps=1000, save_steps=1000)
    arguments = SimpleNamespace(eval_strategy="steps", save_strategy="steps")
    figures = [*_TRAINING_FIGURES, *_HELD_OUT_FIGURES, *_WRITING_FIGURES]
    record = {key: 10.04 if "loss" in key else 0.851 if spec == ".1%" else 50_770.8 for key, _, spec in figures}
    progress.on_log(arguments, state, None, record)
    progress.on_log(arguments, state, None, {key: value for key, value in record.items() if key.startswith("eval")})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "held out: loss 10.0400  perplexity 50770.80" in lines[1]
    assert max(map(len, lines)) <= 100


def test_the_time_left_counts_steps_evaluations_and_saves_each_at_its_own_pace(monkeypatch):
    clock = iter([0.0, 30.0, 31.0, 32.0, 34.0])
    monkeypatch.setattr("recipe.training.callbacks.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    pace = Pace()
    for what in ("evaluation", "step", "step", "save"):
        pace.took(what)
    state = TrainerState(global_step=2, max_steps=100, eval_steps=40, save_steps=100)
    by_steps = SimpleNamespace(eval_strategy="steps", save_strategy="steps")
    assert pace.seconds_left(by_steps, state) == 98 * 1.0 + 3 * 30.0 + 1 * 2.0
    assert pace.seconds_left(SimpleNamespace(eval_strategy="no", save_strategy="no"), state) == 98.0
    state.num_train_epochs, state.epoch = 3, 1.5
    assert pace.seconds_left(SimpleNamespace(eval_strategy="epoch", save_strategy="no"), state) == 98.0 + 2 * 30.0


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7325, "2:02:05")])
def test_durations(seconds, text):
    assert format_duration(seconds) == text
