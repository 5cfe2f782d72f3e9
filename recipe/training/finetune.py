"""The job of `run_finetune.py`: settings → corpus → tokenizer and model → training → a published model."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from datasets.utils.logging import set_verbosity_error as quiet_datasets
from tqdm import tqdm
from transformers import TrainingArguments
from transformers.utils.logging import disable_progress_bar

from recipe import disk
from recipe.cli import Settings, to_yaml
from recipe.errors import UserError
from recipe.language import _
from recipe.run_directory import CONFIG_FILE
from recipe.screen import outliving_its_reader
from recipe.settings import RunSettings
from recipe.training.arguments import make_training_arguments, reuse_freed_memory, set_threads
from recipe.training.callbacks import ConfigFile
from recipe.training.checkup import check_job
from recipe.training.interruption import stop_with_launcher
from recipe.training.job import Job, make_trainer, planned_saves, planned_steps, prepare_job
from recipe.training.precheck import check_settings
from recipe.training.publishing import publish
from recipe.training.run_lock import run_lock
from recipe.training.second_start import AUTO, finished_run, resume_wish
from recipe.training.trainer import CoupletTrainer
from recipe.training.trial import try_optimizer


def finetune(settings: Settings) -> None:
    """Run the job that the settings describe.

    Raises:
        UserError: anything that the user can put right; before training wherever that can be known before.
    """
    quiet_datasets()
    disable_progress_bar()  # the library's: one for each file that a checkpoint writes
    stop_with_launcher()
    typed = check_settings(settings)
    set_threads(settings[RunSettings].num_threads)
    with outliving_its_reader(), _process_group_ends():
        arguments = make_training_arguments(typed)
        try_optimizer(arguments, settings[RunSettings].muon)
        with _only_run(arguments), _lack_of_memory_explained():
            _run_job(settings, typed, arguments)


def _run_job(settings: Settings, typed: dict[str, Any], arguments: TrainingArguments) -> None:
    job = prepare_job(settings, arguments)
    if job.run.reuse_freed_memory and arguments.device.type == "cpu":
        reuse_freed_memory()  # from here on: what preparing the rows freed goes back
    if job.run.check:
        check_job(job, typed)
        return
    trainer = make_trainer(job)
    config = resolved_config(job)  # before training: a resumed one changes some of the library's arguments
    wish = resume_wish(typed["resume_from_checkpoint"])
    if wish == AUTO and not typed.get("push_to_hub") and (finished := _finished(job, trainer, config)):
        if trainer.is_world_process_zero():
            print(finished, flush=True)
        return
    trainer.add_callback(ConfigFile(Path(str(arguments.output_dir)) / CONFIG_FILE, config))
    _check_disk(job, trainer)
    trainer.train(resume_from_checkpoint=wish)
    finish(job, trainer, config, push_to=arguments.hub_model_id if typed.get("push_to_hub") else None)


@contextlib.contextmanager
def _process_group_ends() -> Iterator[None]:
    """Destroy the process group of several processes while the interpreter still stands.

    The library leaves it to the exit, where a thread of gloo that lets go of its last tensor aborts a process that has
    done its work (pytorch #179291).
    """
    try:
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
            gc.collect()  # the threads end with the group's last holder, the wrapped model in the Trainer's cycles


@contextlib.contextmanager
def _lack_of_memory_explained() -> Iterator[None]:
    """Turn a GPU without room for the batch into a message: a smaller one is for the user to choose."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            _(
                "the GPU has too little memory for this batch ({error}). In training halve "
                "--per_device_train_batch_size and double --gradient_accumulation_steps, which keeps the effective "
                "batch; in an evaluation halve --per_device_eval_batch_size. Checkpoints so far are good: the same "
                "command resumes"
            ).format(error=str(error).splitlines()[0][:160])
        ) from None


@contextlib.contextmanager
def _only_run(arguments: TrainingArguments) -> Iterator[None]:
    """Hold the output directory against a second run; the first process of several does it for all."""
    directory = str(arguments.output_dir)
    with run_lock(directory) if arguments.process_index == 0 else contextlib.nullcontext():
        yield


