"""The fine-tuning command, with a recorder of what each process sees; a script for `torchrun`.

`distributed_run.py RECORD_DIR [settings of run_finetune.py]` writes RECORD_DIR/rank-N.json: the number of processes,
the kind of run, the rows of every training batch of this process, and the rows that each evaluation counts. With
SHARE_OUT set in the environment the processes share the model out (FSDP2).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from transformers import EvalPrediction, TrainerCallback

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from sharded_training import leave, share_out

import run_finetune
from recipe.errors import run_or_explain
from recipe.rows.preprocessing import IGNORED_LABEL
from recipe.training import finetune, job
from recipe.training.job import Job
from recipe.training.trainer import CoupletTrainer


class SharedOutCoupletTrainer(CoupletTrainer):
    """The recipe's trainer with its model shared out, on the CPU."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        share_out(self)


class Recorder(TrainerCallback):
    """Keeps the rows that one process trains on, and those that its evaluations count, until training ends."""

    def __init__(self, directory: Path, trainer: CoupletTrainer) -> None:
        self.file = directory / f"rank-{trainer.args.process_index}.json"
        self.found: dict[str, Any] = {
            "processes": trainer.accelerator.num_processes,
            "type": str(trainer.accelerator.distributed_type),
            "train": [],
            "evaluated": [],
        }
        trainer.model.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        self._compute_metrics = trainer.compute_metrics
        trainer.compute_metrics = self._counted
        trainer.add_callback(self)

    def _before_forward(self, module: Any, args: Any, kwargs: Any) -> None:
        if module.training:
            self.found["train"].append(real_rows(kwargs["labels"].tolist()))

    def _counted(self, evaluation: EvalPrediction) -> dict[str, float]:
        self.found["evaluated"].append(real_rows(evaluation.label_ids.tolist()))
        return self._compute_metrics(evaluation)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.file.write_text(json.dumps(self.found), encoding="utf-8")


def real_rows(labels: list[list[int]]) -> list[list[int]]:
    """Return the rows that count, without padding: repeated rows and padded ones have no labels."""
    rows = [[token for token in row if token != IGNORED_LABEL] for row in labels]
    return [row for row in rows if row]


def main(argv: Sequence[str]) -> int:
    directory, make_trainer = Path(argv[0]), finetune.make_trainer

    def make_recorded_trainer(job: Job) -> CoupletTrainer:
        trainer = make_trainer(job)
        Recorder(directory, trainer)
        return trainer

    trainer_class = SharedOutCoupletTrainer if os.environ.get("SHARE_OUT") else CoupletTrainer
    with (
        mock.patch.object(job, "CoupletTrainer", trainer_class),
        mock.patch.object(finetune, "make_trainer", make_recorded_trainer),
    ):
        code = run_finetune.main(argv[1:])
    if os.environ.get("SHARE_OUT"):
        leave(code)
    if left := gloo_threads():
        sys.exit(f"{left} threads of gloo outlived the run: one that ends with the interpreter aborts the process")
    return code


def gloo_threads() -> int:
    """Return how many threads of this process carry out gloo's collectives, by the name that torch gives them."""
    names = [path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("pt_gloo_runloop")


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
