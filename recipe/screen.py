"""The screen of a command that works on when nobody reads what it says."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

# A pipe without a reader (`head` has seen enough), a terminal that is closed, a full disk behind `> log.txt`.
_GONE = (errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EDQUOT)


def take_every_character(*screens: IO[str] | None) -> None:
    """Let these streams show what their encoding lacks as `\\u6625`, where they would raise UnicodeEncodeError."""
    for screen in screens:
        # A notebook's streams are no TextIOWrapper and take everything; a closed one is None.
        if isinstance(screen, io.TextIOWrapper) and screen.errors == "strict":
            screen.reconfigure(errors="backslashreplace")


class LastingScreen:
    """A text stream over another, which falls silent where the other one can no longer be written to."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._while_it_lasts(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._while_it_lasts(self._stream.flush)

    def _while_it_lasts(self, say: Callable[[], Any]) -> None:
        try:
            say()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            # What the stream has buffered is written at the latest when the interpreter ends; it must not fail again.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def outliving_its_reader() -> Iterator[None]:
    """Let what is said inside the block be lost rather than end the block: hours of training outlive a `| head`."""
    screens = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and LastingScreen(stream) for stream in screens)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = screens
