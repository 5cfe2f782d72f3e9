"""Blind sheets: which answers are shown to whom, in which order, under which codes.

A sheet hides the systems behind codes, shows one answer once however many systems gave it, mixes in attention checks
(answers broken on purpose), and shuffles everything by seed, otherwise for every sheet of a set. People fill sheets in
as pages or tables; a judge model fills in the same entries.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, cycle
from typing import NamedTuple

from recipe.errors import UserError
from recipe.language import _
from recipe.rating.dimensions import OVERALL
from recipe.rating.keys import CodedAnswer, SheetKey
from recipe.rating.ratings import DEFAULT_POINTS

CHECK_SHARE = 0.08  # attention checks per entry: a dozen entries apart, so often enough to notice a rater who clicks on
_CODE_DIGITS = 12  # hexadecimal; among 100,000 answers two share a code once in 50,000 sets of sheets
COUPLET_LABELS = {"zh": ("上联", "下联"), "en": ("Upper line", "Lower line")}


class Entry(NamedTuple):
    """One question of a sheet: an answer to rate, or with `other` a pair to choose from, `system` being A."""

    item: str
    prompt: str
    system: str
    answer: str
    other: str = ""
    other_answer: str = ""


@dataclass(frozen=True)
class SheetOptions:
    """What a set of sheets asks.

    Attributes:
        kind: "absolute" (points in each dimension) or "pair" (A, B, tie, both bad).
        dimensions: keys of the dimensions; pairs are judged as a whole.
        points: points of the scale, 5 or 7.
        items: prompts drawn by seed; all of them if there are no more.
        sheets: how many sheets, one for each rater; all hold the same entries, in different orders.
        pairs_per_item: pairs: how many of the pairs of systems are asked for each prompt, in turn.
        check_share: attention checks as a share of the entries.
        labels: language → what the prompt and the answer are called.
    """

    kind: str = "absolute"
    dimensions: tuple[str, ...] = (OVERALL,)
    points: int = DEFAULT_POINTS
    items: int = 60
    sheets: int = 1
    pairs_per_item: int = 1
    check_share: float = CHECK_SHARE
    labels: Mapping[str, tuple[str, str]] = field(default_factory=lambda: dict(COUPLET_LABELS))
    seed: int = 42


@dataclass(frozen=True)
class SheetSet:
    """Sheets for a number of raters, and the key that belongs to all of them."""

    options: SheetOptions
    key: SheetKey
    sheets: list[list[Entry]]


def build_sheets(prompts: Sequence[str], answers: Mapping[str, Sequence[str]], options: SheetOptions) -> SheetSet:
    """Return blind sheets over `answers`: system → its answer to each of `prompts`, in their order.

    Raises:
        UserError: fewer than one prompt, or fewer systems than the kind of sheet compares.
    """
    wanted = 2 if options.kind == "pair" else 1
    if not prompts or len(answers) < wanted:
        raise UserError(
            _("a sheet of kind {kind} needs prompts and at least {wanted} systems; found {count}").format(
                kind=options.kind, wanted=wanted, count=len(answers)
            )
        )
    generator = random.Random(options.seed)
    places = list({prompt: place for place, prompt in reversed(list(enumerate(prompts)))}.values())
    chosen = sorted(generator.sample(sorted(places), min(options.items, len(places))))
    register = _Register(options.seed)
    asked: list[Entry] = []
    identical: list[tuple[str, str, str]] = []
    pairs = cycle(generator.sample(list(combinations(answers, 2)), math.comb(len(answers), 2)))
    for place in chosen:
        prompt, texts = prompts[place], {system: lines[place] for system, lines in answers.items()}
        if options.kind == "absolute":
            asked += register.absolute(prompt, texts)
        else:
            for _pair in range(min(options.pairs_per_item, math.comb(len(answers), 2))):
                register.pair(prompt, texts, next(pairs), asked, identical)
    asked += _checks(prompts, answers, chosen, options, register, generator, len(asked))
    key = register.key(options, identical)
    return SheetSet(options, key, [_shuffled(asked, options.seed, number) for number in range(1, options.sheets + 1)])


class _Register:
    """Codes handed out so far, and what stands behind them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.items: dict[str, str] = {}
        self.answers: dict[str, CodedAnswer] = {}

    def _code(self, *texts: str) -> str:
        content = json.dumps([self.seed, *texts], ensure_ascii=False)
        return _code_of(content)

    def coded(self, prompt: str, text: str, systems: Sequence[str]) -> tuple[str, str]:
        """Return the codes of a prompt and of an answer to it; a known answer gains the systems."""
        item, code = self._code(prompt), self._code(prompt, text)
        self.items[item] = prompt
        known = self.answers[code].systems if code in self.answers else ()
        self.answers[code] = CodedAnswer(item, text, tuple(sorted({*known, *systems})))
        return item, code

    def absolute(self, prompt: str, texts: Mapping[str, str]) -> list[Entry]:
        """Return an entry for each different answer to a prompt."""
        entries = []
        for text in dict.fromkeys(texts.values()):
            item, code = self.coded(prompt, text, [system for system, other in texts.items() if other == text])
            entries.append(Entry(item, prompt, code, text))
        return entries

    def pair(
        self,
        prompt: str,
        texts: Mapping[str, str],
        pair: tuple[str, str],
        asked: list[Entry],
        identical: list[tuple[str, str, str]],
    ) -> None:
        """Add the question about two systems to `asked`, or to `identical` where both gave the same answer."""
        one, other = pair
        item, first = self.coded(prompt, texts[one], [one])
        _, second = self.coded(prompt, texts[other], [other])
        if first == second:
            identical.append((item, one, other))
        else:
            asked.append(Entry(item, prompt, first, texts[one], second, texts[other]))

    def key(self, options: SheetOptions, identical: list[tuple[str, str, str]]) -> SheetKey:
        """Return the key of everything registered; its identity is a hash of what it holds."""
        answers = {code: asdict(answer) for code, answer in sorted(self.answers.items())}
        content = json.dumps([options.kind, sorted(self.items.items()), answers, identical], ensure_ascii=False)
        return SheetKey(_code_of(content), options.kind, self.items, self.answers, identical)


