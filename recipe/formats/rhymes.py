"""The rhymes of the old rhyme book (平水韵), by which 绝句 and 律诗 are written, in plain Python.

The table ships as `data/rhymes.tsv`; its source and licence stand in `data/TONES.md`, and `bench/make_tone_tables.py`
makes it. The book's 106 rhymes keep the tones apart, so that characters of one rhyme are all 平 or all 仄.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

RHYME_TABLE = Path(__file__).parents[1] / "data" / "rhymes.tsv"


@cache
def rhymes() -> dict[str, frozenset[str]]:
    """The characters of each rhyme; one of several readings stands in several."""
    with RHYME_TABLE.open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return {name: frozenset(characters) for name, characters in rows}


@cache
def _rhymes_of_characters() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name, characters in rhymes().items():
        for char in characters:
            found[char].add(name)
    return {char: frozenset(names) for char, names in found.items()}


def common_rhymes(characters: Iterable[str]) -> frozenset[str]:
    """The rhymes that all of `characters` can be read to stand in; none for a character that the book does not list."""
    table = _rhymes_of_characters()
    return frozenset.intersection(*(table.get(char, frozenset()) for char in characters))
