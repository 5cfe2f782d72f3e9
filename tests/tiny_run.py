"""A training run of a second, for the tests that interrupt, damage and resume one; also a script that can be killed.

As a script, `python tests/tiny_run.py OUTPUT_DIR [--seconds_per_step S] [--workers N]` goes on from what stands in
OUTPUT_DIR and writes the final weights' sha256 and what was logged to OUTPUT_DIR/result.json. With RANK and WORLD_SIZE
set, as a launcher does, it is one process of several.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments
from transformers.utils import logging

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_models import tiny_gpt2

from recipe.errors import run_or_explain
from recipe.training.interruption import InterruptionCallback, stop_with_launcher
from recipe.training.nonfinite import GuardedTrainer
from recipe.training.optimizers import muon_for
from recipe.training.run_lock import run_lock

VOCABULARY = 40
ROWS = 40
IDENTITY = {"data": "forty rows", "seed": 7}


class Rows(torch.utils.data.Dataset):
    """Forty rows of token ids, each a function of its number alone."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        ids = torch.randint(VOCABULARY, (12,), generator=torch.Generator().manual_seed(row))
        return {"input_ids": ids, "labels": ids}


def tiny_trainer(
    output_dir: str | Path,
    callbacks: list[TrainerCallback] | None = None,
    trainer_class: Callable[..., GuardedTrainer] = GuardedTrainer,
    identity: dict[str, Any] | None = None,
    allow_changed: bool = False,
    max_nonfinite_steps: int = 5,
    dropout: float = 0.1,
    muon: bool = False,
    **arguments: Any,
) -> GuardedTrainer:
    """Return a trainer of 20 steps in two epochs with dropout, a checkpoint every 4 steps and a log every 3."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    settings = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "learning_rate": 1e-2,
        "save_steps": 4,
        "logging_steps": 3,
        "eval_strategy": "steps",
        "eval_steps": 5,
        "eval_on_start": True,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 7,
    }
    training_arguments = TrainingArguments(str(output_dir), **(settings | arguments))
    return trainer_class(
        tiny_gpt2(VOCABULARY, dropout=dropout, n_positions=16, n_layer=2),
        training_arguments,
        train_dataset=Rows(),
        eval_dataset=torch.utils.data.Subset(Rows(), range(8)),
        callbacks=[InterruptionCallback(), *(callbacks or [])],
        run_identity=identity or IDENTITY,
        allow_changed=allow_changed,
        max_nonfinite_steps=max_nonfinite_steps,
        optimizer_cls_and_kwargs=muon_for(training_arguments) if muon else None,
    )


def weights_sha256(trainer: GuardedTrainer) -> str:
    """Return one checksum over all weights of the trainer's model."""
    weights = b"".join(weight.detach().numpy().tobytes() for weight in trainer.model.parameters())
    return hashlib.sha256(weights).hexdigest()


def logged(trainer: GuardedTrainer) -> list[dict[str, float]]:
    """Return what the run logged, without what depends on the clock."""
    timed = ("runtime", "per_second")
    return [{k: v for k, v in entry.items() if not k.endswith(timed)} for entry in trainer.state.log_history]


class LeaveAfterSave(TrainerCallback):
    """Ends the run as a kill right after a save would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise SystemExit


class PoisonedElsewhere(GuardedTrainer):
    """A trainer whose third step has an infinite loss, with finite gradients, in the second of two processes only."""

    def compute_loss(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, *args, **kwargs)
        is_poisoned = model.training and self.state.global_step == 2 and self.args.process_index == 1
        return loss + math.inf if is_poisoned else loss


class SlowSteps(TrainerCallback):
    """Gives a signal time to arrive, and says on standard output which step has ended."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        print(f"step {state.global_step}", flush=True)
        time.sleep(self.seconds)


def main(argv: Any) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--seconds_per_step", type=float, default=0)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args(argv)
    stop_with_launcher()
    is_first = os.environ.get("RANK", "0") == "0"
    with run_lock(options.output_dir) if is_first else contextlib.nullcontext():
        slow = SlowSteps(options.seconds_per_step)
        trainer = tiny_trainer(options.output_dir, [slow], PoisonedElsewhere, dataloader_num_workers=options.workers)
        trainer.train("auto")
    if is_first:
        result = {"sha256": weights_sha256(trainer), "logged": logged(trainer)}
        (options.output_dir / "result.json").write_text(json.dumps(result), encoding="utf-8")
    trainer.end()
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
