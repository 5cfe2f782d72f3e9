"""One run for one directory: two that write the same checkpoints would destroy each other's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from recipe.errors import UserError
from recipe.run_directory import LOCK_FILE


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
        owner = file.read() or "another process"
        raise UserError(
            f"{path.parent} is in use: {owner} is writing its run there. Wait for it, stop it, or choose another "
            "--output_dir."
        ) from None
