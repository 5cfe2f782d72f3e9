"""What ratings say about systems and about raters: one analysis for people and for models.

Means, win rates and strengths carry intervals over items and raters; agreement carries intervals over items, since a
rater drawn twice would agree with himself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from recipe.evaluating.resampling import Interval
from recipe.language import _, enumerated
from recipe.rating.agreement import Coincidences, alpha, cohen_kappa, coincidences, share_within
from recipe.rating.dimensions import OVERALL
from recipe.rating.evidence import NOT_ASKED, Comparison, Evidence, Score
from recipe.rating.strengths import bradley_terry
from recipe.rating.uncertainty import PanelBootstrap, SampleSize, interval, mean_over_items, sample_size, spearman

# One tie of each system with an imaginary average one: keeps the strength of a system that always wins finite, and is
# soon outweighed by real comparisons.
PRIOR_TIES = 1.0


class RaterRow(NamedTuple):
    """One rater: how much they rated, how severely, how many attention checks they were given and noticed."""

    rater: str
    ratings: int
    mean: float | None
    checks: int
    noticed: int
    failed: bool


class MeanRow(NamedTuple):
    """The mean rating of a system in one dimension, in points of the scale."""

    system: str
    dimension: str
    ratings: int
    items: int
    mean: Interval


class DifferenceRow(NamedTuple):
    """The mean of `first` minus that of `second`, and how many items it takes to tell them apart."""

    first: str
    second: str
    dimension: str
    difference: Interval
    sample: SampleSize | None


class WinRow(NamedTuple):
    """How often `first` was preferred to `second`.

    Attributes:
        source: "pairs" where raters compared the two, "scores" where one rater's two absolute ratings are compared.
        both_bad: counts as a tie in `rate`, as ties do: half a win.
        rate: share of wins of `first`, 0 to 1.
    """

    first: str
    second: str
    dimension: str
    source: str
    wins: float
    losses: float
    ties: float
    both_bad: float
    rate: Interval
    sample: SampleSize | None


class StrengthRow(NamedTuple):
    """Log strength by Bradley and Terry, the mean of all systems 0; `source` as in `WinRow`."""

    system: str
    dimension: str
    source: str
    strength: Interval


class AgreementRow(NamedTuple):
    """How far the raters agree on answers that several of them judged, alpha from -1 to 1, shares from 0 to 1."""

    dimension: str
    kind: str
    units: int
    nominal: Interval
    ordinal: Interval | None
    equal: float
    within_one: float | None


class KappaRow(NamedTuple):
    """Cohen's kappa of two raters: quadratic weights for points of a scale, none for choices."""

    first: str
    second: str
    dimension: str
    kind: str
    units: int
    kappa: float


class CorrelationRow(NamedTuple):
    """Spearman's correlation of an automatic figure with the raters' mean, over answers."""

    figure: str
    dimension: str
    answers: int
    correlation: Interval


class ChoiceRow(NamedTuple):
    """Of the choices between two answers, the share that took the one with the higher automatic figure.

    Attributes:
        choices: those that count: decided, between answers that both have the figure.
        share: from 0 to 1; two equal figures count half. 0.5 is no relation.
    """

    figure: str
    dimension: str
    choices: int
    share: Interval


@dataclass
class Analysis:
    """Everything that one kind of raters, people or models, said."""

    raters: list[RaterRow]
    means: list[MeanRow]
    differences: list[DifferenceRow]
    wins: list[WinRow]
    strengths: list[StrengthRow]
    agreement: list[AgreementRow]
    kappas: list[KappaRow]
    left_out: list[str]
    notes: list[str]


def analyse(evidence: Evidence, samples: int = 1000, seed: int = 42) -> Analysis:
    """Return the analysis of one kind of raters.

    Args:
        samples: bootstrap draws behind each interval.
    """
    panel = Panel(evidence, samples, seed)
    means, differences = panel.means()
    outcomes = {"pairs": evidence.comparisons, "scores": comparisons_from_scores(evidence.scores)}
    wins, strengths = [], []
    for source, comparisons in outcomes.items():
        for dimension in _dimensions(comparisons):
            found_wins, found_strengths = panel.wins(source, dimension, comparisons)
            wins += found_wins
            strengths += found_strengths
    return Analysis(
        _rater_rows(evidence),
        means,
        differences,
        wins,
        strengths,
        _agreement(evidence, samples, seed),
        _kappas(evidence),
        evidence.left_out,
        _notes(panel, evidence),
    )


def _dimensions(rows: Sequence[Score] | Sequence[Comparison]) -> list[str]:
    """Return the dimensions of some rows, in alphabetical order, the overall one first."""
    return sorted({row.dimension for row in rows}, key=lambda name: (name != OVERALL, name))


