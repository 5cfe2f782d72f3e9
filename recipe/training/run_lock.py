"""One run for one directory: two that write the same checkpoints would destroy each other's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from recipe.errors import UserError
from recipe.language import _
from recipe.run_directory import LOCK_FILE

_OWNER = re.compile(r"process (?P<process>\d+) on (?P<host>\S+)")


@contextlib.contextmanager
def run_lock(directory: str | Path) -> Iterator[None]:
    """Hold `directory` for this process until the block ends.

    The system itself releases the lock of a process that died, however it died, so a file left behind locks nothing: it
    is taken over. Locks of POSIX records are used because forked data-loader workers do not inherit them; a worker that
    outlives its killed run by a few seconds does not keep the directory.

    Raises:
        UserError: another process holds the directory; it is named.
    """
    path = Path(directory) / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opened for appending: what another run wrote into it must survive until the lock is ours.
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, path)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _acquire(file: IO[str], path: Path) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of the two depends on the system
        file.seek(0)
        if owner := _OWNER.match(file.read()):
            raise UserError(
                _(
                    "{directory} is in use: process {process} on {host} is writing its run there. Wait for it, stop "
                    "it, or choose another --output_dir."
                ).format(directory=path.parent, **owner.groupdict())
            ) from None
        raise UserError(  # it has not written yet who it is
            _(
                "{directory} is in use: another process is writing its run there. Wait for it, stop it, or choose "
                "another --output_dir."
            ).format(directory=path.parent)
        ) from None
