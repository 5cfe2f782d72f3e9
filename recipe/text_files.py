"""Text files of strangers: whether they are there, and their bytes as text, in the encoding that the user names."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recipe.errors import UserError
from recipe.files import find_stand_in
from recipe.language import _, enumerated
from recipe.stored_files import foreign_content, head_of, open_bytes

_UTF_32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
# Characters of Big5 that begin above 0x80 and end below, as nearly half of them do, and of GBK next to none of common
# ones; where they are more than this share of all, it is Big5.
_BIG5_SHARE = 0.2
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NAMED_FILES = 5


def path_problem(file: str) -> str | None:
    """Why nothing can be read from `file`, if that shows without reading; a named pipe is as good as a file."""
    path = Path(file)
    try:
        if path.is_dir():
            names = sorted(entry.name for entry in path.iterdir() if entry.is_file())[:_NAMED_FILES]
            if not names:
                return _("{file}: is a directory; name a file in it").format(file=file)
            return _("{file}: is a directory; name a file in it ({names})").format(file=file, names=enumerated(names))
        if path.exists():
            stand_in = find_stand_in(path) if path.is_file() and path.stat().st_size else None
            return stand_in and _("{file}: {problem}").format(file=file, problem=stand_in)
    except OSError as error:  # a line of text in the place of a name is too long for one
        return _("{file}: cannot be opened ({reason}); it takes the name of a file").format(
            file=file[:40], reason=error.strerror
        )
    if path.parts[:3] in (("/", "dev", "fd"), ("/", "proc", "self")):
        return _("{file}: a launcher does not pass <(…) on to what it starts; write the rows into a file").format(
            file=file
        )
    return _("{file}: no such file{where}").format(file=file, where=where_looked(path))


def where_looked(path: Path) -> str:
    """Return what to add to the message about a file that is not there: where a relative name was looked up."""
    return "" if path.is_absolute() else _(" (looked in {directory})").format(directory=Path.cwd())


def rows_file_problem(file: str) -> str | None:
    """Why no rows can be read from `file`, if that shows in its name and first bytes; nothing is taken from a pipe."""
    if problem := path_problem(file):
        return problem
    if not Path(file).is_file():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            return _("{file}: is no ordinary file, and several processes read its rows; copy them into one").format(
                file=file
            )
        return None
    if not Path(file).stat().st_size:
        return _("{file}: is empty").format(file=file)
    if Path(file).suffix.lower() == ".parquet":
        return None
    try:
        kind = foreign_content(file, head_of(file))
    except UserError as error:
        return error.problems[0]
    return kind and _("{file}: {problem}").format(file=file, problem=kind)


@contextmanager
def open_text(file: str, encoding: str) -> Iterator[IO[str]]:
    r"""Open a text file, packed or not; its lines end at \n alone, and keep it and what stands before it.

    A file without any \n but with \r, as old Macs and Excel's "CSV (Macintosh)" write, has lines that end at \r.

    Raises:
        UserError: an encoding that Python does not know, what holds no text, or, while the file is read, a byte that
            does not decode, with what to try.
    """
    head = head_of(file)
    if kind := foreign_content(file, head):
        raise UserError(_("{file}: {problem}").format(file=file, problem=kind))
    try:
        with open_bytes(file) as handle, io.TextIOWrapper(handle, _codec(encoding), newline=line_end_of(head)) as text:
            yield text
    except LookupError:
        raise _unknown_encoding(encoding) from None
    except UnicodeError as error:
        with open_bytes(file) as handle:
            raise _undecodable(file, encoding, error, head, handle) from None


def line_end_of(head: bytes) -> str:
    r"""Return what ends the lines of a text that begins so: \n, or \r where there is no \n, as on old Macs."""
    return "\r" if b"\r" in head and b"\n" not in head else "\n"


def read_text(file: str, encoding: str) -> str:
    """Return the text of a file, line ends as written, with the errors of `open_text`."""
    with open_text(file, encoding) as handle:
        return handle.read()


def decode_text(content: bytes, name: str, encoding: str) -> str:
    """Return bytes as text, with the errors of `open_text`; `name` says in a message where they come from."""
    try:
        return content.decode(_codec(encoding))
    except LookupError:
        raise _unknown_encoding(encoding) from None
    except UnicodeError as error:
        raise _undecodable(name, encoding, error, content, content.splitlines(keepends=True)) from None


def read_utf8(file: str) -> str:
    r"""Return the text of a file that is always UTF-8, packed or not; its lines end at \n, or at \r\n as written.

    Raises:
        UserError: there is no such file, it holds no text, or its bytes are no UTF-8.
    """
    if problem := path_problem(file):
        raise UserError(problem)
    head = head_of(file)
    if kind := foreign_content(file, head):
        raise UserError(_("{file}: {problem}").format(file=file, problem=kind))
    with open_bytes(file) as handle:
        content = handle.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeError as error:
        raise UserError(_("{file}: is not UTF-8 ({error}); save it as UTF-8").format(file=file, error=error)) from None
    return text.replace("\r", "\n") if line_end_of(head) == "\r" else text


def text_lines(text: str) -> list[str]:
    r"""Return the lines of a text, which end at \n or \r\n and nowhere else.

    To `str.splitlines` ten other characters are line ends too, a lone \r and U+2028 among them.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def _codec(encoding: str) -> str:
    # utf-8-sig drops the byte order mark that spreadsheets and editors put first; it would end up in the first column's
    # name, the first prompt, the first word.
    return "utf-8-sig" if _is_utf8(encoding) else encoding


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8")


