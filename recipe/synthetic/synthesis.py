"""Draw distinct couplets from the patterns, in an order that a seed decides, without remembering any of them."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from recipe.synthetic.patterns import Pattern, load_patterns

# How many patterns are drawn at a time: only saves calls, a couplet stream is the same prefix for any number of rows.
_DRAWN_AT_ONCE = 4096


class Couplet(NamedTuple):
    """An upper line and its lower line."""

    upper: str
    lower: str


@dataclass(frozen=True)
class _Space:
    """All couplets of one pattern, numbered from 0 to `size` - 1 in a mixed radix: one digit a slot."""

    pattern: Pattern
    choices: tuple[list[tuple[str, str]], ...]
    size: int

    def couplet(self, number: int) -> Couplet | None:
        """The couplet of that number, None where two of its words share a character."""
        words = []
        for choices in self.choices:
            number, digit = divmod(number, len(choices))
            words.append(choices[digit])
        uppers, lowers = zip(*words, strict=True)
        if len(set("".join(uppers + lowers))) != 2 * self.pattern.distinct_characters:
            return None
        layout = self.pattern.layout
        return Couplet(
            "".join([item if isinstance(item, str) else uppers[item] for item in layout]),
            "".join([item if isinstance(item, str) else lowers[item] for item in layout]),
        )

    def walk(self, rng: random.Random) -> Iterator[Couplet]:
        """Every couplet once, in an order that `rng` decides.

        The numbers follow each other at a constant stride modulo `size`. The stride has no factor in common with
        `size`, so that the walk comes back to a number only when it has been at all others: nothing can be drawn twice.
        """
        stride = rng.randrange(1, self.size + 1)
        while math.gcd(stride, self.size) != 1:
            stride = rng.randrange(1, self.size + 1)
        start = rng.randrange(self.size)
        for step in range(self.size):
            couplet = self.couplet((start + step * stride) % self.size)
            if couplet is not None:
                yield couplet


@cache
def _spaces() -> tuple[tuple[_Space, float], ...]:
    """Every pattern's space, with its share of a corpus (the section's share split evenly)."""
    spaces = []
    for group in load_patterns():
        for pattern in group.patterns:
            choices = tuple(slot.choices() for slot in pattern.slots)
            space = _Space(pattern, choices, math.prod(len(pairs) for pairs in choices))
            spaces.append((space, group.share / len(group.patterns)))
    return tuple(spaces)


def synthesize(rows: int, seed: int) -> Iterator[Couplet]:
    """Yield `rows` distinct couplets, the same ones in the same order for the same seed.

    Memory does not grow with `rows`. A shorter stream of a seed is the beginning of a longer one. No two patterns can
    make the same line (tested), and no walk through a pattern comes by a couplet twice. Raises ValueError where `rows`
    is more than `capacity()`.
    """
    if rows > capacity():
        raise ValueError(f"{rows:,} couplets were asked for; the patterns are certain to hold {capacity():,}")
    return itertools.islice(_stream(seed), rows)


def _stream(seed: int) -> Iterator[Couplet]:
    rng = random.Random(seed)
    walks = {number: space.walk(random.Random(rng.getrandbits(64))) for number, (space, _) in enumerate(_spaces())}
    shares = {number: share for number, (_, share) in enumerate(_spaces())}
    while walks:
        for number in rng.choices(list(walks), [shares[number] for number in walks], k=_DRAWN_AT_ONCE):
            couplet = next(walks[number], None) if number in walks else None
            if couplet is None:
                walks.pop(number, None)  # This pattern has given all it has: the others go on.
            else:
                yield couplet


@cache
def capacity() -> int:
    """A lower bound of the number of distinct couplets that the patterns hold.

    The couplets of a pattern are the combinations of its slots' word pairs, less those in which two words share a
    character. The share of the latter is at most the sum, over all pairs of slots, of the share of combinations of
    these two slots that clash (Boole's inequality).
    """
    return sum(_certain_couplets(space) for space, _ in _spaces())


def _certain_couplets(space: _Space) -> int:
    clashing = sum(_clash_share(first, second) for first, second in itertools.combinations(space.choices, 2))
    return max(0, math.floor(space.size * (1 - clashing)))


def _clash_share(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> float:
    """At most this share of the combinations of the two slots' word pairs has a character in common."""
    first_counts, second_counts = (
        Counter(char for pair in choices for char in set("".join(pair))) for choices in (first, second)
    )
    clashes = sum(count * second_counts[char] for char, count in first_counts.items())
    return clashes / (len(first) * len(second))
