"""Signals, launchers that die, and two runs in one directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_run import logged, tiny_trainer, weights_sha256
from transformers import TrainerCallback

from recipe.errors import UserError
from recipe.run_directory import LOCK_FILE, checkpoints_by_step
from recipe.training.checkpoints import problems_of
from recipe.training.nonfinite import GuardedTrainer
from recipe.training.run_lock import run_lock

SCRIPT = Path(__file__).with_name("tiny_run.py")


class SignalAt(TrainerCallback):
    """Sends this process a signal at one event of one step."""

    def __init__(self, number: int, event: str, step: int) -> None:
        self.number, self.step = number, step
        setattr(self, event, self.send)

    def send(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> GuardedTrainer:
    trainer = tiny_trainer(tmp_path_factory.mktemp("unbroken"))
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("number", "event", "sent_at", "saved_at"),
    [
        (signal.SIGTERM, "on_step_begin", 5, 6),
        (signal.SIGINT, "on_pre_optimizer_step", 12, 13),
        (signal.SIGHUP, "on_step_end", 7, 8),
        (signal.SIGTERM, "on_prediction_step", 15, 16),  # in an evaluation: it is finished, and so is the next step
        (signal.SIGINT, "on_save", 8, 9),
        (signal.SIGTERM, "on_log", 3, 4),
    ],
)
def test_a_signal_saves_says_how_to_go_on_and_costs_nothing(
    unbroken: GuardedTrainer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    number: int,
    event: str,
    sent_at: int,
    saved_at: int,
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        tiny_trainer(tmp_path, [SignalAt(number, event, sent_at)]).train()
    assert stop.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert max(checkpoints_by_step(tmp_path)) in (saved_at, sent_at)
    assert problems_of(tmp_path / f"checkpoint-{max(checkpoints_by_step(tmp_path))}") == []
    said = capfd.readouterr().err
    assert f"{signal.Signals(number).name} received" in said and "--resume_from_checkpoint auto" in said
    resumed = tiny_trainer(tmp_path)
    resumed.train("auto")
    assert weights_sha256(resumed) == weights_sha256(unbroken)
    assert logged(resumed) == logged(unbroken)


def test_a_signal_in_the_last_step_leaves_a_finished_checkpoint(unbroken: GuardedTrainer, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        tiny_trainer(tmp_path, [SignalAt(signal.SIGTERM, "on_pre_optimizer_step", 19)]).train()
    resumed = tiny_trainer(tmp_path)
    resumed.train("auto")
    assert weights_sha256(resumed) == weights_sha256(unbroken)


def test_a_signal_that_is_ignored_on_purpose_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        tiny_trainer(tmp_path, [SignalAt(signal.SIGHUP, "on_step_end", 3)], max_steps=5).train()
    finally:
        signal.signal(signal.SIGHUP, before)


# ---- With real processes ----


@pytest.fixture
def started() -> Iterator[Any]:
    """Start scripts in process groups of their own, and end what is left of them."""
    processes: list[subprocess.Popen] = []

    def start(command: list[str], **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_step(process: subprocess.Popen, step: int) -> None:
    for line in process.stdout:
        if line.strip() == f"step {step}":
            return
    raise AssertionError(f"step {step} was not reached: {process.stderr.read()}")


def test_ctrl_c_with_workers_saves_and_a_second_one_leaves_at_once(tmp_path: Path, started: Any) -> None:
    """The first Ctrl-C reaches the data-loader workers too: they must live until the step is done."""
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--workers", "2", "--seconds_per_step"]
    first = started([*command, "0.2"])
    wait_for_step(first, 2)
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(30) == 130
    assert "Stopped by SIGINT" in first.stderr.read()
    saved = list(checkpoints_by_step(tmp_path))
    assert saved and saved[-1] in (2, 3)

    second = started([*command, "60"])
    wait_for_step(second, saved[-1] + 1)
    os.killpg(second.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(second.pid, signal.SIGINT)
    assert second.wait(5) in (130, -signal.SIGINT)
    assert list(checkpoints_by_step(tmp_path)) == saved
    assert problems_of(tmp_path / f"checkpoint-{saved[-1]}") == []


def launcher_of(directory: Path, seconds_per_step: float) -> str:
    """Return a program that starts the script and waits for it, as `accelerate launch` does."""
    words = f"{str(SCRIPT)!r}, {str(directory)!r}, '--seconds_per_step', '{seconds_per_step}'"
    return f"import subprocess, sys; subprocess.Popen([sys.executable, {words}]).wait()"


def test_a_worker_whose_launcher_is_killed_saves_and_stops(tmp_path: Path, started: Any) -> None:
    process = started(
        [sys.executable, "-c", launcher_of(tmp_path, seconds_per_step=0.5)], ACCELERATE_MIXED_PRECISION="no"
    )
    wait_for_step(process, 2)
    process.send_signal(signal.SIGKILL)
    said = process.stderr.read()  # ends when the orphan has ended
    assert "SIGTERM received" in said and "Stopped by SIGTERM" in said
    newest = tmp_path / f"checkpoint-{max(checkpoints_by_step(tmp_path))}"
    assert problems_of(newest) == []


def test_ctrl_c_that_ends_the_launcher_too_still_saves(tmp_path: Path, started: Any) -> None:
    """The launcher is gone long before the step is done; its end must not take the checkpoint away."""
    process = started(
        [sys.executable, "-c", launcher_of(tmp_path, seconds_per_step=3)], ACCELERATE_MIXED_PRECISION="no"
    )
    wait_for_step(process, 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(2) == -signal.SIGINT
    assert "Stopped by SIGINT" in process.stderr.read()  # ends when the worker has ended
    assert problems_of(tmp_path / f"checkpoint-{max(checkpoints_by_step(tmp_path))}") == []


def start_both(started: Any, directory: Path, *options: str) -> list[subprocess.Popen]:
    """Start the two processes of one run, as a launcher does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, str(SCRIPT), str(directory), *options]
    return [started(command, RANK=rank, LOCAL_RANK=rank, **meeting) for rank in ("0", "1")]