def encoding_problem(encoding: str) -> str | None:
    """Why nothing can be read in an encoding: there is none of that name, or it is not one of text, as "hex"."""
    try:
        codecs.lookup(encoding)
        io.TextIOWrapper(io.BytesIO(), encoding)
    except LookupError:
        return _("--encoding {encoding}: Python knows no such encoding; try utf-8 or gb18030").format(
            encoding=encoding or repr("")
        )
    return None


def _unknown_encoding(encoding: str) -> UserError:
    return UserError(str(encoding_problem(encoding)))


def _undecodable(name: str, encoding: str, error: UnicodeError, head: bytes, lines: Iterable[bytes]) -> UserError:
    """Say where text stops being what it was said to be: in another encoding, at a damaged byte, at a cut end."""
    begins_in_chinese, line, number = False, head, 0
    try:
        for line in lines:
            number += 1
            begins_in_chinese = _holds_chinese(line.decode("utf-8")) or begins_in_chinese
    except UnicodeDecodeError as fault:
        begins_in_chinese = _holds_chinese(line[: fault.start].decode("utf-8")) or begins_in_chinese
        if begins_in_chinese and _is_utf8(encoding):
            return UserError(
                _("{file}, line {number}: {problem}").format(file=name, number=number, problem=_damage(fault))
            )
    likely = _likely_encoding(head, line, encoding)
    advice = (
        _(". If it is Chinese text from a spreadsheet, try --encoding {likely}").format(likely=likely) if likely else ""
    )
    return UserError(
        _("{name}: is not {encoding} ({error}){advice}").format(
            name=name, encoding=encoding, error=error, advice=advice
        )
    )


def _damage(fault: UnicodeDecodeError) -> str:
    if fault.reason == "unexpected end of data":
        return _(
            "the file is cut in the middle of its last character (an unfinished copy or download?); fetch it again"
        )
    return _(
        "a damaged character (byte 0x{byte:02x}) in a file that is UTF-8 otherwise; repair the line or take it out"
    ).format(byte=fault.object[fault.start])


def _holds_chinese(text: str) -> bool:
    # Bytes of GBK can pass for UTF-8 of two bytes, which is Latin, Greek or Arabic; three bytes in a row hardly.
    return any("\u2e80" <= char < "\uffff" for char in text)


def _likely_encoding(head: bytes, line: bytes, encoding: str) -> str | None:
    """Return the encoding that a file beginning with `head`, with `line` in it, is likely in, other than `encoding`."""
    if head.startswith(_UTF_32_MARKS):
        return "utf-32"
    if head.startswith(_BYTE_ORDER_MARKS):
        return "utf-16"
    if _is_big5(head):
        return "big5"
    if found := next((name for name in ("utf-16-le", "utf-16-be") if _reads_well(head, name)), None):
        return found
    for name in ("utf-8", "gb18030"):
        try:
            line.decode(name)
        except UnicodeDecodeError:
            continue
        if name != encoding.lower():
            return name
    return None


def _is_big5(head: bytes) -> bool:
    """Whether bytes are text of Taiwan or Hong Kong, which GB18030 would take for other characters without a word."""
    characters = [head[at : at + 2] for at in _double_bytes(head)]
    low = sum(pair[1] < 0x80 for pair in characters)
    if not characters or low < _BIG5_SHARE * len(characters):
        return False
    return all(0xA1 <= pair[0] <= 0xF9 and (0x40 <= pair[1] <= 0x7E or pair[1] >= 0xA1) for pair in characters)


def _double_bytes(head: bytes) -> Iterator[int]:
    """Yield where characters of two bytes begin, up to the last whole one."""
    at = 0
    while at < len(head) - 1:
        if head[at] < 0x80:
            at += 1
        else:
            yield at
            at += 2


def _reads_well(head: bytes, encoding: str) -> bool:
    """Whether bytes, read as UTF-16 without a mark, are several lines of plain Chinese and ASCII characters."""
    text = head[: len(head) // 2 * 2].decode(encoding, errors="replace")
    plain = sum(char.isascii() or "\u3000" <= char <= "\u9fff" or "\uff00" <= char <= "\uffef" for char in text)
    return "\n" in text and plain > 0.9 * len(text)
