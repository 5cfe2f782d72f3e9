"""The hard rules of a couplet's form, in plain Python: what a lower line must share with its upper line, what not.

Measured on 4,000 human couplets, the rules cost no human line: length, positions of marks, repetition and no shared
character hold in all of them, and the marks are identical in 98.5%. Tones are another matter: `recipe.couplet.tones`.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from functools import cache, lru_cache

DEFAULT_SEPARATOR = "-"

# The blocks of Chinese characters; 々 repeats the character before it and is no character of its own.
_HAN_RANGES = (
    (0x3007, 0x3007),  # 〇
    (0x3400, 0x4DBF),  # extension A
    (0x4E00, 0x9FFF),  # unified ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x20000, 0x323AF),  # extensions B to H
)


class Violation(StrEnum):
    """A way in which a lower line can break the form; the value is the name under which it is reported."""

    LENGTH = "length"
    PUNCTUATION = "punctuation"  # marks stand at other positions
    MARK = "mark"  # a mark stands where the upper line has one, but it is another mark
    REPETITION = "repetition"
    SHARED_CHARACTER = "shared_character"
    FOREIGN_CHARACTER = "foreign_character"  # Latin, digits, special tokens: neither a mark nor a Chinese character


@cache  # asked of each character several times while a line is planned; Unicode bounds it
def is_punctuation(char: str) -> bool:
    """Whether `char` is a mark: mirrored by the lower line, not answered.

    A mark is everything that Unicode counts neither as a letter nor as a number: punctuation, symbols, emoji with their
    modifiers, whitespace.
    """
    return unicodedata.category(char)[0] not in "LN"


def is_chinese_character(char: str) -> bool:
    """Whether `char` may answer another one: a character of one of the blocks of Chinese characters, or 〇."""
    code = ord(char)
    return any(first <= code <= last for first, last in _HAN_RANGES) and not is_punctuation(char)


def mark_positions(line: str) -> list[int]:
    """The positions of `line` that hold a mark, counted from 0."""
    return [position for position, char in enumerate(line) if is_punctuation(char)]


def repetition_pattern(line: str) -> tuple[int, ...]:
    """For each position of `line` the first position that holds the same character; a mark counts for itself alone.

    Two lines repeat alike exactly if their patterns are equal: 年年有余 gives (0, 0, 2, 3).
    """
    first_seen: dict[str, int] = {}
    return tuple(
        position if is_punctuation(char) else first_seen.setdefault(char, position)
        for position, char in enumerate(line)
    )


@lru_cache(maxsize=1 << 14)  # asked twice while a line is planned, and again when its answers are rated
def clauses(line: str) -> tuple[tuple[int, ...], ...]:
    """The positions of the characters of each clause of `line`; marks end a clause and belong to none."""
    found: list[list[int]] = [[]]
    for position, char in enumerate(line):
        if not is_punctuation(char):
            found[-1].append(position)
        elif found[-1]:
            found.append([])
    return tuple(tuple(clause) for clause in found if clause)


def form_violations(upper: str, lower: str) -> list[Violation]:
    """Every rule that `lower` breaks as the answer to `upper`, each named once, in the order of `Violation`.

    A lower line of another length breaks `LENGTH` and, in general, the rules that compare position by position too.
    """
    upper_marks, lower_marks = mark_positions(upper), mark_positions(lower)
    broken = {
        Violation.LENGTH: len(upper) != len(lower),
        Violation.PUNCTUATION: upper_marks != lower_marks,
        Violation.MARK: upper_marks == lower_marks and any(upper[at] != lower[at] for at in upper_marks),
        Violation.REPETITION: repetition_pattern(upper) != repetition_pattern(lower),
        Violation.SHARED_CHARACTER: any(not is_punctuation(char) for char in set(upper) & set(lower)),
        Violation.FOREIGN_CHARACTER: any(not is_punctuation(char) and not is_chinese_character(char) for char in lower),
    }
    return [violation for violation, is_broken in broken.items() if is_broken]


def is_same_mark(char: str, mark: str) -> bool:
    """Whether `char` is `mark` as somebody may type it: itself, its full-width double, or, for a dash, another dash."""
    if char == mark or unicodedata.normalize("NFKC", char) == unicodedata.normalize("NFKC", mark):
        return True
    return unicodedata.category(char) == unicodedata.category(mark) == "Pd"


def split_couplet(text: str, separator: str = DEFAULT_SEPARATOR) -> tuple[str, str] | None:
    """Split `upper + separator + lower`: at the exact middle, else at the only separator there is, else None.

    The middle comes first because a separator may also stand inside a line. Halves can be empty or unequal: whether
    that is an error is for the caller to say.
    """
    half, odd = divmod(len(text) - len(separator), 2)
    if half >= 0 and not odd and text[half : half + len(separator)] == separator:
        return text[:half], text[half + len(separator) :]
    if text.count(separator) == 1:
        upper, _, lower = text.partition(separator)
        return upper, lower
    return None
