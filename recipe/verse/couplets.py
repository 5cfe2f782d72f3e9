"""The parallel couplets of regulated verse, and their split by poem.

The second and the third of the four couplets of a regulated poem (律诗) have to be parallel (对仗). Not every poem of
eight equal lines is regulated, so a couplet is kept only if it keeps the form's hard rules and its learned parallelism
reaches `PARALLEL_FROM`. Parallelism is learned from the middle couplets of *other* poems: scored by a table that has
counted the couplet itself, rare characters would answer each other perfectly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recipe.couplet.form import form_violations
from recipe.couplet.parallelism import CharacterAssociation
from recipe.errors import UserError
from recipe.language import _
from recipe.verse.cleaning import Poem

_EXCLUDED_LINES = Path(__file__).parent / "excluded_lines.txt"
PARALLEL_FROM = 0.0
FOLDS = 5
_COUPLETS = 4
_MIDDLE = (1, 2)
_LINE_LENGTHS = (5, 7)


class Couplet(NamedTuple):
    """Two lines of verse, the number of their poem, and which of its couplets they are, counted from 0."""

    upper: str
    lower: str
    poem: int
    place: int


def regulated_couplets(poems: Sequence[Poem]) -> list[Couplet]:
    """Return all four couplets of every whole poem of eight lines of five or of seven characters."""
    return [
        Couplet(upper, lower, number, place)
        for number, poem in enumerate(poems)
        if poem.is_whole and len(poem.sentences) == _COUPLETS
        for place, (upper, lower) in enumerate(_couplets_of_eight(poem))
    ]


def _couplets_of_eight(poem: Poem) -> list[tuple[str, str]]:
    lengths = {len(line) for line in poem.lines}
    if len(poem.lines) != 2 * _COUPLETS or len(lengths) != 1 or not lengths <= set(_LINE_LENGTHS):
        return []
    return list(zip(poem.lines[::2], poem.lines[1::2], strict=True))


def is_middle(couplet: Couplet) -> bool:
    """Whether the rules of regulated verse ask this couplet to be parallel."""
    return couplet.place in _MIDDLE


def keeps_form(couplet: Couplet) -> bool:
    """Whether the lower line breaks none of the hard rules."""
    return not form_violations(couplet.upper, couplet.lower)


def parallelism_scores(couplets: Sequence[Couplet], poems: Sequence[Poem]) -> np.ndarray:
    """Return the learned parallelism of each couplet, in nats, shape (couplets,).

    Poems are dealt to `FOLDS` folds by a hash of their text; a fold is scored by what the others' middle couplets that
    keep the form teach.
    """
    folds = np.array([int(poem_key(poems[couplet.poem])[:8], 16) % FOLDS for couplet in couplets])
    teaches = np.array([is_middle(couplet) and keeps_form(couplet) for couplet in couplets])
    scores = np.zeros(len(couplets))
    for fold in range(FOLDS):
        teachers = [couplets[number] for number in np.flatnonzero(teaches & (folds != fold)).tolist()]
        pupils = np.flatnonzero(folds == fold)
        if teachers and len(pupils):
            table = CharacterAssociation.learn(*_lines(teachers))
            scores[pupils] = table.score_lines(*_lines([couplets[number] for number in pupils.tolist()]))
    return scores


def _lines(couplets: Iterable[Couplet]) -> tuple[list[str], list[str]]:
    couplets = list(couplets)
    return [couplet.upper for couplet in couplets], [couplet.lower for couplet in couplets]


def poem_key(poem: Poem) -> str:
    """Return the hash by which poems are dealt out: it knows nothing of their order in the collection."""
    return hashlib.sha256("".join(poem.lines).encode()).hexdigest()


def distinct(poems: Iterable[Poem]) -> list[Poem]:
    """Return the poems without those of which half the lines or more have stood in earlier ones.

    The collection holds poems twice, under two names, often with a character or two changed.
    """
    seen: set[str] = set()
    kept = []
    for poem in poems:
        if 2 * sum(line in seen for line in poem.lines) < len(poem.lines):
            kept.append(poem)
            seen.update(poem.lines)
    return kept


def line_key(line: str) -> str:
    """Return the hash by which `excluded_lines.txt` names a line."""
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def excluded_lines() -> frozenset[str]:
    """Return the hashes of the lines of verse that stand in the dev set of the public 600,000 couplets.

    A model that has read them could not be measured there. There are 123; the hashes say which, and not what they are.
    """
    return frozenset(_EXCLUDED_LINES.read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class Split:
    """Couplets and the numbers of the poems to train on, couplets and poems held out."""

    train: list[Couplet]
    dev: list[Couplet]
    test: list[Couplet]
    train_poems: list[int]
    dev_poems: list[int]


def split_by_poem(
    couplets: Sequence[Couplet], poems: Sequence[Poem], held_out: int, excluded: frozenset[str] = frozenset()
) -> Split:
    """Deal poems to the three sides, so that no line stands on two of them.

    Args:
        couplets: those that are kept, in the order of their poems.
        held_out: couplets of the test side, and of the dev side.
        excluded: hashes (see `line_key`) of lines that no poem of any side may hold.

    Raises:
        UserError: nothing is left to train on.
    """
    allowed = {number for number, poem in enumerate(poems) if excluded.isdisjoint(map(line_key, poem.lines))}
    by_poem: dict[int, list[Couplet]] = {}
    for couplet in couplets:
        if couplet.poem in allowed:
            by_poem.setdefault(couplet.poem, []).append(couplet)
    taken: set[str] = set()
    sides: list[list[Couplet]] = []
    order = iter(sorted(by_poem, key=lambda number: poem_key(poems[number])))
    for _side in ("test", "dev"):
        side: list[Couplet] = []
        while len(side) < held_out and (number := next(order, None)) is not None:
            if taken.isdisjoint(poems[number].lines):
                side += by_poem[number][: held_out - len(side)]
                taken.update(poems[number].lines)
        sides.append(side)
    test, dev = sides
    train_poems = [number for number in sorted(allowed) if taken.isdisjoint(poems[number].lines)]
    usable = set(train_poems)
    train = list({couplet[:2]: couplet for couplet in couplets if couplet.poem in usable}.values())
    if not train:
        raise UserError(
            _(
                "--held_out {held_out}: of {count:,} parallel couplets none is left to train on; lower it, or give "
                "--poems the whole collection"
            ).format(held_out=held_out, count=len(couplets))
        )
    return Split(train, dev, test, train_poems, list(dict.fromkeys(couplet.poem for couplet in dev)))
