"""Level (平) and oblique (仄) tones of characters, in today's system and in the old one (平水韵), in plain Python.

The table ships as `data/tones.tsv`; its sources and their licences stand in `data/TONES.md`, and
`bench/make_tone_tables.py` makes it. A couplet is judged by one system as a whole, never by a mixture (联律通则).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path

from recipe.couplet.form import clauses

TONE_TABLE = Path(__file__).parents[1] / "data" / "tones.tsv"


class Tone(IntEnum):
    """The tones that a character can be read with, as bits; both mean several readings or an unknown one: a wildcard.

    No `IntFlag`, whose operators cost ten times those of numbers: planning a line takes dozens of them.
    """

    LEVEL = 1  # 平
    OBLIQUE = 2  # 仄
    EITHER = 3


_OPPOSITES = {Tone.LEVEL: Tone.OBLIQUE, Tone.OBLIQUE: Tone.LEVEL}


class ToneSystem(StrEnum):
    """The two systems in use: today's Mandarin (中华通韵) and the old rhyme books' (平水韵), which keeps 入声."""

    MODERN = "modern"
    ANCIENT = "ancient"


_WILDCARD = dict.fromkeys(ToneSystem, Tone.EITHER)


@cache
def _tone_table() -> dict[str, dict[ToneSystem, Tone]]:
    """Read the table once: rows of modern tone, ancient tone and all characters that have this pair of tones."""
    table: dict[str, dict[ToneSystem, Tone]] = {}
    with TONE_TABLE.open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    for modern, ancient, characters in rows:
        tones = {ToneSystem.MODERN: Tone(int(modern)), ToneSystem.ANCIENT: Tone(int(ancient))}
        table.update(dict.fromkeys(characters, tones))
    return table


def tone_of(char: str, system: ToneSystem) -> Tone:
    """The tones of `char` in `system`; a character that the table does not hold is a wildcard."""
    return _tone_table().get(char, _WILDCARD)[system]


def opposite(tone: Tone) -> Tone:
    """What answers `tone`: 仄 for 平, 平 for 仄, anything for a wildcard."""
    return _OPPOSITES.get(tone, Tone.EITHER)


def tones_opposed(upper_char: str, lower_char: str, system: ToneSystem) -> bool:
    """Whether the two characters can be read as one 平 and one 仄."""
    return bool(opposite(tone_of(upper_char, system)) & tone_of(lower_char, system))


def rhythm_positions(line: str) -> list[int]:
    """The positions whose tone is heard, from 0: the even ones of each clause (2, 4, 6 …) and the line's last.

    For a line of seven characters these are 2, 4, 6 and 7 (here 1, 3, 5 and 6).
    """
    parts = clauses(line)
    if not parts:
        return []
    return sorted({position for clause in parts for position in clause[1::2]} | {parts[-1][-1]})


def last_tones_agree(upper: str, lower: str, system: ToneSystem) -> bool:
    """Whether `upper` can be read to end in 仄 and `lower` in 平. Lines without a character agree."""
    upper_parts, lower_parts = clauses(upper), clauses(lower)
    if not upper_parts or not lower_parts:
        return not upper_parts and not lower_parts
    upper_last, lower_last = upper[upper_parts[-1][-1]], lower[lower_parts[-1][-1]]
    return bool(tone_of(upper_last, system) & Tone.OBLIQUE) and bool(tone_of(lower_last, system) & Tone.LEVEL)


def rhythm_tones_opposed(upper: str, lower: str, system: ToneSystem) -> bool:
    """Whether all `rhythm_positions` of `upper` are opposed in `lower`; False for lines of unequal length."""
    return len(upper) == len(lower) and all(
        tones_opposed(upper[position], lower[position], system) for position in rhythm_positions(upper)
    )


def choose_system(upper: str) -> ToneSystem:
    """The system in which `upper` is the better upper line, before anything answers it.

    First by whether it ends in 仄 for certain, then by whether it can, then by how many neighbouring rhythm positions
    alternate; today's system where both do equally well.
    """
    parts = clauses(upper)
    return max(ToneSystem, key=lambda system: _fitness_as_upper_line(upper, parts, system))


def _fitness_as_upper_line(upper: str, parts: Sequence[Sequence[int]], system: ToneSystem) -> tuple[bool, bool, int]:
    if not parts:
        return False, False, 0
    last = tone_of(upper[parts[-1][-1]], system)
    alternations = 0
    for clause in parts:
        heard = [tone_of(upper[position], system) for position in clause[1::2]]
        alternations += sum(bool(opposite(first) & second) for first, second in pairwise(heard))
    return last == Tone.OBLIQUE, bool(last & Tone.OBLIQUE), alternations
