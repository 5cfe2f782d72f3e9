"""The processes that share one job of answering: started by `accelerate launch` or `torchrun`, one a card or a core."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from recipe.errors import INTERRUPTED_EXIT_CODE, USAGE_EXIT_CODE, UserError
from recipe.language import _

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes of a job, seen from one of them; a job of one process is one that nobody shares.

    Attributes:
        index: which of them this is; the one with 0 is the main one, which reads, writes and speaks for all.
        count: how many there are.
    """

    index: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.index == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's items: every so-many-th, since neighbours are of like cost."""
        return items[self.index :: self.count]

    def gather(self, items: list[T]) -> list[T]:
        """Return the items of all processes on each of them, in the order of the processes. All have to call it."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        with _lost_process_explained():
            return gather_object(items)

    def from_main(self, make: Callable[[], T]) -> T:
        """Return what the main process makes on each of them. All have to call it."""
        if self.count == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        made = [make() if self.is_main else None]
        with _lost_process_explained():
            return broadcast_object_list(made)[0]


@contextmanager
def sharing_processes() -> Iterator[Processes]:
    """Yield the processes that the launcher started, this one among them; all but the main one are silent.

    Texts are all that they exchange, so they meet over gloo whatever they compute on: several may share a card.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Processes()
        return
    from accelerate import PartialState

    # A number of threads that nobody has set makes the library warn; one a process is what the launchers set.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    state = PartialState(cpu=True)
    processes = Processes(state.process_index, state.num_processes)
    try:
        if processes.is_main:
            yield processes
        else:
            with _silent():
                yield processes
    finally:
        # The library leaves it to the exit, where a thread of gloo can abort a process that has done its work
        # (pytorch #179291).
        torch.distributed.destroy_process_group()


@contextmanager
def _lost_process_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(
            _("another process of this job has ended, so this one cannot continue ({reason})").format(reason=reason)
        ) from None


@contextmanager
def _silent() -> Iterator[None]:
    """Say nothing: every process finds the same mistakes and counts the same rows, and one says so for all."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        except UserError:
            sys.exit(USAGE_EXIT_CODE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED_EXIT_CODE)
