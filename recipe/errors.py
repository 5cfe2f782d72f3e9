"""Errors that a user can cause, and the one place that turns them into a message and an exit code."""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from recipe.characters import is_invisible
from recipe.language import _
from recipe.screen import take_every_character
from recipe.threads import wait_without_spinning

USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, what a shell reports for Ctrl-C
UNREAD_EXIT_CODE = 141  # 128 + SIGPIPE: what was to be said went to nobody
_NEAR_PART = 0.82  # of 1, by difflib: a part is shorter than a name, and two short words are easily alike


class UserError(Exception):
    """One or more things that the user can put right; each problem is a sentence with what was found and what to do."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        # Two checks may come upon the same fault, such as a model that is not there.
        self.problems = [problems] if isinstance(problems, str) else list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return _("error: {problem}").format(problem=self.problems[0])
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, start=1))
        return _("error: {count} problems\n{listed}").format(count=len(self.problems), listed=listed)


class Problems:
    """What several checks found, raised together."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the problems of a `UserError` that is raised inside the block."""
        try:
            yield
        except UserError as error:
            self.found += error.problems

    def raise_any(self) -> None:
        """Raise all problems as one `UserError`, if there are any."""
        if self.found:
            raise UserError(self.found)


def printable(text: str, keep: str = "\n") -> str:
    """Return `text` with everything that acts on a terminal (escape sequences, direction marks) or hides spelled out.

    Messages quote headers, rows and file names of strangers; what is in `keep`, the line ends of a message, stays.
    """
    return "".join(char if char in keep or _shows(char) else _spelled_out(char) for char in text)


def _shows(char: str) -> bool:
    return char.isprintable() and not is_invisible(char)


def _spelled_out(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def notice(message: str) -> None:
    """Say something to the user on standard error, above a progress bar if there is one."""
    tqdm.write(printable(message), file=sys.stderr)


def nearest(word: str, possibilities: Iterable[str]) -> str | None:
    """Return the possibility that a mistyped word is nearest to, or the only one with such a part: `line_length`."""
    names = sorted(possibilities)
    if matches := difflib.get_close_matches(word, names, n=1):
        return matches[0]
    with_part: dict[str, list[str]] = {}
    for name in names:
        for part in name.split("_"):
            with_part.setdefault(part, []).append(name)
    own = {part: found[0] for part, found in with_part.items() if len(found) == 1}
    matches = difflib.get_close_matches(word, own, n=1, cutoff=_NEAR_PART)
    return own[matches[0]] if matches else None


def did_you_mean(word: str, possibilities: Iterable[str], prefix: str = "") -> str:
    """Return a suggestion to append to the message about a mistyped word; nothing if no possibility is near."""
    suggestion = nearest(word, possibilities)
    return _("; did you mean {suggestion}?").format(suggestion=prefix + suggestion) if suggestion else ""


def run_or_explain(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's `main` and return its exit code; a user's mistake becomes one message and exit code 2.

    Only errors that the user can act on are explained. A defect of ours keeps its traceback: hiding it helps nobody.
    """
    take_every_character(sys.stdout, sys.stderr)
    wait_without_spinning()
    try:
        return main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(printable(str(error)), file=sys.stderr)
        return USAGE_EXIT_CODE
    except KeyboardInterrupt:
        print(_("interrupted"), file=sys.stderr)
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # The reader (`head`, a pager) went away. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD_EXIT_CODE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = _(" ({file})").format(file=error.filename) if error.filename else ""
        print(
            _("error: {reason}{where}. Free some space or choose another directory.").format(
                reason=error.strerror, where=where
            ),
            file=sys.stderr,
        )
        return USAGE_EXIT_CODE