def comparisons_from_scores(scores: Sequence[Score]) -> list[Comparison]:
    """Return which of two answers to one item a rater gave the higher absolute rating, for all pairs of answers."""
    groups: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.rater, score.item, score.dimension), []).append(score)
    found = []
    for (rater, item, dimension), rated in groups.items():
        for one, other in combinations(rated, 2):
            value = "tie" if one.value == other.value else "A" if one.value > other.value else "B"
            unit = f"{one.unit}\n{other.unit}"
            texts = (one.text, other.text)
            found.append(Comparison(rater, item, unit, one.systems, other.systems, dimension, value, texts))
        # Systems that gave one and the same answer share its rating.
        for score in rated:
            for one_system, other_system in combinations(score.systems, 2):
                row = Comparison(rater, item, score.unit, (one_system,), (other_system,), dimension, "tie")
                found.append(row)
    return found


class Panel:
    """Items, raters and systems of some evidence as numbers, and tables of sums over (item, rater)."""

    def __init__(self, evidence: Evidence, samples: int, seed: int) -> None:
        self.evidence = evidence
        rated = {score.item for score in evidence.scores} | {row.item for row in evidence.comparisons}
        self.items = {item: number for number, item in enumerate(sorted(rated))}
        self.raters = {rater: number for number, rater in enumerate(evidence.raters())}
        self.systems = {system: number for number, system in enumerate(evidence.systems())}
        self.bootstrap = PanelBootstrap(max(1, len(self.items)), max(1, len(self.raters)), samples, seed)

    def _table(self, width: int) -> np.ndarray:
        return np.zeros((len(self.items), len(self.raters), width))

    def means(self) -> tuple[list[MeanRow], list[DifferenceRow]]:
        """Return the mean of every system in every dimension, and the differences between systems."""
        means: list[MeanRow] = []
        differences: list[DifferenceRow] = []
        for dimension in _dimensions(self.evidence.scores):
            sums, counts = self._table(len(self.systems)), self._table(len(self.systems))
            for score in self.evidence.scores:
                if score.dimension == dimension:
                    for system in score.systems:
                        place = (self.items[score.item], self.raters[score.rater], self.systems[system])
                        sums[place] += score.value
                        counts[place] += 1
            means += self._mean_rows(dimension, sums, counts)
            differences += self._difference_rows(dimension, sums, counts)
        return means, differences

    def _mean_rows(self, dimension: str, sums: np.ndarray, counts: np.ndarray) -> list[MeanRow]:
        drawn = _ratio(self.bootstrap.totals(sums), self.bootstrap.totals(counts))
        values = _ratio(sums.sum(axis=(0, 1)), counts.sum(axis=(0, 1)))
        return [
            MeanRow(
                system,
                dimension,
                int(counts[:, :, place].sum()),
                int((counts[:, :, place].sum(axis=1) > 0).sum()),
                interval(float(values[place]), drawn[:, place]),
            )
            for system, place in self.systems.items()
            if counts[:, :, place].any()
        ]

    def _difference_rows(self, dimension: str, sums: np.ndarray, counts: np.ndarray) -> list[DifferenceRow]:
        drawn = _ratio(self.bootstrap.totals(sums), self.bootstrap.totals(counts))
        values = _ratio(sums.sum(axis=(0, 1)), counts.sum(axis=(0, 1)))
        by_item = _ratio(sums.sum(axis=1), counts.sum(axis=1))
        rows = []
        for (first, one), (second, other) in combinations(self.systems.items(), 2):
            if counts[:, :, one].any() and counts[:, :, other].any():
                difference = interval(float(values[one] - values[other]), drawn[:, one] - drawn[:, other])
                sample = _sample(by_item[:, one] - by_item[:, other])
                rows.append(DifferenceRow(first, second, dimension, difference, sample))
        return rows

    def wins(
        self, source: str, dimension: str, comparisons: Sequence[Comparison]
    ) -> tuple[list[WinRow], list[StrengthRow]]:
        """Return win rates of all pairs of systems that were compared in a dimension, and the systems' strengths."""
        size = len(self.systems)
        # For each ordered pair of systems: wins of the first, and ties, of which `bad` had both answers called bad.
        won, tied, bad = (self._table(size * size) for _ in range(3))
        for row in comparisons:
            if row.dimension != dimension:
                continue
            for first in row.first:
                for second in row.second:
                    one, other = self.systems[first], self.systems[second]
                    place = (self.items[row.item], self.raters[row.rater])
                    if row.value in ("A", "B"):
                        winner = one * size + other if row.value == "A" else other * size + one
                        won[(*place, winner)] += 1
                    else:
                        for pair in (one * size + other, other * size + one):
                            tied[(*place, pair)] += 1
                            bad[(*place, pair)] += row.value == "both_bad"
        rates = self._win_rows(source, dimension, won, tied, bad)
        return rates, self._strength_rows(source, dimension, won + tied / 2)

    def _win_rows(
        self, source: str, dimension: str, won: np.ndarray, tied: np.ndarray, bad: np.ndarray
    ) -> list[WinRow]:
        size = len(self.systems)
        drawn_points = self.bootstrap.totals(won + tied / 2)
        rows = []
        for (first, one), (second, other) in combinations(self.systems.items(), 2):
            forth, back = one * size + other, other * size + one
            points, games = won[:, :, forth] + tied[:, :, forth] / 2, (won + tied / 2)[:, :, [forth, back]].sum(axis=2)
            if not games.any():
                continue
            drawn = _ratio(drawn_points[:, forth], drawn_points[:, forth] + drawn_points[:, back])
            by_item = _ratio(points.sum(axis=1), games.sum(axis=1))
            rows.append(
                WinRow(
                    first,
                    second,
                    dimension,
                    source,
                    int(won[:, :, forth].sum()),
                    int(won[:, :, back].sum()),
                    int((tied - bad)[:, :, forth].sum()),
                    int(bad[:, :, forth].sum()),
                    interval(float(points.sum() / games.sum()), drawn),
                    _sample(by_item - 0.5),
                )
            )
        return rows

    def _strength_rows(self, source: str, dimension: str, points: np.ndarray) -> list[StrengthRow]:
        size = len(self.systems)
        table = points.sum(axis=(0, 1)).reshape(size, size)
        compared = np.flatnonzero((table + table.T).any(axis=1))
        chosen = np.ix_(compared, compared)
        drawn_tables = self.bootstrap.totals(points).reshape(-1, size, size)[:, chosen[0], chosen[1]]
        values = bradley_terry(table[chosen], PRIOR_TIES)
        drawn = bradley_terry(drawn_tables, PRIOR_TIES)
        names = list(self.systems)
        return [
            StrengthRow(names[system], dimension, source, interval(float(values[place]), drawn[:, place]))
            for place, system in enumerate(compared)
        ]


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _sample(differences: np.ndarray) -> SampleSize | None:
    known = differences[np.isfinite(differences)]
    return sample_size(known) if len(known) >= 2 else None


