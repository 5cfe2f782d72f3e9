"""How much disk a checkpoint and a whole run need, and whether the disk has it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import torch

from recipe.errors import UserError
from recipe.language import _
from recipe.run_directory import checkpoints_by_step

# Tokenizer, configuration, random states, logs of a long run, and the file system's own rounding.
_OVERHEAD_BYTES = 16 << 20
# AdamW keeps two tensors of the parameter's size; other optimizers of the library keep as many or fewer.
_OPTIMIZER_TENSORS_PER_WEIGHT = 2


def checkpoint_bytes(model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Return the bytes that one checkpoint takes: weights, optimizer state and small files.

    Before the first step an optimizer has no state yet; it is then taken to be AdamW's.
    """
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    states = optimizer.state.values() if optimizer is not None else ()
    held = sum(value.nbytes for state in states for value in state.values() if isinstance(value, torch.Tensor))
    trained = sum(tensor.nbytes for tensor in model.parameters() if tensor.requires_grad)
    return weights + (held or _OPTIMIZER_TENSORS_PER_WEIGHT * trained) + _OVERHEAD_BYTES


def run_bytes(one_checkpoint: int, save_total_limit: int | None, saves: int) -> int:
    """Return the bytes that the checkpoints of a run of `saves` saves take at their most.

    Kept are the newest `save_total_limit` and the best; one more is being written before the oldest is removed.
    """
    at_once = saves if save_total_limit is None else min(saves, save_total_limit + 2)
    return at_once * one_checkpoint


def free_bytes(directory: str | Path) -> int:
    """Return the free bytes of the disk that holds `directory`, or would hold it once it is made."""
    path = Path(directory).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def held_bytes(output_dir: str | Path) -> int:
    """Return the bytes of the checkpoints that stand in a run's directory; a resumed run needs so many fewer."""
    return sum(file.stat().st_size for path in checkpoints_by_step(output_dir).values() for file in path.iterdir())


def readable(size: int) -> str:
    """Return a number of bytes as people read it, e.g. `1.3 GB` (10**9 bytes)."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def check_space_for_run(directory: str | Path, needed: int) -> None:
    """Raise UserError if the disk of `directory` cannot hold the checkpoints of a run beside those it has written."""
    free = free_bytes(directory)
    missing = needed - held_bytes(directory) - free
    if missing > 0:
        raise UserError(
            _(
                "The disk of {directory} has {free} free, but the checkpoints of this run take up to {needed}. Free "
                "{missing} more, choose another --output_dir, or keep fewer checkpoints with --save_total_limit."
            ).format(directory=directory, free=readable(free), needed=readable(needed), missing=readable(missing))
        )


def check_space_for_checkpoint(directory: str | Path, needed: int) -> None:
    """Raise OSError(ENOSPC) if one more checkpoint does not fit, before a byte of it is written."""
    free = free_bytes(directory)
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            _("{reason}: {free} free, {needed} needed").format(
                reason=os.strerror(errno.ENOSPC), free=readable(free), needed=readable(needed)
            ),
        )
