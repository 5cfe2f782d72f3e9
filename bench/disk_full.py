"""A disk that fills at each stage of a save: what is lost is the new checkpoint, and nothing else.

Run:  python bench/disk_full.py [--stages 40]

A tiny run saves every 4 steps. Before its second save the disk is left with room for a part of a checkpoint, from none
to all of it in equal stages; afterwards there is room again. Each time the first checkpoint must be whole, no half one
may stay, the run must say what happened, finish, and end with the weights of a run that never lacked space. As root the
disk is a small tmpfs filled by a file; the check for space that precedes a save is told that there is enough, as if
another program took it meanwhile. Otherwise, and as a second series, a limit on the size of files makes each of the
checkpoint's files the one that cannot be written.

Last, the real command on a disk that is too small (root only): it must refuse before it trains, with exit code 2; and
on one that is filled while it trains: it must go on, and finish once there is room.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback, TrainingArguments
from transformers.utils import logging

from recipe import disk
from recipe.run_directory import checkpoints_by_step
from recipe.training.checkpointed_trainer import CheckpointedTrainer
from recipe.training.checkpoints import problems_of

ROOT = Path(__file__).parents[1]
STARVED_STEP = 8
ONE_SAVE_DISK, WHOLE_RUN_DISK = 64 << 20, 256 << 20


class Rows(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 32

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        ids = torch.randint(40, (12,), generator=torch.Generator().manual_seed(row))
        return {"input_ids": ids, "labels": ids}


class Starve(TrainerCallback):
    """Takes the space away before the save of `STARVED_STEP` and gives it back after it."""

    def __init__(self, take: Callable[[], None], give_back: Callable[[], None]) -> None:
        self.take, self.give_back = take, give_back

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == STARVED_STEP:
            self.take()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.give_back()


def train(output_dir: Path, callbacks: list[TrainerCallback]) -> tuple[str, str]:
    """Train for 12 steps and return the final weights' sha256 and what was said on standard error."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=40, n_positions=16, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    arguments = TrainingArguments(
        str(output_dir),
        max_steps=12,
        per_device_train_batch_size=4,
        save_steps=4,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    model = GPT2LMHeadModel(config)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        CheckpointedTrainer(model, arguments, train_dataset=Rows(), callbacks=callbacks).train()
    weights = b"".join(weight.detach().numpy().tobytes() for weight in model.parameters())
    return hashlib.sha256(weights).hexdigest(), said.getvalue()


def problems_after(output_dir: Path, outcome: tuple[str, str], expected: str) -> list[str]:
    """Return what is wrong after a run that was starved once."""
    sha256, said = outcome
    standing = checkpoints_by_step(output_dir)
    problems = [f"{path.name}: {problem}" for path in standing.values() for problem in problems_of(path)]
    if sha256 != expected:
        problems.append("other weights at the end")
    if left := [path.name for path in output_dir.iterdir() if path.name.startswith(".")]:
        problems.append(f"left behind: {left}")
    lost = {4, STARVED_STEP, 12} - set(standing)
    if lost not in (set(), {STARVED_STEP}):
        problems.append(f"lost the checkpoints of steps {lost}")
    if bool(lost) != ("could not be saved" in said and "Training goes on" in said):
        problems.append(f"said: {said!r}")
    return problems


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """Mount a tmpfs of `size` bytes; needs root."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)  # a run that failed may still hold it


def fill(place: Path, room: int) -> None:
    """Fill the disk until `room` bytes are left."""
    with (place / "filler").open("wb") as file:
        while (taken := shutil.disk_usage(place).free - room) > 0:
            with contextlib.suppress(OSError):  # the run has written meanwhile
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), taken)


def series_on_small_disk(stages: int, size: int, expected: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each stage by name and its problems: room for a share of a checkpoint."""
    for stage in range(stages + 1):
        room = size * stage // stages
        with small_disk(ONE_SAVE_DISK) as place:
            starve = Starve(lambda: fill(place, room), lambda: (place / "filler").unlink(missing_ok=True))  # noqa: B023
            outcome = train(place / "run", [starve])
            yield f"tmpfs with room for {room} bytes", problems_after(place / "run", outcome, expected)


def series_of_file_limits(sizes: list[int], expected: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each limit by name and its problems: files of a checkpoint just fit, or miss by a byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in sorted({0, *(size - 1 for size in sizes), *sizes}):
        starve = Starve(
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)),  # noqa: B023
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)),
        )
        with tempfile.TemporaryDirectory() as directory:
            outcome = train(Path(directory) / "run", [starve])
            yield f"files limited to {limit} bytes", problems_after(Path(directory) / "run", outcome, expected)


def command(place: Path, steps: int) -> subprocess.Popen:
    settings = {
        "train_file": "recipe/data/handwritten.csv",
        "validation_size": 20,
        "from_scratch": "true",
        "hidden_size": 64,
        "num_layers": 2,
        "max_steps": steps,
        "save_steps": 2,
        "eval_steps": 2,
        "logging_steps": 1,
        "generation_eval_size": 0,
        "output_dir": place / "run",
        "cache_dir": place / "cache",
        "publish_dir": place / "model",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_finetune.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def real_command() -> Iterator[tuple[str, list[str]]]:
    """Yield the two ways in which the real command meets a full disk, and their problems."""
    with small_disk(ONE_SAVE_DISK) as place:
        fill(place, 12 << 20)
        process = command(place, steps=8)
        _, said = process.communicate()
        refused = (
            process.returncode == 2 and "the checkpoints of this run take up to" in said and "Traceback" not in said
        )
        yield "the real command on too small a disk", [] if refused else [f"{process.returncode}: {said[-1500:]}"]
    with small_disk(WHOLE_RUN_DISK) as place:
        process = command(place, steps=16)
        while process.poll() is None and not (place / "run/checkpoint-4").exists():
            time.sleep(0.01)
        fill(place, 0)
        while process.poll() is None and "could not be saved" not in (line := process.stderr.readline()):  # type: ignore[union-attr]
            pass
        (place / "filler").unlink()
        _, said = process.communicate()
        problems = (
            [] if process.returncode == 0 and "Training goes on" in line else [f"{process.returncode}: {said[-1500:]}"]
        )
        for path in checkpoints_by_step(place / "run").values():
            problems += [f"{path.name}: {problem}" for problem in problems_of(path)]
        if 16 not in checkpoints_by_step(place / "run") or not (place / "model/model.safetensors").exists():
            problems.append("it did not finish")
        yield "the real command on a disk that fills while it trains", problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=40, help="stages of the tmpfs series")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disk.check_space_for_checkpoint = lambda directory, needed: None  # another program is quicker than this check
    with tempfile.TemporaryDirectory() as directory:
        expected, _ = train(Path(directory), [])
        sizes = [path.stat().st_size for path in (Path(directory) / "checkpoint-8").iterdir()]
    series = [series_of_file_limits(sizes, expected)]
    if os.geteuid() == 0:
        series += [series_on_small_disk(options.stages, sum(sizes) + (64 << 10), expected), real_command()]
    else:
        print("not root: no small disk can be mounted, only the limit on file sizes is tried")
    failed = 0
    cases = 0
    for name, problems in tqdm((case for cases_ in series for case in cases_), desc="cases"):
        cases += 1
        failed += bool(problems)
        if problems:
            tqdm.write(f"{name}: {'; '.join(problems)}")
    print(f"{cases} ways to run out of space, {failed} with a problem")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
