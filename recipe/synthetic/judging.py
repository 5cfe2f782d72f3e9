"""The synthesizer's own judgement of an answer: does each word of the lower line answer the word above it?"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from recipe.synthetic.patterns import MARKS, Pattern, load_patterns
from recipe.synthetic.synthesis import Couplet


def class_agreement(upper: str, lower: str) -> tuple[int, int]:
    """Count the words of `upper`, and those of them that the word at the same place of `lower` answers.

    A word answers another one if it stands on the other side of the same word class. The words of `upper` are those of
    the one pattern that can make it. (0, 0) where no pattern can: the synthesizer has no opinion on other lines.
    """
    pattern = find_pattern(upper)
    if pattern is None:
        return 0, 0
    spans = list(pattern.spans())
    agreeing = 0
    for number, start, end in spans:
        word_class = pattern.slots[number].word_class
        side = word_class.side_of(upper[start:end])
        agreeing += side is not None and word_class.side_of(lower[start:end]) is side.answer
    return len(spans), agreeing


def chance_agreement(couplets: Sequence[Couplet], seed: int = 0) -> float:
    """The share of words that agree when each upper line gets another couplet's lower line of the same shape.

    This is what a model scores that writes flawless lower lines without reading the upper one. Shapes that only one
    couplet has are left out; the result is 0 where nothing is left.
    """
    by_shape: dict[str, list[Couplet]] = defaultdict(list)
    for couplet in couplets:
        by_shape[_shape(couplet.upper)].append(couplet)
    rng = random.Random(seed)
    words = agreeing = 0
    for group in by_shape.values():
        rng.shuffle(group)
        for couplet, other in zip(group, group[1:] + group[:1], strict=True):
            if other is not couplet:
                counted, agreed = class_agreement(couplet.upper, other.lower)
                words, agreeing = words + counted, agreeing + agreed
    return agreeing / words if words else 0.0


def find_pattern(line: str) -> Pattern | None:
    """A pattern that composes `line` as an upper line, None where there is none. Patterns that fit agree in classes."""
    for pattern in _patterns_by_shape().get(_shape(line), ()):
        words: dict[int, str] = {}
        if all(
            words.setdefault(number, line[start:end]) == line[start:end]
            and pattern.slots[number].word_class.side_of(line[start:end]) in pattern.slots[number].sides
            for number, start, end in pattern.spans()
        ):
            return pattern
    return None


def _shape(line: str) -> str:
    return "".join(char if char in MARKS else "〇" for char in line)


@cache
def _patterns_by_shape() -> Mapping[str, list[Pattern]]:
    by_shape: dict[str, list[Pattern]] = defaultdict(list)
    for group in load_patterns():
        for pattern in group.patterns:
            by_shape[pattern.shape].append(pattern)
    return by_shape