def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step(tmp_path: Path, started: Any) -> None:
    interrupted = start_both(started, tmp_path / "broken", "--seconds_per_step", "0.2")
    wait_for_step(interrupted[1], 6)  # of ten: in the second epoch
    interrupted[1].send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in interrupted] == [143, 143]
    newest = tmp_path / f"broken/checkpoint-{max(checkpoints_by_step(tmp_path / 'broken'))}"
    assert newest.name in ("checkpoint-6", "checkpoint-7") and problems_of(newest) == []
    assert {"rng_state_0.pth", "rng_state_1.pth", "progress_1.json"} <= {path.name for path in newest.iterdir()}
    assert "Stopped by SIGTERM" in interrupted[0].stderr.read()

    (newest / "rng_state_1.pth").rename(tmp_path / "rng_state_1.pth")
    assert problems_of(newest) == ["rng_state_1.pth is missing"]
    (tmp_path / "rng_state_1.pth").rename(newest / "rng_state_1.pth")
    both = [*start_both(started, tmp_path / "broken"), *start_both(started, tmp_path / "unbroken")]
    for process in both:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0, errors
    results = [
        json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8")) for name in ("broken", "unbroken")
    ]
    assert results[0] == results[1]
    assert results[0]["logged"][-1]["skipped_steps"] == 1  # both skip what only one of them found infinite


def test_a_second_run_in_the_directory_is_refused_with_the_first_ones_number(tmp_path: Path, started: Any) -> None:
    holder = started(
        [sys.executable, "-c", "import sys, time; from recipe.training.run_lock import run_lock\n"
         f"with run_lock({str(tmp_path)!r}): print('held', flush=True); time.sleep(60)"],
        PYTHONPATH=str(SCRIPT.parents[1]),
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"process {holder.pid} on .* --output_dir"), run_lock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK_FILE).exists()
    with run_lock(tmp_path):  # the file of the killed run locks nothing
        assert f"process {os.getpid()} " in (tmp_path / LOCK_FILE).read_text(encoding="utf-8")
    assert not (tmp_path / LOCK_FILE).exists()
