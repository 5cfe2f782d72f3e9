"""Lists of words in text files, one a line: words that are never produced, words whose presence is counted."""

from __future__ import annotations

from pathlib import Path

from recipe.errors import UserError
from recipe.files import path_problem


def read_word_list(setting: str, file: str | None) -> list[str]:
    """Return the words of a UTF-8 text file, one a line, in order; no file, no words.

    Raises:
        UserError: a file that cannot be read, or holds no word; the message begins with `setting`.
    """
    if file is None:
        return []
    if problem := path_problem(file):
        raise UserError(f"{setting} {problem}")
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{setting} {file}: cannot be read as a UTF-8 text file ({error})") from None
    words = [line.strip() for line in lines if line.strip()]
    if not words:
        raise UserError(f"{setting} {file}: holds no word; it takes one a line")
    return words
