"""A text of somebody's as training and generation see it, or the reason why it is none: the one place that cleans.

Rows, prompts, themes, sample prompts, lists of words and lines that other systems wrote all go through here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from recipe.characters import is_invisible
from recipe.couplet.form import is_chinese_character

EMPTY = "empty"
NOT_TEXT = "not text"
CONTROL = "control or damaged characters"
LINE_BREAK = "line break inside a cell (an unbalanced quote?)"

# What is taken out, as the counts name it.
INVISIBLE = "invisible characters"
COMBINING = "combining marks"

# Nothing to clean in most lines, which one look tells.
_ORDINARY = re.compile("[-0-9A-Za-z\u3007\u3400-\u9fff，。、；：？！“”‘’《》（）…—·]+")


class RejectedRowError(Exception):
    """A row that is not trained on; `reason` is what the summary counts it under."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Cleaned(NamedTuple):
    """A clean text.

    Attributes:
        removed: the kinds of what was taken out beside white space, each once.
    """

    text: str
    removed: tuple[str, ...] = ()


def kinds_of(parts: Iterable[Cleaned]) -> tuple[str, ...]:
    """Return the kinds of what was taken out of any of some texts, each once."""
    return tuple(dict.fromkeys(kind for part in parts for kind in part.removed))


def listed(removed: Mapping[str, int]) -> str:
    """Return the kinds of what was taken out, and of how many texts, for a message."""
    return ", ".join(f"{kind} ({count:,})" for kind, count in removed.items())


def clean(cell: object, *, joins_lines: bool) -> Cleaned:
    """Return a cell's text with every run of white space as one space, and none around it.

    Invisible characters go, and so do combining marks on what has none in any script: they would count as positions.

    Args:
        joins_lines: take a line break for a space; otherwise it is a sign that the cell is none of its own.

    Raises:
        RejectedRowError: nothing there, no text, or characters that no text has.
    """
    return _clean(cell, " ", joins_lines)


def clean_line(cell: object) -> Cleaned:
    """Return a cell's text without any white space: a line of verse, whose characters may stand apart in the file.

    Raises:
        RejectedRowError: as `clean`; a line break inside the cell too.
    """
    return _clean(cell, "", joins_lines=False)


def clean_answer(written: str) -> Cleaned:
    """Return a line that some system wrote, without white space; nothing is refused, since it is to be scored."""
    return Cleaned(written) if _ORDINARY.fullmatch(written) else _without_leftovers(written, "")


def _clean(cell: object, between: str, joins_lines: bool) -> Cleaned:
    if cell is None or cell == "":
        raise RejectedRowError(EMPTY)
    if not isinstance(cell, str):
        raise RejectedRowError(NOT_TEXT)
    if _ORDINARY.fullmatch(cell):
        return Cleaned(cell)
    if not joins_lines and "\n" in cell.strip():
        raise RejectedRowError(LINE_BREAK)
    cleaned = _without_leftovers(cell, between)
    if not cleaned.text:
        raise RejectedRowError(EMPTY)
    if any(char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cs") for char in cleaned.text):
        raise RejectedRowError(CONTROL)
    return cleaned


def _without_leftovers(text: str, between: str) -> Cleaned:
    """Return `text` with `between` for every run of white space, without what takes no place of its own."""
    removed: dict[str, None] = {}
    kept: list[str] = []
    for char in text:
        if is_invisible(char):
            removed[INVISIBLE] = None
        elif unicodedata.category(char)[0] != "M":
            kept.append(char)
        elif kept and len(composed := unicodedata.normalize("NFC", kept[-1] + char)) == 1:
            kept[-1] = composed
        elif kept and _carries_marks(kept[-1]):
            kept.append(char)
        else:
            removed[COMBINING] = None
    return Cleaned(between.join("".join(kept).split()), tuple(removed))


def _carries_marks(char: str) -> bool:
    """Whether a combining mark on `char` is part of its spelling: in scripts that write vowels so, not in Chinese."""
    return unicodedata.category(char)[0] in "LM" and not is_chinese_character(char)
