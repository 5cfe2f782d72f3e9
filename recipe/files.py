"""Files that are written whole or not at all: temporary name beside the target, flush to disk, rename."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recipe.language import _


def sync(path: Path) -> None:
    """Flush a file's bytes, or a directory's entries, without which a rename can be lost in a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file that takes the place of `path` when the block ends without an exception.

    `mode` is "w" (UTF-8 text, newlines as written) or "wb". After an exception `path` is as it was before.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        is_text = "b" not in mode
        with temporary.open(mode, encoding="utf-8" if is_text else None, newline="" if is_text else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync(target.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_open(path) as file:
        file.write(text)


def append_lines(path: str | Path, lines: str) -> None:
    """Append whole lines of UTF-8 text to a file and flush them to disk; after an error it is as it was before.

    A line that an earlier writer left unfinished, in a power cut for one, is ended first.
    """
    with Path(path).open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            lines = lines if file.read(1) == b"\n" else f"\n{lines}"
        try:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory that replaces `path` when the block ends without an exception.

    A directory that stands at `path` is moved aside first and removed last, so that at every instant either the old or
    the new one is whole under its name or under `.NAME.old`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    retired = target.with_name(f".{target.name}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                sync(file)
        sync(temporary)
        if target.exists():
            shutil.rmtree(retired, ignore_errors=True)
            target.rename(retired)
        temporary.rename(target)
        sync(target.parent)
        shutil.rmtree(retired, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_directory(path: str | Path) -> None:
    """Make a directory and those above it; where the name is a link to one that is not there yet, the one it means."""
    Path(os.path.realpath(path)).mkdir(parents=True, exist_ok=True)


def unwritable(path: str | Path) -> str | None:
    """Return why nothing can be written into a directory, which may not be there yet; None if something can.

    What a directory allows is not asked but tried: permissions say nothing of read-only media, quotas and root.
    """
    directory = Path(os.path.realpath(path))
    nearest = next(parent for parent in (directory, *directory.parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            return None
    except OSError as error:
        return _("nothing can be written into {nearest} ({reason})").format(nearest=nearest, reason=error.strerror)


def output_dir_problems(output_dir: str) -> list[str]:
    """Return why nothing can be written into the directory of `--output_dir`, or nothing."""
    if reason := unwritable(output_dir):
        return [_("--output_dir {output_dir}: {reason}; name another").format(output_dir=output_dir, reason=reason)]
    return []


def at_home(name: str) -> str:
    """Return a name with the home directory for a `~` at its start, which the shell leaves alone in `--flag=~/x`."""
    return os.path.expanduser(name)  # noqa: PTH111 (Path would make "." of "", and raise for a user who is not there)


def find_shipped(name: str) -> str:
    """Return where a file is: as it is named, or else, for a `recipe/…` that is not there, where the package has it.

    So the shipped configurations, corpora and launch files are found from every working directory.
    """
    shipped = Path(__file__).parents[1] / name
    is_ours = Path(name).parts[:1] == (Path(__file__).parent.name,)
    return str(shipped) if is_ours and not Path(name).exists() and shipped.exists() else name


def find_stand_in(file: Path) -> str | None:
    """Say what stands in the place of a file: nothing, a Git LFS pointer, or the web page that a download gave.

    A clone without `git lfs` leaves a text of three lines for each large file; a browser, or curl with the address of
    a page about the file, leaves that page.
    """
    with file.open("rb") as opened:
        start = opened.read(64)
    if not start:
        return _("is empty")
    if start.startswith(b"version https://git-lfs.github.com/"):
        return _(
            "is a Git LFS pointer, three lines that stand for the file: `git lfs pull` in its directory fetches it"
        )
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return _("is a web page, which the download gave in the place of the file; fetch the file itself")
    return None


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
