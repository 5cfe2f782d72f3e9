"""A cell of a file as the text that training sees, or the reason why it is none."""

from __future__ import annotations

import unicodedata

EMPTY = "empty"
NOT_TEXT = "not text"
CONTROL = "control or damaged characters"
LINE_BREAK = "line break inside a cell (an unbalanced quote?)"


class RejectedRowError(Exception):
    """A row that is not trained on; `reason` is what the summary counts it under."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def clean(cell: object, *, joins_lines: bool) -> str:
    """Return a cell's text with every run of white space as one space, and none around it.

    Args:
        joins_lines: take a line break for a space; otherwise it is a sign that the cell is none of its own.

    Raises:
        RejectedRowError: nothing there, no text, or characters that no text has.
    """
    if cell is None or cell == "":
        raise RejectedRowError(EMPTY)
    if not isinstance(cell, str):
        raise RejectedRowError(NOT_TEXT)
    if cell.isprintable() and " " not in cell and "\ufffd" not in cell:
        return cell
    words = cell.split()
    if not words:
        raise RejectedRowError(EMPTY)
    if not joins_lines and "\n" in cell.strip():
        raise RejectedRowError(LINE_BREAK)
    text = " ".join(words)
    if any(char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in text):
        raise RejectedRowError(CONTROL)
    return text


def clean_line(cell: object) -> str:
    """Return a cell's text without any white space: a line of verse, whose characters may stand apart in the file.

    Raises:
        RejectedRowError: as `clean`; a line break inside the cell too.
    """
    return clean(cell, joins_lines=False).replace(" ", "")