def _code_of(content: str) -> str:
    """Return a code that no spreadsheet takes for a number: 12e456789012 would come back from one as 1.2E+456789013."""
    return f"c{hashlib.sha256(content.encode()).hexdigest()[:_CODE_DIGITS]}"


def _checks(
    prompts: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    chosen: Sequence[int],
    options: SheetOptions,
    register: _Register,
    generator: random.Random,
    entries: int,
) -> list[Entry]:
    """Return attention checks: a broken answer alone, or beside the answer that it was made of."""
    made: list[Entry] = []
    for place in generator.sample(list(chosen), min(len(chosen), math.ceil(options.check_share * entries))):
        prompt = prompts[place]
        texts = [lines[place] for lines in answers.values() if lines[place]]
        if not texts:
            continue
        text = texts[0]
        spoilt = broken(text, generator)
        if spoilt in texts:
            continue
        item, code = register.coded(prompt, spoilt, ())
        if options.kind == "absolute":
            made.append(Entry(item, prompt, code, spoilt))
        else:
            _, whole = register.coded(prompt, text, [next(name for name in answers if answers[name][place] == text)])
            made.append(Entry(item, prompt, whole, text, code, spoilt))
    return made


def broken(text: str, generator: random.Random) -> str:
    """Return a text that nobody can take for an answer: the characters in disorder, a third of them missing.

    A text of one or two characters is repeated instead, so that its length is wrong too.
    """
    characters = list(text)
    if len(characters) < 3:
        return text * 3
    generator.shuffle(characters)
    return "".join(characters[: -max(1, len(characters) // 3)])


def _shuffled(entries: Sequence[Entry], seed: int, number: int) -> list[Entry]:
    """Return the entries in the order of one sheet; in pairs it also draws which answer is A."""
    generator = random.Random(f"{seed} {number}")
    shown = list(entries)
    generator.shuffle(shown)
    return [
        entry._replace(system=entry.other, answer=entry.other_answer, other=entry.system, other_answer=entry.answer)
        if entry.other and generator.random() < 0.5
        else entry
        for entry in shown
    ]
