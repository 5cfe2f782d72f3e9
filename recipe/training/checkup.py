"""`--check`: the whole job in miniature, and what the real one will cost. Nothing is trained and nothing is kept."""

from __future__ import annotations

import contextlib
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import AutoModelForCausalLM, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe import disk
from recipe.errors import UserError
from recipe.language import _
from recipe.memory import peak_memory
from recipe.model.modeling import load_model
from recipe.model.tokenization import load_tokenizer
from recipe.run_directory import CHECK_PREFIX, checkpoint_directory
from recipe.training.arguments import make_training_arguments
from recipe.training.callbacks import format_duration
from recipe.training.job import Job, make_trainer, planned_evaluations, planned_saves, planned_steps
from recipe.training.sharding import load_weights
from recipe.training.trainer import CoupletTrainer

_MIN_STEPS, _MAX_STEPS = 6, 20
_STEP_SECONDS = 8.0
_LEAST_SPREAD = 0.1  # of the estimate, either way: a machine is not equally fast for hours
_VALIDATION_ROWS = 64


class _Stopwatch(TrainerCallback):
    """Stop training after some steps and seconds, with an evaluation and a save; the first step only warms up.

    Of several processes the first one's clock decides: all must stop after the same step.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []  # of each step
        self._started = self._last = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = time.perf_counter()
        if state.global_step > 1:
            self.seconds.append(now - self._last)
        self._last = now
        is_enough = broadcast_object_list([state.global_step >= _MIN_STEPS and now - self._started > _STEP_SECONDS])[0]
        if is_enough or state.global_step == args.max_steps:
            control.should_training_stop = control.should_evaluate = control.should_save = True


def check_job(job: Job, typed: dict[str, Any]) -> None:
    """Train a few steps, evaluate, save, reload and answer one line, in a directory that goes away; then say the cost.

    Raises:
        UserError: whatever would have stopped the real run.
    """
    steps = planned_steps(job)
    with _directory_of_all(job.arguments) as directory:
        miniature = _miniature(job, typed, directory)
        stopwatch = _Stopwatch()
        trainer = make_trainer(miniature)
        trainer.add_callback(stopwatch)
        trainer.train()
        checkpoint = checkpoint_directory(directory, trainer.state.global_step)
        weights = trainer.gather_weights()
        if job.arguments.process_index != 0:
            return
        seconds_saved = _check_reload(miniature, trainer, checkpoint, weights)
        taken = sum(file.stat().st_size for file in checkpoint.iterdir())
        needed = disk.run_bytes(taken, job.arguments.save_total_limit, planned_saves(job))
        disk.check_space_for_run(str(job.arguments.output_dir), needed)
    print("\n".join(_cost(job, trainer, stopwatch, steps, needed, seconds_saved)), flush=True)


@contextlib.contextmanager
def _directory_of_all(arguments: TrainingArguments) -> Iterator[str]:
    """Yield one directory to all processes, made and removed by the first."""
    is_first = arguments.process_index == 0
    made = tempfile.mkdtemp(prefix=CHECK_PREFIX, dir=str(arguments.output_dir)) if is_first else ""
    try:
        yield broadcast_object_list([made])[0]
    finally:
        if is_first:
            shutil.rmtree(made, ignore_errors=True)


def _miniature(job: Job, typed: dict[str, Any], directory: str) -> Job:
    """Return the job with a few steps, a few held-out rows, and a directory of its own."""
    overrides = {
        "output_dir": directory,
        "max_steps": _MAX_STEPS,
        "eval_on_start": False,
        "eval_strategy": "no",
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "report_to": "none",
    }
    validation = job.validation.first(_VALIDATION_ROWS)
    return replace(job, arguments=make_training_arguments(typed | overrides), validation=validation)


def _check_reload(job: Job, trainer: CoupletTrainer, checkpoint: Path, weights: dict[str, Any] | None) -> float:
    """Load the checkpoint back as a stranger would, compare its logits with the model's; return the seconds it took.

    Args:
        weights: of a sharded model, whose checkpoint is read back into a whole one.
    """
    started = time.perf_counter()
    # Without accelerate's autocast around its forward pass: the reloaded model has none.
    unwrapped = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if weights is None:
        reloaded = load_model(str(checkpoint), load_tokenizer(str(checkpoint)))
        trained = unwrapped.to("cpu", torch.float32).eval()
    else:
        reloaded, trained = (AutoModelForCausalLM.from_config(unwrapped.config).float() for _ in range(2))
        load_weights(checkpoint, reloaded, alone=True)
        trained.load_state_dict(weights)
        trained.eval()
    ids = torch.tensor([job.train.dataset[0]["input_ids"]])
    for model in (reloaded, trained):
        model.set_attn_implementation("eager")  # as training on a CPU has it; another kernel rounds otherwise
    with torch.inference_mode():
        difference = (reloaded.eval()(ids).logits - trained(ids).logits).abs().max().item()
    if difference != 0.0:
        raise UserError(
            _("{checkpoint}: the reloaded weights give other logits (largest difference {difference:.2g})").format(
                checkpoint=checkpoint, difference=difference
            )
        )
    return time.perf_counter() - started


def likely_range(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the bounds between which the mean of many such times lies: two standard errors, at least a tenth."""
    mean = statistics.fmean(seconds)
    error = statistics.stdev(seconds) / math.sqrt(len(seconds)) if len(seconds) > 1 else 0.0
    spread = max(2 * error, _LEAST_SPREAD * mean)
    return max(0.0, mean - spread), mean + spread


def _cost(
    job: Job, trainer: CoupletTrainer, stopwatch: _Stopwatch, steps: int, needed: int, seconds_reload: float
) -> list[str]:
    evaluations = planned_evaluations(job)
    record = next(record for record in reversed(trainer.state.log_history) if "eval_runtime" in record)
    rows = min(_VALIDATION_ROWS, len(job.validation.lengths))
    probing = trainer.generation_seconds  # the same whatever is held out
    an_evaluation = (record["eval_runtime"] - probing) * len(job.validation.lengths) / max(1, rows) + probing
    low, high = likely_range(stopwatch.seconds)
    evaluating = likely_range([evaluations * an_evaluation])
    whole = [format_duration(steps * pace + rest) for pace, rest in zip((low, high), evaluating, strict=True)]
    on_gpu = torch.cuda.is_available()
    memory = (_("{size} of the GPU’s memory") if on_gpu else _("{size} of memory")).format(
        size=disk.readable(peak_memory())
    )
    return [
        _(
            "check passed: {steps} training steps, an evaluation of {rows} rows, a checkpoint saved and reloaded "
            "({seconds:.1f} s, the same logits), the sample lines above"
        ).format(steps=trainer.state.global_step, rows=rows, seconds=seconds_reload),
        _(
            "the full run: {least} to {most}, for {steps:,} steps of {low:.2f} to {high:.2f} s (timed: {timed}) and "
            "{evaluations} evaluations of about {evaluation}; disk {disk}; peak {memory}"
        ).format(
            least=whole[0],
            most=whole[1],
            steps=steps,
            low=low,
            high=high,
            timed=len(stopwatch.seconds),
            evaluations=evaluations,
            evaluation=format_duration(an_evaluation),
            disk=disk.readable(needed),
            memory=memory,
        ),
    ]
