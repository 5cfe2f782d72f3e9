"""Banned words of several characters, kept out of a lower line while it is decoded.

A word is kept out at the last of its characters that is still to be decided. In most lines that is the word's own last
character; where the line repeats characters it can be an earlier one, which a later, forced position would complete.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from recipe.couplet.plan import FormPlan

FORBIDDEN = float("-inf")
_NOT_FIXED = -1


def deciding_windows(plan: FormPlan, length: int) -> Iterator[tuple[int, int]]:
    """Yield (deciding position, start) of every window of `length` characters of the line that holds a free character.

    The deciding position is the last of the fresh positions on which the window's characters depend.
    """
    for start in range(len(plan.upper) - length + 1):
        window = range(start, start + length)
        sources = [plan.sources[position] for position in window if not plan.is_mark[position]]
        if sources:
            yield max(sources), start


class WordTables:
    """Banned words as numbers: one (words, length) tensor of character codes for each length from 2 on.

    A character's code is its token, or a number beyond the vocabulary for a mark, which may belong to a word too.
    """

    def __init__(self, words: Sequence[str], token_of: dict[str, int], vocabulary_size: int) -> None:
        self._codes = dict(token_of)
        self._vocabulary_size = vocabulary_size
        by_length: dict[int, list[list[int]]] = defaultdict(list)
        for word in words:
            if len(word) > 1:
                by_length[len(word)].append([self.code_of(char) for char in word])
        self.by_length = {length: torch.tensor(rows) for length, rows in by_length.items()}
        self._most_completions = cache(self._count_completions)

    def code_of(self, char: str) -> int:
        """The number that stands for `char` in comparisons."""
        return self._codes.setdefault(char, self._vocabulary_size + len(self._codes))

    def worst_case_bans(self, plan: FormPlan) -> Counter[int]:
        """For each fresh position, how many characters at most can be banned there, whatever stands before it."""
        bans: Counter[int] = Counter()
        for length in self.by_length:
            for decided, start in deciding_windows(plan, length):
                bans[decided] += self._most_completions(length, _open_places(plan, start, length, decided))
        return bans

    def _count_completions(self, length: int, open_places: tuple[int, ...]) -> int:
        """Over all that can stand at the other places, the largest number of characters that complete a word."""
        rests: Counter[tuple[int, ...]] = Counter()
        for word in self.by_length[length].tolist():
            if len({word[place] for place in open_places}) == 1:
                rests[tuple(code for place, code in enumerate(word) if place not in open_places)] += 1
        return max(rests.values(), default=0)


def _open_places(plan: FormPlan, start: int, length: int, decided: int) -> tuple[int, ...]:
    return tuple(
        place for place in range(length) if plan.sources[start + place] == decided and not plan.is_mark[start + place]
    )


@dataclass(frozen=True)
class _Windows:
    """The windows of one length that one step decides, for a batch of plans: K is their largest number in a plan.

    Attributes:
        words: (N, m) the words of this length.
        steps: (plans, K, m) the step that decides each place.
        fixed: (plans, K, m) the code of the mark at each place, or -1.
        is_open: (plans, K, m) whether this very step decides the place.
        completing: (plans, K, N) the code that would complete each word: that at the window's first open place.
        is_possible: (plans, K, N) whether the window exists and the word has one character at all its open places.
    """

    words: torch.Tensor
    steps: torch.Tensor
    fixed: torch.Tensor
    is_open: torch.Tensor
    completing: torch.Tensor
    is_possible: torch.Tensor

    def to(self, device: torch.device) -> _Windows:
        return _Windows(*(tensor.to(device) for tensor in vars(self).values()))


class WordBans:
    """The banned words of a batch of plans, step by step of decoding."""

    def __init__(self, tables: WordTables, plans: Sequence[FormPlan], step_of: Sequence[dict[int, int]]) -> None:
        """Arrange the windows of all plans by the step that decides them.

        Args:
            step_of: for each plan, the step at which each position of the line is decoded.
        """
        found: dict[tuple[int, int], list[list[tuple[list[int], list[int]]]]] = {}
        for index, plan in enumerate(plans):
            for length in tables.by_length:
                for decided, start in deciding_windows(plan, length):
                    step = step_of[index][decided]
                    batch = found.setdefault((step, length), [[] for _ in plans])
                    batch[index].append(_window_row(tables, plan, step_of[index], start, length))
        self._by_step: dict[int, list[_Windows]] = defaultdict(list)
        for (step, length), batch in found.items():
            self._by_step[step].append(_stack(tables.by_length[length], batch, step))

    def apply(self, step: int, generated: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary) with every token forbidden that would complete a word at this step.

        `generated` (rows, step) holds the tokens of the line so far; the rows of a plan stand together.
        """
        device = scores.device
        self._by_step[step] = [windows.to(device) for windows in self._by_step.get(step, [])]
        for windows in self._by_step[step]:
            scores = _forbid_completions(windows, generated, scores)
        return scores


def _window_row(
    tables: WordTables, plan: FormPlan, step_of: dict[int, int], start: int, length: int
) -> tuple[list[int], list[int]]:
    steps, fixed = [], []
    for position in range(start, start + length):
        is_mark = plan.is_mark[position]
        steps.append(0 if is_mark else step_of[plan.sources[position]])
        fixed.append(tables.code_of(plan.upper[position]) if is_mark else _NOT_FIXED)
    return steps, fixed


def _stack(words: torch.Tensor, batch: list[list[tuple[list[int], list[int]]]], step: int) -> _Windows:
    length = words.shape[1]
    most = max(map(len, batch))
    padding = ([0] * length, [_NOT_FIXED] * length)
    padded = [rows + [padding] * (most - len(rows)) for rows in batch]
    steps = torch.tensor([[row[0] for row in rows] for rows in padded])
    fixed = torch.tensor([[row[1] for row in rows] for rows in padded])
    exists = torch.tensor([[index < len(rows) for index in range(most)] for rows in batch])
    is_open = (steps == step) & (fixed == _NOT_FIXED) & exists[..., None]
    completing = words.T[is_open.int().argmax(dim=-1)]
    is_possible = exists[..., None].expand_as(completing).clone()
    for place in range(length):
        is_possible &= ~is_open[..., place, None] | (words[:, place] == completing)
    return _Windows(words, steps, fixed, is_open, completing, is_possible)


def _forbid_completions(windows: _Windows, generated: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    copies = scores.shape[0] // windows.steps.shape[0]
    steps, fixed, is_open, completing, matches = (
        tensor.repeat_interleave(copies, dim=0)
        for tensor in (windows.steps, windows.fixed, windows.is_open, windows.completing, windows.is_possible)
    )
    rows, count, length = steps.shape
    # Open places index the column of this very step, which does not exist yet: any column will do, they always match.
    known = torch.nn.functional.pad(generated, (0, 1))
    written = known.gather(1, steps.reshape(rows, -1)).view(rows, count, length)
    codes = torch.where(fixed == _NOT_FIXED, written, fixed)
    for place in range(length):
        matches = matches & (is_open[..., place, None] | (codes[..., place, None] == windows.words[:, place]))
    matches = matches & (completing < scores.shape[1])
    penalty = torch.zeros_like(matches, dtype=scores.dtype).masked_fill_(matches, FORBIDDEN)
    tokens = completing.clamp(max=scores.shape[1] - 1)
    # Added, not written: two words may end in one character, and only one of them may match.
    return scores.scatter_add(1, tokens.reshape(rows, -1), penalty.view(rows, -1))
