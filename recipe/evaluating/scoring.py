"""Every metric over every system: whose lines a figure is computed on, its interval, and what chance gets.

`score` takes lines and knows no model; `recipe.evaluating.evaluation` has them made, `recipe.evaluating.report` shows
the figures. It names no metric either: each says what it needs and what it computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from recipe.evaluating.resampling import Bootstrap, Interval, area_under_curve
from recipe.evaluating.results import (
    BASELINE,
    CHANCE,
    DIFFERENCE,
    MODEL,
    REFERENCES,
    SYSTEMS,
    UNSEEN,
    Cell,
    Histogram,
    LengthRow,
    Scores,
    Separation,
    describe,
    no_scores,
    put,
)
from recipe.evaluating.testset import TestSet
from recipe.language import _
from recipe.metrics import base
from recipe.metrics.base import CorpusMetric, LeftOutError, LineMetric, OfflineMetric
from recipe.metrics.material import Material
from recipe.screen import progress_bar

# A score that ranks a known line above a random one less often than this says too little about a model to be shown.
KEPT_AUC = 0.7
LENGTH_GROUPS = ((1, 4), (5, 5), (6, 6), (7, 7), (8, 11), (12, 40))
HISTOGRAM_BINS = 32


class Likelihood(NamedTuple):
    """Summed losses (nats) of given lower lines under a model, and how many characters were summed, per upper line."""

    losses: list[float]
    characters: list[int]


@dataclass(frozen=True)
class System:
    """Whoever answers: one or more runs of a lower line for each upper line, and the likelihood of given lines."""

    name: str
    runs: list[list[str]]
    likelihood: Likelihood | None = None


class LineFigures:
    """The figures of single lines, for upper lines whose answers people or judges rate.

    Attributes:
        values: figure → (upper line, system) → its value for the line of the system's first run.
        lines: (upper line, system) → that line.
    """

    def __init__(self, uppers: Iterable[str]) -> None:
        self.uppers = frozenset(uppers)
        self.values: dict[str, dict[tuple[str, str], float]] = {}
        self.lines: dict[tuple[str, str], str] = {}

    def add(self, metric: LineMetric, test_set: TestSet, system: System, statistics: np.ndarray) -> None:
        """Add a metric's figures for a system, from its first run's statistics, shape (upper lines, statistics)."""
        for upper, line, row in zip(test_set.uppers, system.runs[0], statistics, strict=True):
            if upper in self.uppers:
                self.lines[upper, system.name] = line
                for key, value in metric.values(row).items():
                    self.values.setdefault(key, {})[upper, system.name] = float(value)


def score(
    metrics: Sequence[type[LineMetric] | type[CorpusMetric]],
    material: Material,
    test_set: TestSet,
    systems: dict[str, System],
    same_shape: Sequence[bool],
    bootstrap: Bootstrap,
    rated: LineFigures | None = None,
) -> Scores:
    """Compute every figure of the metrics.

    Args:
        systems: `model`, `references` and `chance`, perhaps `baseline`. The likelihood of `chance` is that of its lines
            under the model.
        same_shape: which chance lines have the very shape of their upper line.
        rated: is given the figures of the lines that it asks for.

    Raises:
        UserError: a model of the model-based figures that cannot be used.
        LookupError: a metric computes a figure that it does not declare.
    """
    known = material.training_file.upper_set if material.training_file else frozenset()
    seen = np.asarray([upper in known for upper in test_set.uppers], dtype=bool)
    scorer = _Scorer(test_set, systems, ~seen, np.asarray(same_shape), bootstrap, rated)
    if seen.all():
        scorer.note(_("every upper line of the test file stands in the training file: none is unseen"))
    for metric_class in progress_bar(metrics, desc=_("scoring"), unit="metric", delay=2, leave=False):
        try:
            metric = metric_class.made_of(material)
        except LeftOutError as error:
            scorer.note(*error.problems)
            continue
        if metric is not None:
            scorer.add(metric)
    return scorer.scores


class _Scorer:
    """The scores as they come together, and what all metrics are computed on."""

    def __init__(
        self,
        test_set: TestSet,
        systems: dict[str, System],
        unseen: np.ndarray,
        same_shape: np.ndarray,
        bootstrap: Bootstrap,
        rated: LineFigures | None,
    ) -> None:
        self.test_set, self.systems, self.bootstrap, self.rated = test_set, systems, bootstrap, rated
        self.unseen, self.same_shape = unseen, same_shape
        self.lengths = np.asarray([len(upper) for upper in test_set.uppers])
        self.scores = no_scores()
        self.scores["by_length"] = [
            LengthRow(shortest=low, longest=high, upper_lines=int(self._of_length(low, high).sum()), figures={})
            for low, high in LENGTH_GROUPS
        ]

    def note(self, *notes: str) -> None:
        """Tell the reader something, once."""
        self.scores["notes"] += [note for note in notes if note not in self.scores["notes"]]

    def add(self, metric: LineMetric | CorpusMetric) -> None:
        """Add all figures of a metric."""
        if isinstance(metric, LineMetric):
            self.add_lines(metric)
        else:
            self.add_corpora(metric)

    def add_corpora(self, metric: CorpusMetric) -> None:
        """Add figures of whole corpora: means over runs, without interval, since a drawn corpus repeats itself."""
        for name in self._systems_for(metric):
            runs = [metric.compute(**inputs) for inputs in self.inputs_of(metric, name)]
            for key in runs[0] if runs else ():
                put(self.scores, metric.figure(key), name, Cell(value=float(np.mean([run[key] for run in runs]))))

    def add_lines(self, metric: LineMetric) -> None:
        """Add figures that follow from statistics of lines: with intervals, difference, unseen lines, lengths."""
        runs: dict[str, list[np.ndarray]] = {}
        for name in self._systems_for(metric):
            if taken := [metric.line_statistics(**inputs) for inputs in self.inputs_of(metric, name)]:
                runs[name] = taken
            if name == MODEL:  # signatures tell the number of references, which differs among the references themselves
                self.scores["signatures"] |= metric.signatures()
        if self.rated and base.PREDICTIONS in metric.inputs:
            for name, taken in runs.items():
                if len(taken[0]) == len(self.test_set.uppers):  # else references among each other, on fewer lines
                    self.rated.add(metric, self.test_set, replace(self.systems[name], name=name), taken[0])
        if metric.is_plotted:
            self._add_histogram(metric, runs)
        if metric.must_separate and not self._separates(metric, runs[REFERENCES][0], runs[CHANCE][0]):
            return
        pooled = {name: np.sum(taken, axis=0) for name, taken in runs.items()}
        for name, statistics in pooled.items():
            self._add_system(metric, name, statistics, runs[name])
        if BASELINE in pooled and MODEL in pooled:
            # Figures are quotients of sums, so three seeds can be paired with one file of predictions.
            self._put_all(
                metric, DIFFERENCE, self.bootstrap.differences(metric.values, pooled[MODEL], pooled[BASELINE])
            )
        if MODEL in pooled:
            if 0 < self.unseen.sum() < len(self.unseen):
                unseen = self.bootstrap.intervals(metric.values, pooled[MODEL][self.unseen])
                self._put_all(metric, UNSEEN, unseen)
            self._add_lengths(metric, pooled[MODEL])

    def inputs_of(self, metric: OfflineMetric, name: str) -> list[dict[str, Any]]:
        """Return the metric's inputs for each run of a system; none where the system has nothing for the metric."""
        if base.LOSSES in metric.inputs:
            likelihood = self.systems[name].likelihood
            return [] if likelihood is None else [likelihood._asdict()]
        if base.ANSWERS in metric.inputs:
            return self._several_answers(name)
        if base.REFERENCES in metric.inputs and name == REFERENCES:
            # Compared with itself a reference would get 100; it is compared with the others, where there are some.
            several = self._several_references()
            first, others = [lines[0] for lines in several], [lines[1:] for lines in several]
            return [{"predictions": first, "references": others}] if several else []
        of_all_runs = {base.UPPERS.name: self.test_set.uppers, base.REFERENCES.name: self.test_set.references}
        fixed = {given.name: of_all_runs[given.name] for given in metric.inputs if given != base.PREDICTIONS}
        return [{"predictions": lines} | fixed for lines in self.systems[name].runs]

    def _several_references(self) -> list[list[str]]:
        return [lines for lines in self.test_set.references if len(lines) > 1]

    def _several_answers(self, name: str) -> list[dict[str, Any]]:
        if name == REFERENCES:
            return [{"answers": self.test_set.references}] if self._several_references() else []
        runs = self.systems[name].runs
        return [{"answers": [list(lines) for lines in zip(*runs, strict=True)]}] if len(runs) > 1 else []

    def _systems_for(self, metric: OfflineMetric) -> list[str]:
        return [name for name in SYSTEMS if name in self.systems and (name != CHANCE or metric.is_for_chance)]

    def _add_system(self, metric: LineMetric, name: str, statistics: np.ndarray, runs: list[np.ndarray]) -> None:
        """Put a system's figures into the table, with the figure of each run and the number of lines, if not all."""
        each_run = [metric.values(run.sum(axis=0)) for run in runs]
        are_compared = base.REFERENCES in metric.inputs and name == REFERENCES
        for key, interval in self.bootstrap.intervals(metric.values, statistics).items():
            cell = _cell(interval)
            if len(each_run) > 1:
                cell["runs"] = [float(run[key]) for run in each_run]
            if are_compared:
                cell["upper_lines"] = len(statistics)
            put(self.scores, metric.figure(key), name, cell)

    def _put_all(self, metric: LineMetric, column: str, intervals: dict[str, Interval]) -> None:
        for key, interval in intervals.items():
            put(self.scores, metric.figure(key), column, _cell(interval))

    def _add_lengths(self, metric: LineMetric, statistics: np.ndarray) -> None:
        for row in self.scores["by_length"]:
            chosen = self._of_length(row["shortest"], row["longest"])
            if chosen.any():
                values = metric.values(statistics[chosen].sum(axis=0))
                row["figures"] |= {
                    key: float(value) for key, value in values.items() if metric.figure(key).is_by_length
                }

    def _of_length(self, low: int, high: int) -> np.ndarray:
        return (self.lengths >= low) & (self.lengths <= high)

    def _separates(self, metric: LineMetric, references: np.ndarray, chance: np.ndarray) -> bool:
        """Say how well a metric of one figure tells references from chance; return whether it is kept."""
        (figure,) = metric.figures
        if not self.same_shape.any():
            self.note(
                _("{figure}: left out, since no chance line has the shape of its upper line").format(
                    figure=_(figure.label)
                )
            )
            return False
        known, random = (_line_values(metric, lines[self.same_shape]) for lines in (references, chance))
        auc = area_under_curve(known, random)
        self.scores["separation"].append(
            Separation(
                figure=figure.key,
                references=float(known.mean()),
                chance=float(random.mean()),
                auc=auc,
                kept=auc >= KEPT_AUC,
            )
        )
        if auc < KEPT_AUC:
            self.scores["descriptions"].append(describe(figure))
        return auc >= KEPT_AUC

    def _add_histogram(self, metric: LineMetric, runs: dict[str, list[np.ndarray]]) -> None:
        (figure,) = metric.figures
        values = {name: _line_values(metric, taken[0]) for name, taken in runs.items()}
        low, high = np.quantile(np.concatenate(list(values.values())), [0.001, 0.999])
        edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
        shares = {
            name: (np.histogram(np.clip(found, edges[0], edges[-1]), bins=edges)[0] / len(found)).tolist()
            for name, found in values.items()
        }
        self.scores["histogram"] = Histogram(figure=figure.key, edges=edges.tolist(), shares=shares)


def _cell(interval: Interval) -> Cell:
    return Cell(value=interval.value, low=interval.low, high=interval.high)


def _line_values(metric: LineMetric, statistics: np.ndarray) -> np.ndarray:
    """Return the one figure of a metric for each line by itself, shape (lines,)."""
    (figure,) = metric.figures
    return np.asarray([metric.values(line)[figure.key] for line in statistics])
