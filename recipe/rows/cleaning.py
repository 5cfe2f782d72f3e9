"""A text of somebody's as training and generation see it, or the reason why it is none: the one place that cleans.

Rows, prompts, themes, sample prompts, lists of words and lines that other systems wrote all go through here.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from recipe.characters import is_invisible
from recipe.couplet.form import is_chinese_character
from recipe.language import N_, _, enumerated

EMPTY = N_("empty")
NOT_TEXT = N_("not text")
CONTROL = N_("control or damaged characters")
LINE_BREAK = N_("line break inside a cell (an unbalanced quote?)")

LOST = N_("an unknown token ([UNK]) in place of a character")
MARKUP = N_("HTML (<br>, &nbsp;) in the text")
# Of a JSON record; these two name a key.
NO_KEY = N_("no key {key}")
KEY_TWICE = N_("key {key} twice")

# What is taken out, as the counts name it.
INVISIBLE = N_("invisible characters")
COMBINING = N_("combining marks")
SPECIAL_TOKENS = N_("special tokens of other tools")
# In lines that are scored these stay as wrong as they are, but count as one character.
LOST_IN_ANSWER = N_("unknown tokens ([UNK]), each scored as one wrong character")
MARKUP_IN_ANSWER = N_("HTML")

# What tokenizers put around texts and print with them: BERT's, sentencepiece's, those of chat models. Characters may
# stand apart, tokens then too.
_SPECIAL_TOKEN = re.compile(
    r"\[\s*(?:CLS|SEP|PAD|BOS|EOS|EOD|EOP|SOP|EOT|[gs]MASK|/?INST|unused\d+)\s*\]"
    r"|<\s*(?:/?s|pad|bos|eos|cls|sep|eod|eop|sop|eot|n|extra_id_\d+)\s*/?\s*>"
    r"|<\s*[|｜][^<>]{1,40}[|｜]\s*>",
    re.IGNORECASE,
)
_LOST_TOKEN = re.compile(r"\[\s*(?:UNK|MASK)\s*\]|<\s*(?:unk|mask)\s*>|\u2047", re.IGNORECASE)
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>\u3400-\u9fff]*>", re.DOTALL)
_MARKUP = re.compile(_TAG.pattern + r"|&(?:[A-Za-z]{2,8}\d{0,2}|#\d{1,6}|#x[0-9A-Fa-f]{1,5});", re.DOTALL)
_WRONG_CHARACTER = "□"

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


def in_words(reason: str) -> str:
    """Return why a row is rejected in the reader's language; files of rejected rows and their counts keep English."""
    for named in (NO_KEY, KEY_TWICE):
        before, after = named.split("{key}")
        if reason.startswith(before) and reason.endswith(after):
            return _(named).format(key=reason.removeprefix(before).removesuffix(after))
    return _(reason)


def counted(rejected: Mapping[str, int]) -> str:
    """Return how many rows were rejected for which reason, for a message."""
    return _("; ").join(
        _("{count:,} {reason}").format(count=count, reason=in_words(reason)) for reason, count in rejected.items()
    )


def listed(removed: Mapping[str, int]) -> str:
    """Return the kinds of what was taken out, and of how many texts, for a message."""
    return enumerated(_("{kind} ({count:,})").format(kind=_(kind), count=count) for kind, count in removed.items())


def clean(cell: object, *, joins_lines: bool) -> Cleaned:
    """Return a cell's text with every run of white space as one space, and none around it.

    Invisible characters go, and so do combining marks on what has none in any script: they would count as positions.
    So do the special tokens of other tools. HTML and unknown tokens hide what the text was: it is refused.

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
    if _ORDINARY.fullmatch(written):
        return Cleaned(written)
    text, removed = _without_leftovers(written, "")
    if _LOST_TOKEN.search(text):
        text, removed = _LOST_TOKEN.sub(_WRONG_CHARACTER, text), (*removed, LOST_IN_ANSWER)
    if _MARKUP.search(text):
        text, removed = "".join(html.unescape(_TAG.sub("", text)).split()), (*removed, MARKUP_IN_ANSWER)
    return Cleaned(text, removed)


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
    for pattern, reason in ((_LOST_TOKEN, LOST), (_MARKUP, MARKUP)):
        if pattern.search(cleaned.text):
            raise RejectedRowError(reason)
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
    joined = between.join("".join(kept).split())
    bare = _SPECIAL_TOKEN.sub(" ", joined)
    if bare != joined:
        removed[SPECIAL_TOKENS] = None
    return Cleaned(between.join(bare.split()), tuple(removed))


def _carries_marks(char: str) -> bool:
    """Whether a combining mark on `char` is part of its spelling: in scripts that write vowels so, not in Chinese."""
    return unicodedata.category(char)[0] in "LM" and not is_chinese_character(char)
