"""Lists of words in text files, one a line: words that are never produced, words whose presence is counted."""

from __future__ import annotations

from recipe.characters import is_blank
from recipe.errors import UserError
from recipe.language import _
from recipe.rows.cleaning import RejectedRowError, clean_line
from recipe.text_files import read_utf8, text_lines


def read_word_list(setting: str, file: str | None) -> list[str]:
    """Return the words of a UTF-8 text file, one a line, in order, cleaned as the texts that they are looked for in.

    No file, no words.

    Raises:
        UserError: a file that cannot be read, or holds no word; the message begins with `setting`.
    """
    if file is None:
        return []
    try:
        lines = text_lines(read_utf8(file))
    except UserError as error:
        raise UserError(f"{setting} {error.problems[0]}") from None
    words = [_word(setting, file, number, line) for number, line in enumerate(lines, start=1) if not is_blank(line)]
    if not words:
        raise UserError(
            _("{setting} {file}: holds no word; it takes one word a line").format(setting=setting, file=file)
        )
    return words


def _word(setting: str, file: str, number: int, line: str) -> str:
    try:
        return clean_line(line).text
    except RejectedRowError as rejection:
        raise UserError(
            _("{setting} {file}, line {number}: {line!r} is no word ({reason})").format(
                setting=setting, file=file, number=number, line=line, reason=_(rejection.reason)
            )
        ) from None
