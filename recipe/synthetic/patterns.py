"""Line patterns: which word class stands where in a line, and which tones its words take.

A pattern of `patterns.tsv` is a row of class names, marks, and back references (`=1` repeats the first word). Its upper
line takes words so that the tones follow the usual metre: they alternate from one word to the next at the even
positions of a clause, a word that ends at an odd position is free, and the line closes in 仄. The lower line takes at
every place a word from the other side of the same class, and so has the opposite tones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recipe.synthetic.lexicon import Side, WordClass, load_lexicon

PATTERNS_FILE = Path(__file__).parent / "patterns.tsv"
MARKS = "，；、"


@dataclass(frozen=True)
class Slot:
    """One word of a line: its class, the sides that the upper line's word may come from, whether it closes the line."""

    word_class: WordClass
    sides: tuple[Side, ...]
    closes: bool

    def choices(self) -> list[tuple[str, str]]:
        """All (upper word, lower word) of this slot that share no character."""
        words = self.word_class.closing if self.closes else self.word_class.sides
        return [
            (upper, lower)
            for side in self.sides
            for upper in words[side]
            for lower in words[side.answer]
            if not set(upper) & set(lower)
        ]


@dataclass(frozen=True)
class Pattern:
    """A line pattern: its distinct words (`slots`), and the line as slot numbers and marks (`layout`)."""

    slots: tuple[Slot, ...]
    layout: tuple[int | str, ...]

    @property
    def shape(self) -> str:
        """The line with 〇 for every character: what two lines must have in common to be compared."""
        return "".join(
            item if isinstance(item, str) else "〇" * self.slots[item].word_class.length for item in self.layout
        )

    @property
    def distinct_characters(self) -> int:
        """How many different characters a line of this pattern holds, marks aside, where no two words share one."""
        return sum(slot.word_class.distinct for slot in self.slots)

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """For every word of the line, repeated ones included: its slot's number, its start and its end."""
        start = 0
        for item in self.layout:
            end = start + (len(item) if isinstance(item, str) else self.slots[item].word_class.length)
            if isinstance(item, int):
                yield item, start, end
            start = end


@dataclass(frozen=True)
class PatternGroup:
    """Patterns of one section of the file, and the share of a corpus, in percent, that they make up together."""

    name: str
    share: float
    patterns: tuple[Pattern, ...]


@cache
def load_patterns() -> tuple[PatternGroup, ...]:
    """Read `patterns.tsv`: a section `[name] share` and below it a pattern a line.

    Every line becomes as many patterns as there are metres for it (see `_metres`). Raises ValueError for a line that
    names no class of the lexicon.
    """
    sections: list[tuple[str, float, list[Pattern]]] = []
    for number, line in enumerate(PATTERNS_FILE.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            name, share = text.removeprefix("[").split("]")
            sections.append((name, float(share), []))
        elif text:
            try:
                sections[-1][2].extend(_parse(text.split()))
            except KeyError as error:
                raise ValueError(f"{PATTERNS_FILE.name}, line {number}: there is no word class {error}") from error
    return tuple(PatternGroup(name, share, tuple(patterns)) for name, share, patterns in sections)


def _parse(tokens: Sequence[str]) -> list[Pattern]:
    """One pattern for each metre that the words named by `tokens` can take."""
    lexicon = load_lexicon()
    classes: list[WordClass] = []
    layout: list[int | str] = []
    for token in tokens:
        if token in MARKS:
            layout.append(token)
        elif token.startswith("="):
            layout.append(int(token.removeprefix("=")) - 1)
        else:
            layout.append(len(classes))
            classes.append(lexicon[token])
    last = layout[-1]
    return [
        Pattern(
            tuple(
                Slot(word_class, sides, closes=number == last)
                for number, (word_class, sides) in enumerate(zip(classes, metre, strict=True))
            ),
            tuple(layout),
        )
        for metre in _metres(classes, layout)
    ]


def _metres(classes: Sequence[WordClass], layout: Sequence[int | str]) -> list[tuple[tuple[Side, ...], ...]]:
    """For every way to open the clauses in 平 or in 仄: the sides that each distinct word may come from.

    A word that is repeated takes the tone that its first place asks for. The word that closes the line is 仄, whatever
    its place asks for; where it closes an even position, only the opening that leads to 仄 is used.
    """
    clause_count = 1 + sum(isinstance(item, str) for item in layout)
    found: dict[tuple[tuple[Side, ...], ...], None] = {}
    for openings in itertools.product(Side, repeat=clause_count):
        sides: dict[int, tuple[Side, ...]] = {}
        clauses = iter(openings)
        expected, position = next(clauses), 0
        for item in layout:
            if isinstance(item, str):
                expected, position = next(clauses), 0
                continue
            position += classes[item].length
            on_beat = position % 2 == 0
            sides.setdefault(item, (expected,) if on_beat else tuple(Side))
            expected = expected.answer if on_beat else expected
        last = layout[-1]
        assert isinstance(last, int)
        if Side.OBLIQUE in sides[last]:
            sides[last] = (Side.OBLIQUE,)
            found[tuple(sides[number] for number in range(len(classes)))] = None
    return list(found)
