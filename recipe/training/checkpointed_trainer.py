"""The Trainer whose checkpoints are whole or absent, and which goes on exactly where a run stopped.

`transformers.Trainer` writes a checkpoint in place, file by file, and resumes from the highest number it finds. A
process that is killed in between leaves a directory that the next start loads half of, or dies on. Here its save, load
and rotation go through the store in `recipe.training.checkpoints`.

Loading stays the library's own: it reads safetensors, and everything else with `weights_only=True`. Only where
processes share the model out among them (FSDP2) it goes through `recipe.training.sharding`.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import Trainer, TrainerState, set_seed
from transformers.trainer import SCHEDULER_NAME, TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import SaveStrategy
from transformers.utils import SAFE_WEIGHTS_NAME
from typing_extensions import override

from recipe import disk
from recipe.errors import UserError, notice
from recipe.files import write_text
from recipe.language import N_, _, enumerated
from recipe.run_directory import checkpoint_directory, checkpoints_by_step
from recipe.training.checkpoints import (
    Identity,
    Sealer,
    check_same_run,
    is_sharded,
    newest_verified_checkpoint,
    problems_of,
    progress_name,
    read_manifest,
    remove_leftovers,
    rotate,
)
from recipe.training.sharding import (
    gather_weights,
    load_optimizer,
    load_weights,
    local_part,
    save_shards,
    shard_files,
)


class CheckpointedTrainer(Trainer):
    """A Trainer whose checkpoints are whole or absent and which resumes exactly.

    Args:
        run_identity: What must not change between the start of a run and its resume, by a name that the user
            understands; stored in every checkpoint. The number of processes is added.
        allow_changed: Go on from a checkpoint although something of that changed.
        The other arguments are the library's.

    A model sharded by FSDP2 is saved in shards, one file for each process, which any number of processes goes on from.
    FSDP's first version and DeepSpeed are refused: their states are of other kinds.
    """

    def __init__(
        self, *args: Any, run_identity: Identity | None = None, allow_changed: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        processes = f"{self.args.world_size}, each with a part of the model" if self.is_fsdp_enabled else None
        self.run_identity = {**(run_identity or {}), N_("processes"): processes or self.args.world_size}
        self.allow_changed = allow_changed
        self._saved_step: int | None = None
        self._resumed_from: Path | None = None
        self._sealer: Sealer  # of the save that is under way
        self._earlier_seconds = 0.0
        self._training_since = time.time()
        self._refuse_unsupported()

    @override
    def train(self, resume_from_checkpoint: str | Path | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train, from a verified checkpoint where one is asked for: a directory, or "auto" (True) for the newest.

        The library takes the highest number without a look inside (transformers#35525, #40790).

        Raises:
            UserError: the checkpoint is damaged or belongs to another run, or the output directory holds
                checkpoints that this run would mix with its own.
        """
        checkpoint = self._on_leader(lambda: self._checkpoint_to_start_from(resume_from_checkpoint))
        self._resumed_from = checkpoint
        if checkpoint:
            self.args.eval_on_start = False  # its place in the run's history is before the first step
        self._training_since = time.time()
        return super().train(str(checkpoint) if checkpoint else None, *args, **kwargs)

    def progress(self) -> dict[str, Any]:
        """Return, as JSON, sums of this process that are still open: they belong to a log record yet to be written.

        The library forgets them, so that the first loss logged after a resume would differ from an unbroken run's.
        A subclass that keeps sums of its own adds them here and takes them back in `restore_progress`.
        """
        return {
            "open_loss": self._tr_loss.item(),
            "total_loss": self._total_loss_scalar,
            "last_logged_step": self._globalstep_last_logged,
            "seconds": self._earlier_seconds + time.time() - self._training_since,
        }

    def restore_progress(self, progress: dict[str, Any]) -> None:
        """Take back what `progress` returned when the checkpoint was written."""
        self._tr_loss.fill_(progress["open_loss"])
        self._total_loss_scalar = progress["total_loss"]
        self._globalstep_last_logged = progress["last_logged_step"]
        self._earlier_seconds = progress["seconds"]
        self._initial_global_step = 0

    def divided_progress(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Return this process' part of the open sums that another number of processes left, in the order of those.

        A subclass whose sums differ between processes divides them here.
        """
        return parts[0] | {"open_loss": math.fsum(part["open_loss"] for part in parts) / len(parts)}  # logged as a mean

    def gather_weights(self) -> dict[str, Any] | None:
        """Return a sharded model's whole weights in the first process, nothing in the others; None if it is whole.

        All processes call it together.
        """
        return gather_weights(self._bare_model()) if self.is_fsdp_enabled else None

    # ---- Overrides of the library ----

    @override
    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train nothing where nothing is left: resumed at `max_steps` in an epoch, the library takes one more step."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)
        else:
            self.control.should_training_stop = True

    @override
    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write a checkpoint whole or not at all.

        The library's writes in place and leaves a torn directory when it is killed (transformers#35782, #35525), and
        rotates by modification time. A checkpoint that cannot be written (a full disk) costs only itself: training goes
        on and the next save tries again; at the end of training it is an error.
        """
        step = self.state.global_step
        if step == self._saved_step:
            return
        self.store_flos()
        output_dir = Path(self._get_output_dir(trial))
        self._sealer = Sealer(output_dir, step)
        try:
            failures = (
                self._everywhere(lambda: self._check_worth_saving(output_dir, model))
                or self._everywhere(lambda: self._write_files(str(self._sealer.directory)))
                or self._everywhere(lambda: self._put_in_place(output_dir))
            )
        finally:
            self._sealer.close()
        if failures:
            self._report_unsaved(failures)
        else:
            self._saved_step = step

    @override
    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Save model and tokenizer without `training_args.bin`, a pickle that nobody should be asked to trust."""
        super()._save(output_dir, state_dict=state_dict)
        (Path(output_dir or self._get_output_dir(None)) / TRAINING_ARGS_NAME).unlink(missing_ok=True)

    @override
    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Save a sharded model and its optimizer state in shards.

        The library's (accelerate's `save_fsdp_model` and `save_fsdp_optimizer`) writes pickles of which one is loaded
        unchecked, and the weights of the whole model in one file beside them.
        """
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        save_shards(output_dir, self._bare_model(), self._bare_optimizer())
        if self.args.should_save:
            torch.save(cast(LRScheduler, self.lr_scheduler).state_dict(), Path(output_dir) / SCHEDULER_NAME)

    @override
    def _save_rng_state(self, output_dir: str) -> None:
        """Save this process' random states and, beside them, its open sums: see `progress`."""
        super()._save_rng_state(output_dir)
        write_text(Path(output_dir) / progress_name(self.args.process_index), json.dumps(self.progress()))

    @override
    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Restore this process' random states and open sums: see `progress`.

        Of another number of processes the library restores those that have the same number, and nothing for the rest.
        Here dropout then goes on by seed and step, alike at every such resume, and the open sums are divided anew.
        """
        self._resumed_from = None
        if checkpoint is None:
            return
        with _explained(checkpoint):
            paths = [Path(checkpoint) / progress_name(rank) for rank in range(self._processes_of(checkpoint))]
            progresses = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            if len(progresses) == self.args.world_size:
                super()._load_rng_state(checkpoint)
                self.restore_progress(progresses[self.args.process_index])
            else:
                set_seed((self.args.seed + self.state.global_step) % 2**32)
                self.restore_progress(self.divided_progress(progresses))

    @override
    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Explain a state that does not fit, and let the run's own learning rate hold.

        The library checks nothing but that the files are there, and the state of a schedule holds the rate it was made
        with: a changed --learning_rate would be accepted and do nothing. Of shards it knows only those of accelerate.
        """
        with _explained(checkpoint):
            if checkpoint and is_sharded(Path(checkpoint)):
                self._load_sharded_optimizer(Path(checkpoint))
            else:
                super()._load_optimizer_and_scheduler(checkpoint)
        if isinstance(self.lr_scheduler, LambdaLR):
            self.lr_scheduler.base_lrs = [self.args.learning_rate] * len(self.lr_scheduler.base_lrs)

    @override
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """Load weights by safetensors, which knows of tied ones; the library's own load warns of a missing lm_head.

        Of a sharded model the library's (accelerate's `load_fsdp_model`) reads the pickles that its save writes.
        """
        with _explained(resume_from_checkpoint):
            if is_sharded(Path(resume_from_checkpoint)):
                load_weights(resume_from_checkpoint, self._bare_model(model))
            else:
                load_model(self._bare_model(model), Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME)

    @override
    def _load_best_model(self) -> None:
        """Load the best checkpoint's weights, verified: the library loads whatever stands there (#40790)."""
        self._load_from_checkpoint(str(self._on_leader(self._verified_best)))

    @override
    def _finalize_training(self, trial: Any, num_train_samples: float, start_time: float) -> Any:
        """Count what was before a resume too: the library divides the whole run's samples by this process' time."""
        if self._resumed_from:  # nothing was left to train, so that nothing has asked for the open sums yet
            self._load_rng_state(str(self._resumed_from))
        # At a limit of 1 the library removes whatever is called checkpoint-N… but the best: copies that somebody made
        # (checkpoint-9-mine) and what was set aside too. `rotate` has kept the limit after each save.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            return super()._finalize_training(trial, num_train_samples, start_time - self._earlier_seconds)
        finally:
            self.args.save_total_limit = limit

    # ---- Parts of a save, in their order ----

    def _check_worth_saving(self, output_dir: Path, model: torch.nn.Module) -> None:
        """Raise if the checkpoint would not fit, or would hold weights that nobody can go on from."""
        if self.args.should_save:
            disk.check_space_for_checkpoint(output_dir, disk.checkpoint_bytes(model, self.optimizer))
        if not (self.args.should_save or self.is_fsdp_enabled):
            return
        for name, weight in model.named_parameters():
            own = local_part(weight.detach())
            if own.numel() and not all(math.isfinite(bound.item()) for bound in torch.aminmax(own)):
                raise ValueError(_("{name} holds numbers that are not finite").format(name=name))

    def _write_files(self, staging: str) -> None:
        """Write this process' files by the library's own functions; finished ones are sealed meanwhile."""
        if not self.is_fsdp_enabled:
            self.save_model(staging, _internal_call=True)
            if self.args.should_save:
                # Other processes are writing their random states into the same directory: those are not complete yet.
                self._sealer.take_finished("*.safetensors")
        self._save_optimizer_and_scheduler(staging)
        self._save_scaler(staging)
        self._save_rng_state(staging)
        if self.is_fsdp_enabled:
            rank = self.args.process_index
            for own in (shard_files(rank), f"rng_state_{rank}.pth", progress_name(rank)):
                self._sealer.take_finished(own)
            self._sealer.write_part(rank)

    def _put_in_place(self, output_dir: Path) -> None:
        """Complete the checkpoint, give it its name, and remove what is no longer kept."""
        self._update_state(output_dir)  # in every process: each loads the best model at the end
        if not self.args.should_save:
            return
        self.state.save_to_json(str(self._sealer.directory / TRAINER_STATE_NAME))
        self._sealer.put_in_place(self.args.world_size, self.run_identity, sharded=self.is_fsdp_enabled)
        rotate(output_dir, self.args.save_total_limit, self.state.best_global_step)

    def _update_state(self, output_dir: Path) -> None:
        """Bring up to date what `trainer_state.json` says of the best checkpoint and of callbacks with a state."""
        if self.state.best_global_step:
            best = checkpoint_directory(output_dir, self.state.best_global_step)
            if best.is_dir() or self.state.best_global_step == self.state.global_step:
                self.state.best_model_checkpoint = str(best)
        parts: list[Any] = [*self.callback_handler.callbacks, self.control]
        exportable: list[Any] = [part for part in parts if isinstance(part, ExportableState)]
        self.state.stateful_callbacks = TrainerState(stateful_callbacks=exportable).stateful_callbacks

    def _report_unsaved(self, failures: list[str]) -> None:
        if self.args.should_save:
            self._sealer.discard()
        places = {
            "step": self.state.global_step,
            "reasons": _("; ").join(failures),
            "directory": self.args.output_dir,
        }
        if self.control.should_training_stop:
            raise UserError(
                _(
                    "The checkpoint of step {step} could not be saved ({reasons}). Earlier checkpoints in {directory} "
                    "are untouched. Free some space and go on with --resume_from_checkpoint auto."
                ).format(**places)
            )
        if self.args.should_save:
            notice(
                _(
                    "The checkpoint of step {step} could not be saved ({reasons}). Earlier checkpoints in {directory} "
                    "are untouched. Training goes on and the next save tries again: free some space until then."
                ).format(**places)
            )

    # ---- Parts of a start ----

    def _refuse_unsupported(self) -> None:
        problems = []
        if self.is_deepspeed_enabled and self.args.save_strategy != SaveStrategy.NO:
            problems.append(
                _(
                    "Checkpoints of DeepSpeed are not supported: share a large model out with FSDP2 "
                    "(recipe/launch/fsdp2.yaml), or take --save_strategy no."
                )
            )
        if self.is_fsdp_enabled and not self.accelerator.is_fsdp2:
            problems.append(
                _("The first version of FSDP is not supported: set fsdp_version to 2, as in recipe/launch/fsdp2.yaml.")
            )
        if self.args.save_only_model:
            problems.append(_("--save_only_model makes checkpoints that nothing can resume from; leave it off."))
        if self.args.save_on_each_node:
            problems.append(_("--save_on_each_node is not supported: all machines share one --output_dir."))
        if self.args.enable_jit_checkpoint:
            problems.append(_("--enable_jit_checkpoint is not needed: an interrupted run saves by itself."))
        if problems:
            raise UserError(problems)

    def _checkpoint_to_start_from(self, wish: str | Path | bool | None) -> Path | None:
        """Return the verified checkpoint of this very run to start from, or None for a fresh start."""
        output_dir = Path(self._get_output_dir(None))
        remove_leftovers(output_dir)
        if wish in (True, "auto"):
            checkpoint = newest_verified_checkpoint(output_dir)
        else:
            checkpoint = Path(str(wish)) if wish else None
            if checkpoint and (problems := problems_of(checkpoint)):
                raise UserError(
                    _("{checkpoint} cannot be resumed from: {problems}.").format(
                        checkpoint=checkpoint, problems=_("; ").join(problems)
                    )
                )
        if checkpoint:
            if self.is_fsdp_enabled and not is_sharded(checkpoint):
                raise UserError(
                    _(
                        "{checkpoint} holds a whole model, and this run shares it out among its processes (FSDP): go "
                        "on with the launch file of the run that wrote it, or start anew in another --output_dir."
                    ).format(checkpoint=checkpoint)
                )
            check_same_run(checkpoint, self.run_identity, self.allow_changed)
            with _explained(checkpoint):
                TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        start_step = read_manifest(checkpoint)["step"] if checkpoint else 0
        later = [path.name for step, path in checkpoints_by_step(output_dir).items() if step > start_step]
        if later:
            raise UserError(
                _(
                    "{directory} already holds {checkpoints}, which this start from step {step} would mix with its "
                    "own. Go on from the newest with --resume_from_checkpoint auto, remove them, or choose another "
                    "--output_dir."
                ).format(directory=output_dir, checkpoints=enumerated(later), step=start_step)
            )
        if checkpoint:
            notice(_("Going on from {checkpoint}, verified whole.").format(checkpoint=checkpoint))
        return checkpoint

    def _verified_best(self) -> Path:
        best = Path(str(self.state.best_model_checkpoint))
        if problems := problems_of(best):
            raise UserError(
                _(
                    "The best checkpoint {checkpoint} is damaged: {problems}. Remove it and go on with "
                    "--resume_from_checkpoint auto; the last checkpoint is then the one that counts."
                ).format(checkpoint=best, problems=_("; ").join(problems))
            )
        return best

    def _load_sharded_optimizer(self, checkpoint: Path) -> None:
        """Load optimizer and schedule, and take from the latter the rates that the library finds in the former."""
        optimizer, schedule = self._bare_optimizer(), cast(LRScheduler, self.lr_scheduler)
        load_optimizer(checkpoint, self._bare_model(), optimizer)
        schedule.load_state_dict(torch.load(checkpoint / SCHEDULER_NAME, weights_only=True))
        for group, rate in zip(optimizer.param_groups, schedule.get_last_lr(), strict=True):
            group["lr"] = rate

    def _processes_of(self, checkpoint: str | Path) -> int:
        return int(read_manifest(Path(checkpoint))["processes"])

    # ---- The model and the optimizer without what accelerate wraps around them ----

    def _bare_model(self, model: torch.nn.Module | None = None) -> torch.nn.Module:
        return self.accelerator.unwrap_model(model or self.model)

    def _bare_optimizer(self) -> torch.optim.Optimizer:
        return cast(AcceleratedOptimizer, self.optimizer).optimizer

    # ---- All processes together ----

    def _everywhere(self, action: Callable[[], None]) -> list[str]:
        """Run `action` in every process, wait for all, and return what failed in any of them."""
        failure = None
        try:
            action()
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:  # torch and safetensors wrap ENOSPC
            failure = f"{type(error).__name__}: {error}"
        return sorted({failure for failure in gather_object([failure]) if failure})

    def _on_leader(self, action: Callable[[], Path | None]) -> Path | None:
        """Run `action` in the first process and return its result, or raise its UserError, in every process."""
        outcome: list[Any] = [None]
        if self.is_world_process_zero():
            try:
                outcome = [action()]
            except UserError as error:
                outcome = [error]
        result = broadcast_object_list(outcome)[0]
        if isinstance(result, UserError):
            raise result
        return result


@contextlib.contextmanager
def _explained(checkpoint: str | Path | None) -> Iterator[None]:
    """Turn whatever the libraries raise over files that are whole, but not this run's or not honest, into a message."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            _(
                "{checkpoint} cannot be loaded into this run ({kind}: {reason}). Its files are whole, so they were "
                "made by another program or for another model: start anew in another --output_dir."
            ).format(checkpoint=checkpoint, kind=type(error).__name__, reason=reason)
        ) from None
