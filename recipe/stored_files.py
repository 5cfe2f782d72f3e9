"""Files of strangers as bytes: packed ones unpacked, what a pipe gives kept, other kinds named by their bytes."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Any

from recipe.errors import UserError
from recipe.language import N_, _, enumerated

HEAD_BYTES = 1 << 16
_ZIP = ".zip"
_UNPACKING: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PACKED_ENDINGS = (*_UNPACKING, _ZIP)
# How files begin that hold no text, or not the text that was meant, and what to do about each.
_BEGINNINGS = (
    (b"\x1f\x8b", N_("is packed by gzip; give it a name that ends in .gz (a.csv.gz)")),
    (b"BZh", N_("is packed by bzip2; give it a name that ends in .bz2 (a.csv.bz2)")),
    (b"\xfd7zXZ\x00", N_("is packed by xz; give it a name that ends in .xz (a.csv.xz)")),
    (b"7z\xbc\xaf\x27\x1c", N_("is a 7z archive; unpack it")),
    (b"Rar!\x1a\x07", N_("is a RAR archive; unpack it")),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        N_("is a workbook or document of an old Excel or Word; save it from there as CSV (UTF-8)"),
    ),
    (b"PAR1", N_("is Parquet; give it a name that ends in .parquet")),
    (b"ARROW1", N_("is an Arrow file, not Parquet; save its table as Parquet or JSON Lines")),
    (b"SQLite format 3\x00", N_("is an SQLite database; export its table as CSV")),
    (b"%PDF-", N_("is a PDF, which holds pages, not rows")),
    (b"\x80\x04\x95", N_("is a Python pickle, which could run any program; save the data as CSV or JSON Lines")),
)
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".et", ".numbers")
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257


def foreign_content(file: str, head: bytes) -> str | None:
    """Return what a file's ending and first bytes show it to be, and what to do, if that is no text of rows."""
    if Path(file).suffix.lower() in _WORKBOOKS:
        return _("is a workbook; save its table from there as CSV (UTF-8)")
    if head.startswith(b"PK\x03\x04"):
        if b"xl/" in head:
            return _("is an Excel workbook; save its table from there as CSV (UTF-8)")
        if b"word/" in head:
            return _("is a Word document; put its rows into a CSV file")
        return _("is a zip archive; give it a name that ends in .zip")
    if head[_TAR_MARK_AT:].startswith(_TAR_MARK):
        return _("is a tar archive; unpack it and name a file of it")
    begins = head.lstrip(b"\xef\xbb\xbf \r\n")
    return next((_(kind) for beginning, kind in _BEGINNINGS if begins.startswith(beginning)), None)


def stored(file: str) -> Path:
    """Return where the bytes of `file` can be read more than once: itself, or a copy of what comes through a pipe."""
    return Path(file) if Path(file).is_file() else _copy_of_pipe(Path(file).absolute())


@functools.cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rows-")  # goes when the process ends


@functools.cache
def _copy_of_pipe(path: Path) -> Path:
    copy = Path(_copies().name) / str(len(list(Path(_copies().name).iterdir())))
    with path.open("rb") as pipe, copy.open("wb") as kept:
        shutil.copyfileobj(pipe, kept)
    return copy


def content_name(file: str) -> str:
    """Return the name of what is in a file: `a.csv` for `a.csv.gz`, of an archive the name of its only member.

    Raises:
        UserError: an archive that cannot be read, or holds several files or none.
    """
    ending = Path(file).suffix.lower()
    if ending != _ZIP:
        return file[: -len(ending)] if ending in _UNPACKING else file
    with _unpacking_explained(file), zipfile.ZipFile(stored(file)) as archive:
        return _only_member(file, archive).filename


def content_ending(file: str) -> str:
    """Return the ending of `content_name` in small letters."""
    return PurePath(content_name(file)).suffix.lower()


@contextmanager
def open_bytes(file: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacked if its ending says that it is packed.

    Raises:
        UserError: what is packed cannot be unpacked, at the start or while it is read.
    """
    ending = Path(file).suffix.lower()
    with _unpacking_explained(file):
        if ending == _ZIP:
            with zipfile.ZipFile(stored(file)) as archive, archive.open(_only_member(file, archive)) as member:
                yield member
        elif ending in _UNPACKING:
            with _UNPACKING[ending](stored(file), "rb") as handle:
                yield handle
        else:
            with stored(file).open("rb") as handle:
                yield handle


def head_of(file: str) -> bytes:
    """Return the first bytes of what is in a file."""
    with open_bytes(file) as handle:
        return handle.read(HEAD_BYTES)


@contextmanager
def _unpacking_explained(file: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError) as error:
        raise _damaged(file, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(file, error) from None  # bz2 has no exception of its own


def _damaged(file: str, error: Exception) -> UserError:
    return UserError(
        _(
            "{file}: cannot be unpacked as its ending says ({error}); it is cut short, damaged or of another kind"
        ).format(file=file, error=error)
    )


def _only_member(file: str, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive; what a Mac adds (`__MACOSX/…`, names with a dot first) is none of its own."""
    found = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and PurePath(member.filename).name[0] != "."
    ]
    if len(found) != 1:
        names = enumerated(member.filename for member in found[:10]) or _("none")
        raise UserError(
            _("{file}: an archive can be read if it holds one file, but this one holds {names}; unpack it").format(
                file=file, names=names
            )
        )
    if found[0].flag_bits & 1:
        raise UserError(_("{file}: is encrypted; unpack it").format(file=file))
    return found[0]
