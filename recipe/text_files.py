"""Text files of strangers: whether they are there, and their bytes as text, in the encoding that the user names."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recipe.errors import UserError
from recipe.files import find_stand_in


def path_problem(file: str) -> str | None:
    """Why nothing can be read from `file`, if that shows without reading; a named pipe is as good as a file."""
    path = Path(file)
    try:
        if path.is_dir():
            return f"{file}: is a directory; name a file in it"
        if not path.exists():
            return f"{file}: no such file{where_looked(path)}"
        stand_in = find_stand_in(path) if path.is_file() and path.stat().st_size else None
        return stand_in and f"{file}: {stand_in}"
    except OSError as error:  # a line of text in the place of a name is too long for one
        return f"{file[:40]}: cannot be opened ({error.strerror}); it takes the name of a file"


def where_looked(path: Path) -> str:
    """Return what to add to the message about a file that is not there: where a relative name was looked up."""
    return "" if path.is_absolute() else f" (looked in {Path.cwd()})"


def rows_file_problem(file: str) -> str | None:
    """Why no rows can be read from `file`, if that shows without reading; rows are read more than once."""
    if problem := path_problem(file):
        return problem
    if not Path(file).is_file():
        return f"{file}: is no ordinary file; its rows are read more than once, so copy them into one"
    return None if Path(file).stat().st_size else f"{file}: is empty"


@contextmanager
def open_text(file: str, encoding: str) -> Iterator[IO[str]]:
    """Open a text file, line ends as written; a byte that does not decode becomes an error that names what to try.

    Raises:
        UserError: an encoding that Python does not know, or, while the file is read, text in another one.
    """
    with _decoding_explained(file, encoding), Path(file).open(encoding=_codec(encoding), newline="") as handle:
        yield handle


def decode_text(content: bytes, name: str, encoding: str) -> str:
    """Return bytes as text, with the errors of `open_text`; `name` says in a message where they come from."""
    with _decoding_explained(name, encoding):
        return io.TextIOWrapper(io.BytesIO(content), encoding=_codec(encoding), newline="").read()


def read_utf8(file: str) -> str:
    """Return the text of a file that is always UTF-8, line ends as written.

    Raises:
        UserError: there is no such file, or its bytes are no UTF-8.
    """
    if problem := path_problem(file):
        raise UserError(problem)
    try:
        return Path(file).read_bytes().decode("utf-8-sig")
    except UnicodeError as error:
        raise UserError(f"{file}: is not UTF-8 ({error}); save it as UTF-8") from None


def text_lines(text: str) -> list[str]:
    r"""Return the lines of a text, which end at \n or \r\n and nowhere else.

    To `str.splitlines` ten other characters are line ends too, a lone \r and U+2028 among them.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def _codec(encoding: str) -> str:
    # utf-8-sig drops the byte order mark that spreadsheets and editors put first; it would end up in the first column's
    # name, the first prompt, the first word.
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


@contextmanager
def _decoding_explained(name: str, encoding: str) -> Iterator[None]:
    try:
        yield
    except LookupError:
        raise UserError(f"--encoding {encoding}: Python knows no such encoding; try utf-8 or gb18030") from None
    except UnicodeError as error:
        likely = "utf-16" if _begins_like_utf16(name) else "gb18030" if encoding.lower() != "gb18030" else "utf-8"
        raise UserError(
            f"{name}: is not {encoding} ({error}). If it is Chinese text from a spreadsheet, try --encoding {likely}"
        ) from None


def _begins_like_utf16(file: str) -> bool:
    if not Path(file).is_file():  # to open a pipe once more would wait for somebody to write to it
        return False
    with Path(file).open("rb") as handle:
        return handle.read(2) in (b"\xff\xfe", b"\xfe\xff")
