"""Being stopped: finish the step, save a full checkpoint, say how to go on, exit with the usual code.

Outside training nothing is needed: files are written whole or not at all, so the system's own way of ending a process
on a signal leaves nothing torn.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.errors import notice
from recipe.language import _
from recipe.run_directory import checkpoint_directory

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: a closed terminal, as a lost ssh leaves it
# Set by `torchrun` and by `accelerate launch`; a shell that ends is no reason to stop (nohup), a launcher that ends is.
_LAUNCHER_VARIABLES = ("TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION")
_LAUNCHER_POLL_SECONDS = 1.0


class InterruptionCallback(TrainerCallback):
    """Turn SIGTERM, SIGINT and SIGHUP during training into a saved checkpoint and an exit with code 128 + number.

    The checkpoint is written at the end of the step, after the evaluation where one is due, so that the run goes on
    from it exactly. A second SIGINT ends the process at once. The library's own `enable_jit_checkpoint` handles
    SIGTERM alone and marks half a checkpoint by a file that nothing looks for when it loads.

    With several processes a signal to any one of them stops them all after the same step.
    """

    def __init__(self) -> None:
        self._received = 0
        self._owner = os.getpid()
        self._previous: dict[int, Any] = {}
        self._group: torch.distributed.ProcessGroup | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.world_size > 1:
            # A group of its own on the CPU: agreeing over the GPU would make every step wait for the device.
            self._group = torch.distributed.new_group(backend="gloo")
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # ignored on purpose, by nohup for one
                self._previous[number] = signal.signal(number, self._receive)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._agreed():
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Agreed again: the signal may have come after this step ended, in an evaluation or in the save itself.
        if number := self._agreed():
            self._leave(args, state, number)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if number := self._agreed():
            self._leave(args, state, number)
        self._end()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A data-loader worker, forked with our handlers: a Ctrl-C reaches the whole group. The run still needs
            # its workers to finish the step, and ends them itself.
            for other in self._previous:
                signal.signal(other, signal.SIG_DFL)
            return
        if signal.SIGINT in self._previous:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C leaves at once
        if self._received:
            # Another signal than that is no order to hurry: a Ctrl-C ends the launcher too, whereupon
            # `stop_with_launcher` sends its own, perhaps in the middle of the step or of the save.
            return
        self._received = number
        # Not `print`: the signal may have come in the middle of one, and its buffer refuses to be entered twice.
        os.write(
            sys.stderr.fileno(),
            _(
                "\n{signal} received: finishing this step (and an evaluation that is under way), then saving and "
                "stopping. Ctrl-C leaves at once.\n"
            )
            .format(signal=signal.Signals(number).name)
            .encode(),
        )

    def _agreed(self) -> int:
        """Return the number of a signal that any process received, the same in all of them; 0 if none did."""
        if self._group is None:
            return self._received
        number = torch.tensor(self._received)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX, group=self._group)
        return int(number)

    def _leave(self, args: TrainingArguments, state: TrainerState, number: int) -> None:
        self._end()
        if state.is_world_process_zero:
            checkpoint = checkpoint_directory(str(args.output_dir), state.global_step)
            if checkpoint.is_dir():
                said = _(
                    "Stopped by {signal} after step {step} of {steps}; saved {checkpoint}. The same command resumes "
                    "from there (--resume_from_checkpoint auto is the default)."
                )
            else:
                said = _(
                    "Stopped by {signal} after step {step} of {steps}; this step could not be saved. The same command "
                    "resumes from the last checkpoint (--resume_from_checkpoint auto is the default)."
                )
            name, done = signal.Signals(number).name, state.global_step
            notice(said.format(signal=name, step=done, steps=state.max_steps, checkpoint=checkpoint))
        raise SystemExit(128 + number)

    def _end(self) -> None:
        self._group = None  # its threads end with its last holder
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


def stop_with_launcher() -> None:
    """Send this process SIGTERM when the launcher that started it has ended; nothing if there is no launcher.

    A signal to `accelerate launch` ends the launcher alone and orphans its worker, which would train on unseen.
    """
    if not any(name in os.environ for name in _LAUNCHER_VARIABLES):
        return
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(_LAUNCHER_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-launcher", daemon=True).start()