def _rater_rows(evidence: Evidence) -> list[RaterRow]:
    rows, failed = [], evidence.failed()
    for rater in sorted({*evidence.raters(), *evidence.checks}):
        values = [score.value for score in evidence.scores if score.rater == rater]
        compared = sum(row.rater == rater for row in evidence.comparisons)
        checks = evidence.checks.get(rater, [])
        mean = float(np.mean(values)) if values else None
        rows.append(RaterRow(rater, len(values) + compared, mean, len(checks), sum(checks), rater in failed))
    return rows


def _by_unit(rows: Sequence[Score] | Sequence[Comparison], dimension: str) -> dict[str, dict[str, int | str]]:
    """Return the value that each rater gave to each unit in a dimension."""
    units: dict[str, dict[str, int | str]] = {}
    for row in rows:
        if row.dimension == dimension and row.unit != NOT_ASKED:
            units.setdefault(row.unit, {})[row.rater] = row.value
    return units


def _agreement(evidence: Evidence, samples: int, seed: int) -> list[AgreementRow]:
    rows = []
    for kind, judged in (("absolute", evidence.scores), ("pair", evidence.comparisons)):
        for dimension in _dimensions(judged):
            units = {unit: list(values.values()) for unit, values in _by_unit(judged, dimension).items()}
            found = coincidences(units)
            if len(found.by_unit):
                rows.append(_agreement_row(dimension, kind, found, samples, seed))
    return rows


def _agreement_row(dimension: str, kind: str, found: Coincidences, samples: int, seed: int) -> AgreementRow:
    units = len(found.by_unit)
    draws = PanelBootstrap(units, 1, samples, seed).items

    def with_interval(level: str) -> Interval:
        flat = found.by_unit.reshape(units, -1)
        tables = (draws @ flat).reshape(-1, *found.by_unit.shape[1:])
        drawn = np.array([alpha(table, level) for table in tables])
        return interval(alpha(found.by_unit.sum(axis=0), level), drawn)

    is_scale = kind == "absolute"
    return AgreementRow(
        dimension,
        kind,
        units,
        with_interval("nominal"),
        with_interval("ordinal") if is_scale else None,
        share_within(found, 0),
        share_within(found, 1) if is_scale else None,
    )


