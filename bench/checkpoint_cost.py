"""What the care taken with a checkpoint costs, against the library's own save of the same state plus a flush to disk.

Run:  python bench/checkpoint_cost.py [--saves 9] [--layers 12] [--directory DIR]

Model and optimizer state of the 102M-parameter GPT-2 of the couplet job (1.2 GB a checkpoint). Both sides save in turn,
in an order that alternates, with the disk idle before each; a library save is `Trainer._save_checkpoint` followed by
fsync of every file and directory, since a checkpoint that is still in memory does not survive a power cut. Medians, the
ratio of the medians, and its spread over the pairs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.utils import logging

from recipe.disk import checkpoint_bytes, readable
from recipe.files import sync
from recipe.training.checkpointed_trainer import CheckpointedTrainer
from recipe.training.checkpoints import problems_of

TARGET_RATIO = 1.3


def make_trainers(directory: Path, layers: int) -> tuple[torch.nn.Module, list[Trainer]]:
    """Return a model, and the library's and our trainer on its weights and one AdamW state, as within a run."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=21128, n_layer=layers, bos_token_id=101, eos_token_id=102))
    library = Trainer(model, TrainingArguments(str(directory / "library"), report_to="none", use_cpu=True))
    ours = CheckpointedTrainer(model, TrainingArguments(str(directory / "ours"), report_to="none", use_cpu=True))
    optimizer = library.create_optimizer()
    library.create_scheduler(num_training_steps=100)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    model.zero_grad()
    ours.optimizer, ours.lr_scheduler = optimizer, library.lr_scheduler
    for trainer in (library, ours):
        # What `train` sets before its first step and a save reads.
        trainer._tr_loss, trainer._total_loss_scalar, trainer._globalstep_last_logged = torch.tensor(0.0), 0.0, 0
    return model, [library, ours]


def save_and_flush(trainer: Trainer, model: torch.nn.Module, step: int) -> Path:
    """Save by the library's code and make it as durable as ours is when its save returns."""
    trainer.state.global_step = step
    trainer._save_checkpoint(model, trial=None)
    checkpoint = Path(str(trainer.args.output_dir)) / f"checkpoint-{step}"
    if not isinstance(trainer, CheckpointedTrainer):
        for path in checkpoint.rglob("*"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync(checkpoint)
        sync(checkpoint.parent)
    return checkpoint


def timed_save(trainer: Trainer, model: torch.nn.Module, step: int) -> float:
    """Return the seconds of one save onto an idle disk; the checkpoint is removed afterwards."""
    os.sync()
    # A virtual machine hands freed memory back to its host and waits for it when the page cache grows again: half a
    # second that falls on either side by chance. Touching as much memory beforehand keeps that out of both.
    torch.ones(2 * checkpoint_bytes(model, trainer.optimizer), dtype=torch.uint8)
    start = time.perf_counter()
    checkpoint = save_and_flush(trainer, model, step)
    seconds = time.perf_counter() - start
    if isinstance(trainer, CheckpointedTrainer) and (problems := problems_of(checkpoint)):
        raise AssertionError(problems)
    shutil.rmtree(checkpoint)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=9, help="saves of each side")
    parser.add_argument("--layers", type=int, default=12, help="transformer blocks of the model")
    parser.add_argument("--directory", type=Path, default=None, help="where to write; default: the temporary directory")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        model, trainers = make_trainers(Path(directory), options.layers)
        print(f"one checkpoint: {readable(checkpoint_bytes(model, trainers[0].optimizer))}")
        for trainer in trainers:
            timed_save(trainer, model, 1)  # the first save of each loads code and grows the file system
        seconds: tuple[list[float], list[float]] = ([], [])
        for turn in range(options.saves):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                seconds[side].append(timed_save(trainers[side], model, turn + 2))
            print(f"pair {turn + 1}: library + flush {seconds[0][-1]:.2f} s, ours {seconds[1][-1]:.2f} s", flush=True)
    medians = [statistics.median(side) for side in seconds]
    ratio = medians[1] / medians[0]
    pairs = sorted(ours / library for library, ours in zip(*seconds, strict=True))
    print(f"median: library + flush {medians[0]:.2f} s, ours {medians[1]:.2f} s")
    print(f"ratio {ratio:.2f} (single pairs {pairs[0]:.2f} to {pairs[-1]:.2f}); target at most {TARGET_RATIO}")
    return 0 if ratio <= TARGET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