def _finished(job: Job, trainer: CoupletTrainer, config: str) -> str | None:
    """Say of a run that has nothing left to train or to publish where its model is; None if it has."""
    is_free = job.text_format.form is None
    directory = str(job.arguments.output_dir)
    return finished_run(directory, trainer.run_identity, job.run.publish_dir, config, is_free)


def resolved_config(job: Job) -> str:
    """Return all settings of the run as YAML that `--config` takes."""
    chosen = {key: getattr(job.arguments, key) for key in job.settings.training if key != "resume_from_checkpoint"}
    return to_yaml(Settings(job.settings.groups, {key: _plain(value) for key, value in chosen.items()}))


def _plain(value: Any) -> Any:
    """Return a value of the library's arguments as YAML can hold it and the command line can read it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        # The library turns report_to "none" into an empty list, which its own parser would refuse.
        return [_plain(item) for item in value] or "none"
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _check_disk(job: Job, trainer: CoupletTrainer) -> None:
    """Say what the checkpoints will need, and refuse a run whose disk cannot hold them."""
    arguments = job.arguments
    steps = planned_steps(job)
    needed = disk.run_bytes(disk.checkpoint_bytes(job.model), arguments.save_total_limit, planned_saves(job))
    if arguments.process_index == 0:
        free = disk.readable(disk.free_bytes(str(arguments.output_dir)))
        print(
            _("{steps:,} steps; checkpoints need up to {needed} of the {free} free").format(
                steps=steps, needed=disk.readable(needed), free=free
            ),
            flush=True,
        )
        disk.check_space_for_run(str(arguments.output_dir), needed)


def finish(job: Job, trainer: CoupletTrainer, config: str, push_to: str | None) -> None:
    """Show what training changed and publish the best model."""
    weights = trainer.gather_weights() if job.run.publish_dir else None  # all processes together
    if not trainer.is_world_process_zero():
        return
    metrics = before_and_after(trainer)
    if metrics:
        tqdm.write(metrics_table(metrics, trainer))
    if not job.run.publish_dir:
        return
    summary = job.corpus.summary
    directory = publish(
        job.run.publish_dir,
        trainer.accelerator.unwrap_model(trainer.model),
        job.tokenizer,
        job.text_format,
        config,
        metrics,
        {file: (summary.file_bytes[file], digest) for file, digest in summary.file_hashes.items()},
        weights,
    )
    print(_("published: {directory}").format(directory=directory), flush=True)
    if push_to is not None:
        _push(directory, push_to)


def _push(directory: Path, name: str) -> None:
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(name, exist_ok=True)
        print(
            _("pushed: {address}").format(address=HfApi().upload_folder(repo_id=name, folder_path=directory)),
            flush=True,
        )
    except OSError as error:  # every error of the network and of the hub is one
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            _(
                "{directory} is published, but could not be pushed ({reason}); later: hf upload {name} {directory}"
            ).format(directory=directory, reason=reason, name=name)
        ) from None


def kept_step(trainer: CoupletTrainer) -> int:
    """Return the step whose weights the trainer holds at the end.

    The library notes the best evaluated step even where no checkpoint was saved there that could be loaded again.
    """
    state = trainer.state
    if state.best_model_checkpoint is not None and state.best_global_step is not None:
        return state.best_global_step
    return state.global_step


def before_and_after(trainer: CoupletTrainer) -> dict[str, tuple[Any, Any]]:
    """Return each held-out figure at the first evaluation and at that of the model that is kept."""
    records = {record["step"]: record for record in trainer.state.log_history if "eval_loss" in record}
    if not records:
        return {}
    before, after = records[min(records)], records.get(kept_step(trainer), records[max(records)])
    timing = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    names = [key for key in after if key.startswith("eval_") and key not in timing]
    return {key.removeprefix("eval_"): (before.get(key, "–"), after[key]) for key in names}


def metrics_table(metrics: dict[str, tuple[Any, Any]], trainer: CoupletTrainer) -> str:
    """Return the table of the held-out figures before and after training."""
    lines = [
        _("held-out rows, before training and after {steps:,} steps (the model that is kept):").format(
            steps=kept_step(trainer)
        )
    ]
    for name, (before, after) in metrics.items():
        cells = [f"{value:12.4f}" if isinstance(value, float) else f"{value:>12}" for value in (before, after)]
        lines.append(f"  {name:24}{cells[0]}{cells[1]}")
    return "\n".join(lines)
