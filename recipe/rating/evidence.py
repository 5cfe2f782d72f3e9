"""Ratings with the codes of blind sheets resolved, attention checks set apart, people and models kept apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recipe.errors import UserError
from recipe.language import _
from recipe.rating.keys import CodedAnswer, SheetKey
from recipe.rating.ratings import Rating

# A broken answer must get at most the lower part of the scale in these; its tones or its safety may be fine.
CHECKED_DIMENSIONS = ("overall", "parallelism", "imagery", "fluency", "relevance", "coherence", "satisfaction")
SHARE_OF_CHECKS_TO_PASS = 2 / 3
NOT_ASKED = ""


class Score(NamedTuple):
    """An absolute rating: by whom, of what, how much.

    Attributes:
        unit: the judged answer; `systems` are all that gave it.
        text: the answer as shown; empty where no key says it.
    """

    rater: str
    item: str
    unit: str
    systems: tuple[str, ...]
    dimension: str
    value: int
    text: str = ""


class Comparison(NamedTuple):
    """A comparison of two answers to one item; `value` is one of `PAIR_VALUES`, A being `first`.

    Attributes:
        unit: the judged pair of answers, or `NOT_ASKED` where both answers are the same.
        texts: both answers as shown; empty where no key says them.
        places: where the order was swapped: what was said each time, "first" or "second" for the answer shown in that
            place, "tie" or "both_bad".
    """

    rater: str
    item: str
    unit: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    dimension: str
    value: str
    texts: tuple[str, str] = ("", "")
    places: tuple[str, ...] = ()


class Comment(NamedTuple):
    """A free comment on an answer, or on the two answers of a pair; `answers` as shown, none where no key says them."""

    rater: str
    item: str
    systems: tuple[str, ...]
    text: str
    answers: tuple[str, ...] = ()


@dataclass
class Evidence:
    """What one kind of raters, people or models, said about the systems.

    Attributes:
        checks: rater → for each attention check that they saw, whether they noticed that it is broken.
        left_out: raters left out because they failed the checks.
        points: the best point of the absolute scale; 0 where nothing was rated by points.
    """

    scores: list[Score] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    checks: dict[str, list[bool]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    points: int = 0

    def raters(self) -> list[str]:
        """Return everybody who rated an answer of a system, in alphabetical order."""
        return sorted({score.rater for score in self.scores} | {row.rater for row in self.comparisons})

    def systems(self) -> list[str]:
        """Return every system that was rated, in alphabetical order."""
        found = {system for score in self.scores for system in score.systems}
        return sorted(found | {system for row in self.comparisons for system in (*row.first, *row.second)})

    def failed(self) -> list[str]:
        """Return the raters who passed fewer than `SHARE_OF_CHECKS_TO_PASS` of their attention checks."""
        return sorted(
            rater for rater, passed in self.checks.items() if sum(passed) < SHARE_OF_CHECKS_TO_PASS * len(passed)
        )

    def without(self, raters: Iterable[str]) -> Evidence:
        """Return the same evidence without these raters' judgements; their checks stay, to be named."""
        gone = set(raters)
        return Evidence(
            [row for row in self.scores if row.rater not in gone],
            [row for row in self.comparisons if row.rater not in gone],
            [row for row in self.comments if row.rater not in gone],
            self.checks,
            sorted(gone),
            self.points,
        )


def gather(ratings: Sequence[Rating], keys: Mapping[str, SheetKey]) -> dict[str, Evidence]:
    """Return the evidence of "person" and of "model" from ratings and the keys of their sheets.

    Raises:
        UserError: ratings of a sheet whose key is missing, codes that the key does not know, one dimension rated on two
            scales; all at once.
    """
    problems = _key_problems(ratings, keys) + _scale_problems(ratings)
    if problems:
        raise UserError(problems)
    found = {"person": Evidence(), "model": Evidence()}
    broken_values: dict[tuple[str, str, str], list[bool]] = {}
    for rating in ratings:
        key = keys.get(rating.sheet)
        first, second = _answer(rating.system, rating, key), _answer(rating.other, rating, key)
        if _is_check(first) or (rating.kind == "pair" and _is_check(second)):
            if (noticed := _noticed(rating, first)) is not None:
                broken_values.setdefault((rating.rater_kind, rating.rater, rating.system + rating.other), []).append(
                    noticed
                )
        else:
            _add(found[rating.rater_kind], rating, key, first, second)
    for (rater_kind, rater, _unit), all_noticed in broken_values.items():
        found[rater_kind].checks.setdefault(rater, []).append(all(all_noticed))
    for evidence in found.values():
        _add_identical(evidence, ratings, keys)
    return found


