"""Lists of words in text files, one a line: words that are never produced, words whose presence is counted."""

from __future__ import annotations

from recipe.errors import UserError
from recipe.text_files import read_utf8


def read_word_list(setting: str, file: str | None) -> list[str]:
    """Return the words of a UTF-8 text file, one a line, in order; no file, no words.

    Raises:
        UserError: a file that cannot be read, or holds no word; the message begins with `setting`.
    """
    if file is None:
        return []
    try:
        lines = read_utf8(file).splitlines()
    except UserError as error:
        raise UserError(f"{setting} {error.problems[0]}") from None
    words = [line.strip() for line in lines if line.strip()]
    if not words:
        raise UserError(f"{setting} {file}: holds no word; it takes one a line")
    return words
