"""How far judges may be believed: led by the order, by length, by their own hand; and how far people agree with them.

Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", name the three biases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np

from recipe.evaluating.resampling import Interval
from recipe.rating.agreement import alpha, coincidences, kappa_of
from recipe.rating.analysis import comparisons_from_scores
from recipe.rating.dimensions import OVERALL
from recipe.rating.evidence import NOT_ASKED, Comparison, Evidence, Score
from recipe.rating.uncertainty import PanelBootstrap, interval

_POINTS = {"A": 1.0, "B": 0.0}  # of the first answer; ties of both kinds are half a win


class PositionRow(NamedTuple):
    """What the order of the answers did to a judge.

    Attributes:
        pairs: pairs asked in both orders.
        changed: share of them whose verdict changed with the order.
        first: share of the verdicts for one of the answers that went to the answer shown first; 0.5 is no bias.
    """

    judge: str
    pairs: int
    changed: Interval
    first: Interval


class LengthRow(NamedTuple):
    """How often a judge preferred the longer answer.

    Attributes:
        comparisons: decided comparisons of answers that differ in length.
        longer: share of them that the longer answer won; 0.5 is what length alone should give.
        people: the same share of people on the pairs of answers that both compared; None where there are none.
    """

    judge: str
    dimension: str
    source: str
    comparisons: int
    longer: Interval
    people: Interval | None


class SelfRow(NamedTuple):
    """How often a judge preferred what it wrote itself.

    Attributes:
        own: share of comparisons with other systems that its own answers won, a tie counting half.
        others: that share according to people, or else to other judges, on the same pairs; None where there are none.
        compared_with: "people", "other judges", or empty.
    """

    judge: str
    system: str
    dimension: str
    source: str
    comparisons: int
    own: Interval
    others: Interval | None
    compared_with: str


class WithPeopleRow(NamedTuple):
    """How far a judge agrees with people on what both rated.

    Attributes:
        units: answers, or pairs of answers, that the judge and at least one person rated.
        kappa: Cohen's kappa of the judge and a person drawn at random; quadratic weights for points, none for choices.
        people: the same kappa of two people drawn at random on these answers; NaN where none was rated by two.
        alpha: Krippendorff's alpha of the judge and the people together; ordinal for points, nominal for choices.
        is_low: whether kappa is below what was asked for, or no number.
    """

    judge: str
    dimension: str
    kind: str
    units: int
    kappa: Interval
    people: float
    alpha: Interval
    is_low: bool


class Biases(NamedTuple):
    """All that was measured about the judges."""

    position: list[PositionRow]
    length: list[LengthRow]
    own: list[SelfRow]
    with_people: list[WithPeopleRow]


def measured_biases(
    models: Evidence,
    people: Evidence,
    own_systems: Mapping[str, Collection[str]],
    least_agreement: float,
    samples: int = 1000,
    seed: int = 42,
) -> Biases:
    """Return what is known of each judge's biases and of its agreement with people.

    Args:
        own_systems: judge → the systems whose answers it wrote.
        least_agreement: kappa below which an agreement is low.
    """
    shares = _Shares(samples, seed)
    by_judge = {judge: _comparisons(models, {judge}) for judge in models.raters()}
    of_people = _comparisons(people, set(people.raters()))
    return Biases(
        [row for judge in by_judge if (row := _position(judge, models, shares))],
        [row for judge, found in by_judge.items() for row in _lengths(judge, found, of_people, shares)],
        [
            row
            for judge, found in by_judge.items()
            for system in sorted(own_systems.get(judge, ()))
            for row in _own(judge, system, found, of_people, _without(by_judge, judge), shares)
        ],
        [
            row
            for judge in by_judge
            for row in _with_people(judge, models, people, least_agreement, samples, seed)
        ],
    )  # fmt: skip


class _Shares:
    """Shares of counts with intervals over items."""

    def __init__(self, samples: int, seed: int) -> None:
        self.samples, self.seed = samples, seed

    def of(self, rows: Iterable[tuple[str, float]]) -> Interval:
        """Return the mean of the values of (item, value), with its 95% interval over items drawn with replacement."""
        sums: dict[str, list[float]] = defaultdict(list)
        for item, value in rows:
            sums[item].append(value)
        table = np.array([[sum(values), len(values)] for _, values in sorted(sums.items())])
        drawn = PanelBootstrap(len(table), 1, self.samples, self.seed).items @ table
        total = table.sum(axis=0)
        return interval(float(total[0] / total[1]), drawn[:, 0] / drawn[:, 1])


Compared = dict[tuple[str, str], list[Comparison]]  # (source, dimension) → comparisons


def _comparisons(evidence: Evidence, raters: Collection[str]) -> Compared:
    """Return what the raters compared, asked as pairs or rated by points, each pair of answers in one order."""
    found: Compared = defaultdict(list)
    scores = [score for score in evidence.scores if score.rater in raters]
    asked = [row for row in evidence.comparisons if row.rater in raters and row.unit != NOT_ASKED]
    for source, rows in (("pairs", asked), ("scores", comparisons_from_scores(scores))):
        for row in rows:
            if row.texts[0] != row.texts[1]:
                found[source, row.dimension].append(_in_one_order(row))
    return found


def _in_one_order(row: Comparison) -> Comparison:
    first, second = row.texts
    if first <= second:
        return row
    value = {"A": "B", "B": "A"}.get(row.value, row.value)
    return row._replace(first=row.second, second=row.first, value=value, texts=(second, first))


def _pair_of(row: Comparison) -> tuple[str, tuple[str, str]]:
    return row.item, row.texts


def _without(by_judge: Mapping[str, Compared], judge: str) -> Compared:
    others: Compared = defaultdict(list)
    for name, found in by_judge.items():
        if name != judge:
            for kind, rows in found.items():
                others[kind] += rows
    return others


def _position(judge: str, models: Evidence, shares: _Shares) -> PositionRow | None:
    rows = [row for row in models.comparisons if row.rater == judge and len(row.places) == 2]
    if not rows:
        return None
    changed = [(row.item, float(not _is_consistent(row.places))) for row in rows]
    chosen = [(row.item, float(place == "first")) for row in rows for place in row.places if place in _PLACES]
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    return PositionRow(judge, len(rows), shares.of(changed), shares.of(chosen) if chosen else nothing)


_PLACES = ("first", "second")


def _is_consistent(places: Sequence[str]) -> bool:
    """Whether the same answer won in both orders: in the first place once, in the second the other time."""
    return set(places) == set(_PLACES) or (places[0] == places[1] and places[0] not in _PLACES)


def _lengths(judge: str, found: Compared, of_people: Compared, shares: _Shares) -> list[LengthRow]:
    rows = []
    for (source, dimension), compared in sorted(found.items(), key=_order):
        decided = _decided_by_length(compared)
        if not decided:
            continue
        judged = {_pair_of(row) for row in compared}
        same = _decided_by_length([row for row in of_people[source, dimension] if _pair_of(row) in judged])
        rows.append(
            LengthRow(judge, dimension, source, len(decided), shares.of(decided), shares.of(same) if same else None)
        )
    return rows


def _decided_by_length(compared: Iterable[Comparison]) -> list[tuple[str, float]]:
    """Return (item, whether the longer answer won) of the comparisons that have a winner and a longer answer."""
    return [
        (row.item, float((row.value == "A") == (len(row.texts[0]) > len(row.texts[1]))))
        for row in compared
        if row.value in _POINTS and len(row.texts[0]) != len(row.texts[1])
    ]


def _own(
    judge: str, system: str, found: Compared, of_people: Compared, of_others: Compared, shares: _Shares
) -> list[SelfRow]:
    rows = []
    for kind, compared in sorted(found.items(), key=_order):
        own = _points_of(system, compared)
        if not own:
            continue
        judged = {_pair_of(row) for row in compared}
        others, whose = None, ""
        for name, rated in (("people", of_people), ("other judges", of_others)):
            same = _points_of(system, [row for row in rated[kind] if _pair_of(row) in judged])
            if same and others is None:
                others, whose = shares.of(same), name
        rows.append(SelfRow(judge, system, kind[1], kind[0], len(own), shares.of(own), others, whose))
    return rows


def _points_of(system: str, compared: Iterable[Comparison]) -> list[tuple[str, float]]:
    """Return (item, points of the system) of the comparisons in which exactly one answer is its own."""
    points = []
    for row in compared:
        if (system in row.first) != (system in row.second):
            won = _POINTS.get(row.value, 0.5)
            points.append((row.item, won if system in row.first else 1 - won))
    return points


def _order(entry: tuple[tuple[str, str], Any]) -> tuple[str, bool, str]:
    source, dimension = entry[0]
    return source, dimension != OVERALL, dimension


def _with_people(
    judge: str, models: Evidence, people: Evidence, least: float, samples: int, seed: int
) -> list[WithPeopleRow]:
    rows = []
    kinds: tuple[tuple[str, Callable[[Evidence], Sequence[Score] | Sequence[Comparison]]], ...] = (
        ("absolute", lambda evidence: evidence.scores),
        ("pair", lambda evidence: evidence.comparisons),
    )
    for kind, judged in kinds:
        mine = _values([row for row in judged(models) if row.rater == judge])
        theirs = _values(judged(people))
        for dimension in sorted({name for name, _ in mine}, key=lambda name: (name != OVERALL, name)):
            units = [unit for name, unit in mine if name == dimension and (name, unit) in theirs]
            if units:
                both = [(mine[dimension, unit], theirs[dimension, unit]) for unit in units]
                rows.append(_agreement_row(judge, dimension, kind, both, least, samples, seed))
    return rows


def _values(rows: Iterable[Score | Comparison]) -> dict[tuple[str, str], list[int | str]]:
    """Return (dimension, unit) → the values that the raters gave."""
    found: dict[tuple[str, str], list[int | str]] = defaultdict(list)
    for row in rows:
        if row.unit != NOT_ASKED:
            found[row.dimension, row.unit].append(row.value)
    return found


def _agreement_row(
    judge: str,
    dimension: str,
    kind: str,
    both: Sequence[tuple[list[int | str], list[int | str]]],
    least: float,
    samples: int,
    seed: int,
) -> WithPeopleRow:
    values = sorted({value for mine, theirs in both for value in (*mine, *theirs)})
    weighting, level = ("quadratic", "ordinal") if kind == "absolute" else ("none", "nominal")
    draws = PanelBootstrap(len(both), 1, samples, seed).items

    def with_interval(by_unit: np.ndarray, figure: Callable[[np.ndarray], float]) -> Interval:
        tables = (draws @ by_unit.reshape(len(both), -1)).reshape(-1, *by_unit.shape[1:])
        return interval(figure(by_unit.sum(axis=0)), np.array([figure(table) for table in tables]))

    def kappa(table: np.ndarray) -> float:
        return kappa_of(table, values, weighting)

    found = with_interval(_tables(values, [product(mine, theirs) for mine, theirs in both]), kappa)
    among_people = _tables(values, [permutations(theirs, 2) for _, theirs in both]).sum(axis=0)
    together = coincidences({str(number): [*mine, *theirs] for number, (mine, theirs) in enumerate(both)})
    return WithPeopleRow(
        judge,
        dimension,
        kind,
        len(both),
        found,
        kappa(among_people) if among_people.any() else float("nan"),
        with_interval(together.by_unit, lambda table: alpha(table, level)),
        not found.value >= least,
    )


def _tables(values: Sequence[int | str], pairs: Sequence[Iterable[tuple[int | str, int | str]]]) -> np.ndarray:
    """Count pairs of values for each unit: shape (units, V, V), the pairs of a unit weighing 1 together."""
    place = {value: number for number, value in enumerate(values)}
    tables = np.zeros((len(pairs), len(values), len(values)))
    for table, found in zip(tables, pairs, strict=True):
        for one, other in found:
            table[place[one], place[other]] += 1
        table /= max(table.sum(), 1)
    return tables
