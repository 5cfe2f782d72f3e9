"""Losses and gradients that are not finite: the step is skipped, counted, reported; too many in a row stop the run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import Rows, tiny_trainer, weights_sha256
from transformers import Trainer, TrainerCallback

from recipe.errors import UserError
from recipe.run_directory import checkpoints_by_step
from recipe.training.checkpoints import problems_of
from recipe.training.nonfinite import GuardedTrainer


def poisoned(steps: set[int], what: str) -> type[GuardedTrainer]:
    """Return a trainer whose loss (and so its gradients), or gradients alone, are not finite in the named steps."""

    class Poisoned(GuardedTrainer):
        def compute_loss(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(model, *args, **kwargs)
            if not model.training or self.state.global_step + 1 not in steps:
                return loss
            if what == "nan loss":
                return loss * math.nan
            if what == "inf loss, finite gradient":
                return loss + math.inf
            model.lm_head.weight.register_hook(lambda gradient: gradient * math.inf)
            return loss

    return Poisoned


class WeightsByStep(TrainerCallback):
    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.weights[state.global_step] = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


@pytest.mark.parametrize("what", ["nan loss", "inf loss, finite gradient"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_is_skipped_whole_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, accumulation: int
) -> None:
    seen = WeightsByStep()
    trainer = tiny_trainer(
        tmp_path,
        [seen],
        trainer_class=poisoned({3, 6}, what),
        per_device_train_batch_size=4 // accumulation,
        gradient_accumulation_steps=accumulation,
        logging_steps=1,
        max_steps=8,
        weight_decay=0.1,
    )
    trainer.train()
    for step in range(2, 9):
        skipped = bool((seen.weights[step] == seen.weights[step - 1]).all())
        assert skipped == (step in (3, 6))  # neither decay nor momentum moved a weight
    assert trainer.skipped_steps == 2
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 8 and all(map(math.isfinite, losses))
    assert trainer.state.log_history[-1]["skipped_steps"] == 2
    said = capsys.readouterr().err
    assert "Skipped step 3: loss" in said and "(2 skipped so far)" in said


def test_an_infinite_gradient_alone_skips_the_step(tmp_path: Path) -> None:
    # The hook stays on the weight: every step from the second on is poisoned.
    with pytest.raises(UserError, match=r"3 steps in a row .*step 4: loss \d.*gradient norm (nan|inf)"):
        tiny_trainer(tmp_path, trainer_class=poisoned({2}, "gradient"), max_steps=10, max_nonfinite_steps=3).train()


def test_too_many_in_a_row_stop_the_run_and_name_the_rows(tmp_path: Path) -> None:
    trainer = tiny_trainer(
        tmp_path, trainer_class=poisoned(set(range(6, 21)), "nan loss"), max_nonfinite_steps=4, save_steps=1
    )
    with pytest.raises(UserError) as error:
        trainer.train()
    message = str(error.value)
    assert "4 steps in a row" in message and "step 9: loss nan" in message
    shown = {line.strip() for line in message.splitlines()[1:]}
    assert len(shown) == 4 and shown <= {str(Rows()[row]["input_ids"].tolist()) for row in range(len(Rows()))}
    newest = tmp_path / f"checkpoint-{max(checkpoints_by_step(tmp_path))}"
    assert newest.name == "checkpoint-8" and problems_of(newest) == []


def test_the_count_in_a_row_survives_a_resume(tmp_path: Path) -> None:
    class Leave(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            raise SystemExit

    bad = poisoned({3, 4, 5, 6}, "nan loss")
    with pytest.raises(SystemExit):
        tiny_trainer(tmp_path, [Leave()], trainer_class=bad, max_nonfinite_steps=4).train()
    with pytest.raises(UserError, match="4 steps in a row"):
        tiny_trainer(tmp_path, trainer_class=bad, max_nonfinite_steps=4).train("auto")


def test_good_numbers_are_left_alone(tmp_path: Path) -> None:
    class Bare(GuardedTrainer):
        get_batch_samples = Trainer.get_batch_samples
        training_step = Trainer.training_step
        _get_grad_norm = Trainer._get_grad_norm

    guarded = tiny_trainer(tmp_path / "guarded")
    guarded.train()
    bare = tiny_trainer(tmp_path / "bare", trainer_class=Bare)
    bare.train()
    assert guarded.skipped_steps == 0
    assert weights_sha256(guarded) == weights_sha256(bare)
    assert all("skipped_steps" not in entry for entry in guarded.state.log_history)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    class Break(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step == 8:
                with torch.no_grad():
                    model.transformer.wte.weight[0, 0] = math.inf

    with pytest.raises(UserError, match="steps in a row"):
        tiny_trainer(tmp_path, [Break()]).train()
    assert list(checkpoints_by_step(tmp_path)) == [4]
