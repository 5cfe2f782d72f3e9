"""The lexicon: word classes, each with its words in 仄 and the words in 平 that answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

WORDS_FILE = Path(__file__).parent / "words.tsv"

# Marks a word whose last character has another tone in one of the two tone systems (mostly 入声, 平 today): it may
# stand within a line, but never closes one, so that every line ends right in both systems.
_INNER_ONLY = "*"


class Side(Enum):
    """The two halves of a word class, named by the tone of the words' last character."""

    OBLIQUE = "仄"
    LEVEL = "平"

    @property
    def answer(self) -> Side:
        """The side whose words answer the words of this one."""
        return Side.LEVEL if self is Side.OBLIQUE else Side.OBLIQUE


@dataclass(frozen=True)
class WordClass:
    """Words of one length and one grammatical kind; any word of a side may answer any word of the other side.

    `length` counts the characters of a word and `distinct` its different ones (1 for 年年); both are the same for all
    words of a class. `closing` holds the words that may end a line.
    """

    name: str
    sides: Mapping[Side, tuple[str, ...]]
    closing: Mapping[Side, tuple[str, ...]]
    length: int
    distinct: int

    def side_of(self, word: str) -> Side | None:
        """The side on which `word` stands, None where it is no word of this class."""
        return next((side for side, words in self.sides.items() if word in words), None)


@cache
def load_lexicon() -> Mapping[str, WordClass]:
    """Read `words.tsv`: a line per class with its name, what it holds, its words in 仄 and its words in 平.

    Raises ValueError, with the class named, where a class mixes lengths or a word stands in two classes.
    """
    classes: dict[str, WordClass] = {}
    owner: dict[str, str] = {}
    for line in WORDS_FILE.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, oblique, level = line.split("\t")
        if name in classes:
            raise ValueError(f"{WORDS_FILE.name}: the class {name} is defined twice")
        classes[name] = _word_class(name, {Side.OBLIQUE: oblique.split(), Side.LEVEL: level.split()})
        for word in (word for words in classes[name].sides.values() for word in words):
            if word in owner:
                raise ValueError(f"{WORDS_FILE.name}: {word} stands in {owner[word]} and in {name}")
            owner[word] = name
    return classes


def _word_class(name: str, entries: Mapping[Side, list[str]]) -> WordClass:
    sides = {side: tuple(word.removesuffix(_INNER_ONLY) for word in words) for side, words in entries.items()}
    closing = {side: tuple(word for word in words if not word.endswith(_INNER_ONLY)) for side, words in entries.items()}
    words = [word for words in sides.values() for word in words]
    shapes = {(len(word), len(set(word))) for word in words}
    if len(shapes) != 1 or not all(sides.values()):
        raise ValueError(f"{WORDS_FILE.name}: the words of {name} differ in length, or one side is empty")
    length, distinct = shapes.pop()
    return WordClass(name, sides, closing, length, distinct)