def _key_problems(ratings: Sequence[Rating], keys: Mapping[str, SheetKey]) -> list[str]:
    missing = sorted({rating.sheet for rating in ratings if rating.sheet and rating.sheet not in keys})
    problems = [
        _(
            "ratings of the sheets {sheet} need their key: give the key.json that was written with them as --rating_key"
        ).format(sheet=sheet)
        for sheet in missing
    ]
    for sheet, key in keys.items():
        named = [rating for rating in ratings if rating.sheet == sheet]
        codes = {code for rating in named for code in (rating.system, rating.other) if code}
        unknown = sorted(codes - key.answers.keys()) + sorted({rating.item for rating in named} - key.items.keys())
        if unknown:
            problems.append(
                _(
                    "ratings of the sheets {sheet} name {count} codes that are not in the key, {first!r} for one: the "
                    "file was edited, or the key is that of other sheets"
                ).format(sheet=sheet, count=len(unknown), first=unknown[0])
            )
    return problems


def _scale_problems(ratings: Sequence[Rating]) -> list[str]:
    points: dict[str, set[int]] = {}
    for rating in ratings:
        if rating.kind == "absolute":
            points.setdefault(rating.dimension, set()).add(rating.points)
    return [
        _(
            "{dimension} is rated from 1 to 5 in some rows and from 1 to 7 in others; analyse them one after the other"
        ).format(dimension=dimension)
        for dimension, used in points.items()
        if len(used) > 1
    ]


def _answer(code: str, rating: Rating, key: SheetKey | None) -> CodedAnswer:
    """Return what stands behind a code; without a key the code is the system's name."""
    if key is None or not code:
        return CodedAnswer(rating.item, code, (code,))
    return key.answers[code]


def _is_check(answer: CodedAnswer) -> bool:
    return not answer.systems


def _noticed(rating: Rating, first: CodedAnswer) -> bool | None:
    """Whether a rating of an attention check shows that its author looked; None if it does not tell."""
    if rating.kind == "pair":
        return rating.value in (("B" if _is_check(first) else "A"), "both_bad")
    if rating.kind == "absolute" and rating.dimension in CHECKED_DIMENSIONS and isinstance(rating.value, int):
        return rating.value <= rating.points // 2
    return None


def _add(evidence: Evidence, rating: Rating, key: SheetKey | None, first: CodedAnswer, second: CodedAnswer) -> None:
    item = key.items[rating.item] if key else rating.item
    if rating.kind == "comment":
        systems = first.systems + (second.systems if rating.other else ())
        answers = (first.text, *([second.text] if rating.other else [])) if key else ()
        evidence.comments.append(Comment(rating.rater, item, systems, rating.comment, answers))
    elif rating.kind == "absolute" and isinstance(rating.value, int):
        unit = f"{item}\n{first.text}"
        text = first.text if key else ""
        evidence.points = max(evidence.points, rating.points)
        evidence.scores.append(Score(rating.rater, item, unit, first.systems, rating.dimension, rating.value, text))
    else:
        value = str(rating.value)
        # One order for everybody: raters see the two answers in either order.
        if second.text < first.text:
            first, second = second, first
            value = {"A": "B", "B": "A"}.get(value, value)
        unit = f"{item}\n{first.text}\n{second.text}"
        texts = (first.text, second.text) if key else ("", "")
        places = _places(rating.verdicts)
        row = Comparison(
            rating.rater, item, unit, first.systems, second.systems, rating.dimension, value, texts, places
        )
        evidence.comparisons.append(row)


def _places(verdicts: tuple[str, ...]) -> tuple[str, ...]:
    """Return where the answers that won were shown: A came first in the first question, B in the second."""
    names = ({"A": "first", "B": "second"}, {"B": "first", "A": "second"})
    return tuple(named.get(verdict, verdict) for named, verdict in zip(names, verdicts, strict=False))


def merged(first: Evidence, second: Evidence) -> Evidence:
    """Return the evidence of both, of different raters."""
    return Evidence(
        first.scores + second.scores,
        first.comparisons + second.comparisons,
        first.comments + second.comments,
        first.checks | second.checks,
        sorted({*first.left_out, *second.left_out}),
        max(first.points, second.points),
    )


def _add_identical(evidence: Evidence, ratings: Sequence[Rating], keys: Mapping[str, SheetKey]) -> None:
    """Add a tie by each rater of a sheet for every pair of systems that gave the same answer: it was not asked."""
    for sheet, key in keys.items():
        present = {row.rater for row in evidence.comparisons}
        raters = sorted({rating.rater for rating in ratings if rating.sheet == sheet} & present)
        for code, one, other in key.identical:
            item = key.items[code]
            evidence.comparisons += [
                Comparison(rater, item, NOT_ASKED, (one,), (other,), "overall", "tie") for rater in raters
            ]
