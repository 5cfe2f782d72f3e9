"""Characters that nobody sees, in plain Python: the one list of them, for what is cleaned and for what is shown."""

from __future__ import annotations

import unicodedata

# What Unicode calls ignorable but does not count as a format character (Cf), and what is drawn as nothing: first, last.
_INVISIBLE_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2065, 0x2065),
    (0x2800, 0x2800),  # blank Braille pattern
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # half-width Hangul filler
    (0xFFF0, 0xFFF8),
    (0xFFFC, 0xFFFC),  # where a picture stood
    (0xE0000, 0xE0FFF),  # tags, variation selectors of glyphs
)


def is_invisible(char: str) -> bool:
    """Whether `char` shows nothing and takes no place: joiners, direction marks, byte order marks, selectors, fillers.

    White space is not among them: it takes a place.
    """
    code = ord(char)
    return unicodedata.category(char) == "Cf" or any(first <= code <= last for first, last in _INVISIBLE_RANGES)


def is_blank(text: str) -> bool:
    """Whether `text` holds nothing but white space and invisible characters."""
    return all(char.isspace() or is_invisible(char) for char in text)