def _kappas(evidence: Evidence) -> list[KappaRow]:
    rows = []
    for kind, judged in (("absolute", evidence.scores), ("pair", evidence.comparisons)):
        for dimension in _dimensions(judged):
            units = _by_unit(judged, dimension)
            for first, second in combinations(sorted({rater for values in units.values() for rater in values}), 2):
                common = [values for values in units.values() if first in values and second in values]
                if common:
                    one, other = [values[first] for values in common], [values[second] for values in common]
                    kappa = cohen_kappa(one, other, "quadratic" if kind == "absolute" else "none")
                    rows.append(KappaRow(first, second, dimension, kind, len(common), kappa))
    return rows


def _notes(panel: Panel, evidence: Evidence) -> list[str]:
    notes = []
    if len(panel.raters) == 1:
        notes.append(_("one rater: the intervals say what other items would change, not what other raters would say"))
    if evidence.left_out:
        notes.append(
            _("left out because they failed the attention checks: {names}").format(names=enumerated(evidence.left_out))
        )
    elif failed := evidence.failed():
        notes.append(_("failed the attention checks and still counted: {names}").format(names=enumerated(failed)))
    return notes


def correlations(
    evidence: Evidence,
    figures: Mapping[str, Mapping[tuple[str, str], float]],
    samples: int = 1000,
    seed: int = 42,
    tick: Callable[[], object] = lambda: None,
) -> list[CorrelationRow]:
    """Return how each automatic figure goes along with the raters, over all answers that have both.

    The interval draws items, all answers to an item together.

    Args:
        figures: figure → (item, system) → its value for that answer.
        tick: called after each correlation, for a progress bar.
    """
    rows = []
    for dimension in _dimensions(evidence.scores):
        ratings: dict[tuple[str, str], list[int]] = {}
        for score in evidence.scores:
            if score.dimension == dimension:
                for system in score.systems:
                    ratings.setdefault((score.item, system), []).append(score.value)
        for figure, values in figures.items():
            answers = sorted(ratings.keys() & {answer for answer, value in values.items() if np.isfinite(value)})
            if answers:
                automatic = np.array([values[answer] for answer in answers])
                human = np.array([np.mean(ratings[answer]) for answer in answers])
                found = _correlation([item for item, _ in answers], automatic, human, samples, seed)
                rows.append(CorrelationRow(figure, dimension, len(answers), found))
            tick()
    return rows


def choices_by_figure(
    evidence: Evidence,
    figures: Mapping[str, Mapping[tuple[str, str], float]],
    samples: int = 1000,
    seed: int = 42,
    tick: Callable[[], object] = lambda: None,
) -> list[ChoiceRow]:
    """Return how each automatic figure goes along with what raters chose of two answers.

    Ties and pairs called bad are no choice: they say nothing about which figure should be higher. The interval draws
    items, all choices of an item together. Arguments as for `correlations`.
    """
    rows = []
    for dimension in _dimensions(evidence.comparisons):
        chosen = [row for row in evidence.comparisons if row.dimension == dimension and row.value in ("A", "B")]
        for figure, values in figures.items():
            found = [(row.item, _took_the_higher(row, values)) for row in chosen]
            known = [(item, value) for item, value in found if value is not None]
            if known:
                rows.append(ChoiceRow(figure, dimension, len(known), mean_over_items(known, samples, seed)))
            tick()
    return rows


def _took_the_higher(row: Comparison, values: Mapping[tuple[str, str], float]) -> float | None:
    """Return 1 if the answer with the higher figure was chosen, 0 if the other was, 0.5 if the figures are equal."""
    # Systems that gave one and the same answer have the same figure, unless they are measured against other references.
    both = [
        next((values[row.item, system] for system in systems if (row.item, system) in values), float("nan"))
        for systems in (row.first, row.second)
    ]
    if not np.isfinite(both).all():
        return None
    first, second = both if row.value == "A" else reversed(both)
    return 0.5 if first == second else float(first > second)


def _correlation(items: Sequence[str], first: np.ndarray, second: np.ndarray, samples: int, seed: int) -> Interval:
    _, item_of = np.unique(items, return_inverse=True)
    drawn = []
    for counts in PanelBootstrap(int(item_of.max()) + 1, 1, samples, seed).items:
        chosen = np.repeat(np.arange(len(items)), counts[item_of].astype(int))
        drawn.append(spearman(first[chosen], second[chosen]))
    return interval(spearman(first, second), np.array(drawn))
