"""Training whose model is shared out among processes on the CPU (FSDP2, gloo); a script of which one is one process.

`sharded_training.py RUNS` with RANK, WORLD_SIZE and so on set, as a launcher does; RUNS is a JSON list of runs that the
same processes do one after the other, each an object of `directory` and what else `one_run` takes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import save_file
from transformers import Trainer

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_run import LeaveAfterSave, logged, tiny_trainer

from recipe.errors import run_or_explain
from recipe.training.checkpointed_trainer import CheckpointedTrainer
from recipe.training.checkpoints import Sealer
from recipe.training.nonfinite import GuardedTrainer

EFFECTIVE_BATCH = 8
# What a process does one after the other when it saves; it can be killed before each, or with a file half on the disk.
MOMENTS: dict[str, tuple[Any, str]] = {
    "shards": (CheckpointedTrainer, "_save_optimizer_and_scheduler"),
    "half a shard": (os, "fsync"),
    "random state": (CheckpointedTrainer, "_save_rng_state"),
    "manifest of its own": (Sealer, "write_part"),
    "name": (Sealer, "put_in_place"),
}


def share_out(trainer: Trainer) -> None:
    """Turn a new Trainer's accelerator into one of FSDP2, which accelerate makes for GPUs only (DDP for CPUs)."""
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="TRANSFORMER_BASED_WRAP",
        transformer_cls_names_to_wrap=["GPT2Block"],
        state_dict_type="SHARDED_STATE_DICT",
    )
    for state in (PartialState, AcceleratorState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
    trainer.is_fsdp_enabled = True
    assert trainer.accelerator.is_fsdp2


class SharedOutTrainer(GuardedTrainer):
    """A trainer that shares its model out, whatever the device."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        share_out(self)


def killed_before(moment: str, trainer: GuardedTrainer, step: int) -> Any:
    """Have this process killed when the trainer, saving at that step, comes to the moment."""
    owner, name = MOMENTS[moment]
    action: Callable[..., Any] = getattr(owner, name)

    def die_or_act(*args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return action(*args, **kwargs)

    return mock.patch.object(owner, name, die_or_act)


def one_run(
    directory: str,
    leave_after: int = 0,
    killed: tuple[str, int, int] | None = None,
    **settings: Any,
) -> None:
    """Train from what stands in the directory; the first process writes the weights and what was logged.

    Args:
        leave_after: the step after whose checkpoint the run ends as if it had been stopped.
        killed: a moment of the save, the process, and the step.
    """
    processes, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    batch = {"per_device_train_batch_size": EFFECTIVE_BATCH // processes}
    trainer = tiny_trainer(directory, [LeaveAfterSave(leave_after)], SharedOutTrainer, **(batch | settings))
    moment, killed_rank, step = killed or (next(iter(MOMENTS)), -1, -1)
    with killed_before(moment, trainer, step if rank == killed_rank else -1):
        try:
            trainer.train("auto")
        except SystemExit:
            return
    weights = trainer.gather_weights()
    if rank == 0:
        del weights["lm_head.weight"]  # tied
        save_file(weights, Path(directory) / "weights.safetensors")
        (Path(directory) / "logged.json").write_text(json.dumps(logged(trainer)), encoding="utf-8")


def leave(code: int) -> NoReturn:
    """End this process as it is: the mesh of FSDP keeps gloo's threads, which may abort one that ends by itself.

    On GPUs, where accelerate makes FSDP, there are none (nccl).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(argv: Any) -> int:
    for run in json.loads(argv[0]):
        one_run(**run)
    return 0


if __name__ == "__main__":
    leave(run_or_explain(main))
