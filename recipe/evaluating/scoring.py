"""Every figure of an evaluation: what it means, whose lines it is computed on, its interval, and what chance gets.

`score` takes lines and knows no model; `recipe.evaluating.evaluation` has them made, `recipe.evaluating.report` shows
the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from recipe.couplet.parallelism import CharacterAssociation
from recipe.evaluating.resampling import Bootstrap, Interval, area_under_curve
from recipe.evaluating.testset import TestSet, TrainingFile
from recipe.metrics.base import LineMetric, MissingExtraError
from recipe.metrics.bleu import CharacterBleu
from recipe.metrics.chrf import CharacterChrf
from recipe.metrics.diversity import DistinctCharacters, SelfBleu, TrainingMemory
from recipe.metrics.form import FormAgreement
from recipe.metrics.likelihood import ReferenceLikelihood
from recipe.metrics.meteor import ExactMeteor
from recipe.metrics.model_based import EncoderBertScore, LabelShares, PairRegressor
from recipe.metrics.parallelism import LearnedParallelism, PartOfSpeechAgreement
from recipe.metrics.rouge import CharacterRouge
from recipe.metrics.safety import ListedWords
from recipe.settings import EvaluationSettings

# A score that ranks a human line above a random one less often than this says too little about a model to be shown.
KEPT_AUC = 0.7
MODEL, BASELINE, HUMAN, CHANCE = "model", "baseline", "human", "chance"
ALL_SYSTEMS = (MODEL, BASELINE, HUMAN, CHANCE)
MACHINES_AND_CHANCE = (MODEL, BASELINE, CHANCE)
LENGTH_GROUPS = ((1, 4), (5, 5), (6, 6), (7, 7), (8, 11), (12, 40))
LENGTH_FIGURES = ("bleu2", "form", "parallelism", "loss_per_character")
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


@dataclass
class Scores:
    """The outcome of `score`, in plain types that JSON can hold.

    Attributes:
        figures: figure → column (a system, `difference` or `unseen`) → value, bounds of its interval, each run.
        separation: for each parallelism score its human and chance means, its AUC, and whether it is kept.
        by_length: for each group of lengths the number of upper lines and the model's main figures.
        histogram: bin edges and the shares of each system's lines by learned parallelism.
        signatures: sacrebleu's, by figure.
        notes: what was left out, and why.
    """

    figures: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    separation: list[dict[str, Any]] = field(default_factory=list)
    by_length: list[dict[str, Any]] = field(default_factory=list)
    histogram: dict[str, Any] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Measure(NamedTuple):
    """A metric bound to its test set: lower lines of all upper lines in, statistics of each line out."""

    metric: LineMetric
    statistics: Callable[[list[str]], np.ndarray]
    systems: Sequence[str]
    rename: Callable[[str], str] = str


class _Scorer:
    """The steps of `score`, with what they share."""

    def __init__(self, test_set: TestSet, systems: dict[str, System], seen: np.ndarray, bootstrap: Bootstrap) -> None:
        self.test_set = test_set
        self.systems = systems
        self.unseen = ~seen
        self.bootstrap = bootstrap
        self.scores = Scores()

    def overlap(self, make_metric: Callable[[], LineMetric], rename: Callable[[str], str] = str) -> None:
        """Compare machines and chance with the references, and humans with each other where there are several."""
        references = self.test_set.references
        metric = self.made(make_metric)
        if metric is None:
            return

        def statistics(lines: list[str]) -> np.ndarray:
            return metric.line_statistics(predictions=lines, references=references)

        self.add(Measure(metric, statistics, MACHINES_AND_CHANCE, rename))
        if isinstance(metric, (CharacterBleu, CharacterChrf)):
            self.scores.signatures[rename("bleu4" if isinstance(metric, CharacterBleu) else "chrf")] = metric.signature
        several = [lines for lines in references if len(lines) > 1]
        if several:
            first, others = [lines[0] for lines in several], [lines[1:] for lines in several]
            human = metric.line_statistics(predictions=first, references=others)
            for name, interval in self.bootstrap.intervals(metric.figures, human).items():
                self.cell(rename(name), HUMAN, interval)["upper_lines"] = len(several)

    def pairwise(self, make_metric: Callable[[], LineMetric], systems: Sequence[str] = ALL_SYSTEMS) -> None:
        """Judge lower lines as answers to their upper lines."""
        metric = self.made(make_metric)
        if metric is not None:
            self.add(self.pair_measure(metric, systems))

    def pair_measure(self, metric: LineMetric, systems: Sequence[str] = ALL_SYSTEMS) -> Measure:
        uppers = self.test_set.uppers
        return Measure(metric, lambda lines: metric.line_statistics(predictions=lines, uppers=uppers), systems)

    def made(self, make_metric: Callable[[], LineMetric]) -> LineMetric | None:
        """Make a metric, or note that its package is missing."""
        try:
            return make_metric()
        except MissingExtraError as error:
            if error.problems[0] not in self.scores.notes:
                self.scores.notes += error.problems
            return None

    def add(self, measure: Measure) -> None:
        """Compute a measure's figures for each of its systems."""
        taken = {
            name: [measure.statistics(lines) for lines in self.systems[name].runs]
            for name in measure.systems
            if name in self.systems
        }
        self.add_statistics(measure.metric, taken, measure.rename)

    def add_statistics(
        self, metric: LineMetric, taken: dict[str, list[np.ndarray]], rename: Callable[[str], str] = str
    ) -> None:
        """Turn statistics, a list of runs for each system, into cells: figures, spread, difference, unseen, lengths."""
        pooled = {name: sum(runs[1:], runs[0]) for name, runs in taken.items()}
        for name, statistics in pooled.items():
            each_run = [metric.figures(run.sum(axis=0)) for run in taken[name]]
            for key, interval in self.bootstrap.intervals(metric.figures, statistics).items():
                cell = self.cell(rename(key), name, interval)
                if len(each_run) > 1:
                    cell["runs"] = [float(run[key]) for run in each_run]
        if BASELINE in pooled and MODEL in pooled:
            # Figures are quotients of sums, so three seeds can be paired with one file of predictions.
            differences = self.bootstrap.differences(metric.figures, pooled[MODEL], pooled[BASELINE])
            for key, interval in differences.items():
                self.cell(rename(key), "difference", interval)
        if MODEL in pooled and 0 < self.unseen.sum() < len(self.unseen):
            for key, interval in self.bootstrap.intervals(metric.figures, pooled[MODEL][self.unseen]).items():
                self.cell(rename(key), "unseen", interval)
        if MODEL in pooled:
            self._add_lengths(metric, pooled[MODEL], rename)

    def _add_lengths(self, metric: LineMetric, statistics: np.ndarray, rename: Callable[[str], str]) -> None:
        lengths = np.asarray([len(upper) for upper in self.test_set.uppers])
        for group, (low, high) in zip(self.length_rows(), LENGTH_GROUPS, strict=True):
            chosen = (lengths >= low) & (lengths <= high)
            if not chosen.any():
                continue
            for key, value in metric.figures(statistics[chosen].sum(axis=0)).items():
                if rename(key) in LENGTH_FIGURES:
                    group[rename(key)] = float(value)

    def length_rows(self) -> list[dict[str, Any]]:
        if not self.scores.by_length:
            lengths = [len(upper) for upper in self.test_set.uppers]
            self.scores.by_length = [
                {"shortest": low, "longest": high, "upper_lines": sum(low <= length <= high for length in lengths)}
                for low, high in LENGTH_GROUPS
            ]
        return self.scores.by_length

    def cell(self, figure: str, column: str, interval: Interval) -> dict[str, Any]:
        """Put a figure with its interval into the table; return the cell."""
        cell: dict[str, Any] = interval._asdict()
        self.scores.figures.setdefault(figure, {})[column] = cell
        return cell

    def memory(self, training_file: TrainingFile | None) -> None:
        """Count lines that stand in the training file; the chance lines all do, which says nothing."""
        if training_file is not None:
            known = training_file.lower_set, training_file.pair_set
            self.pairwise(lambda: TrainingMemory(*known), (MODEL, BASELINE, HUMAN))
            if not self.unseen.any():
                self.scores.notes.append(
                    "every upper line of the test file stands in the training file: none is unseen"
                )

    def parallelism(self, training_file: TrainingFile | None, same_shape: np.ndarray) -> None:
        """Measure how well each score tells human lines from random ones, and use those that do."""
        association = None
        if training_file is None:
            self.scores.notes.append("the learned parallelism needs couplets to learn from; give --train_file")
        else:
            association = CharacterAssociation.learn(training_file.uppers, training_file.lowers)
        makers: list[Callable[[], LineMetric]] = [
            PartOfSpeechAgreement,
            lambda: PartOfSpeechAgreement(unit="word"),
        ]
        if association is not None:
            makers.insert(0, lambda: LearnedParallelism(association))
        for make_metric in makers:
            metric = self.made(make_metric)
            if metric is not None and self._separates(metric, same_shape):
                self.add(self.pair_measure(metric))
        if association is not None:
            self._add_histogram(association)

    def _separates(self, metric: LineMetric, same_shape: np.ndarray) -> bool:
        if not same_shape.any():
            return False
        measure = self.pair_measure(metric)
        values = []
        for name in (HUMAN, CHANCE):
            statistics = measure.statistics(self.systems[name].runs[0])[same_shape]
            values.append(statistics[:, 0] / statistics[:, 1])
        auc = area_under_curve(*values)
        (key,) = metric.figures(np.ones(2))
        scale = metric.figures(np.ones(2))[key]
        self.scores.separation.append(
            {
                "figure": key,
                "human": float(values[0].mean() * scale),
                "chance": float(values[1].mean() * scale),
                "auc": auc,
                "kept": auc >= KEPT_AUC,
            }
        )
        return auc >= KEPT_AUC

    def _add_histogram(self, association: CharacterAssociation) -> None:
        values = {
            name: association.score_lines(self.test_set.uppers, system.runs[0]) for name, system in self.systems.items()
        }
        together = np.concatenate(list(values.values()))
        low, high = np.quantile(together, [0.001, 0.999])
        edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
        shares = {
            name: (np.histogram(np.clip(found, edges[0], edges[-1]), bins=edges)[0] / len(found)).tolist()
            for name, found in values.items()
        }
        self.scores.histogram = {"edges": edges.tolist(), "shares": shares}

    def diversity(self) -> None:
        """Distinct characters of each system, and how alike several answers to one upper line are."""
        distinct = DistinctCharacters()
        for name, system in self.systems.items():
            runs = [distinct.compute(predictions=lines) for lines in system.runs]
            for key in runs[0]:
                # Not a sum over lines, so there is no interval by resampling lines: a drawn corpus repeats itself.
                cell = {"value": float(np.mean([run[key] for run in runs]))}
                self.scores.figures.setdefault(key, {})[name] = cell
        self_bleu = SelfBleu()
        answers = {
            name: [list(lines) for lines in zip(*system.runs, strict=True)]
            for name, system in self.systems.items()
            if len(system.runs) > 1
        }
        if any(len(lines) > 1 for lines in self.test_set.references):
            answers[HUMAN] = self.test_set.references
        self.add_statistics(
            self_bleu, {name: [self_bleu.line_statistics(predictions=lines)] for name, lines in answers.items()}
        )

    def likelihood(self) -> None:
        """How likely the model finds the human lines, and for comparison the random ones."""
        metric = ReferenceLikelihood()
        taken = {
            name: [metric.line_statistics(**system.likelihood._asdict())]
            for name, system in self.systems.items()
            if system.likelihood is not None
        }
        self.add_statistics(metric, taken)

    def model_based(self, settings: EvaluationSettings) -> None:
        """Ask the models that the settings name."""
        if settings.bertscore_model is not None:
            encoder, layer = settings.bertscore_model, settings.bertscore_layer
            self.overlap(lambda: EncoderBertScore(encoder, layer))
        if settings.pair_classifier is not None:
            regressor = settings.pair_classifier
            self.overlap(lambda: PairRegressor(regressor))
        if settings.text_classifier is not None:
            labels = LabelShares(settings.text_classifier)
            self.add(Measure(labels, lambda lines: labels.line_statistics(predictions=lines), ALL_SYSTEMS))


def score(
    test_set: TestSet,
    systems: dict[str, System],
    training_file: TrainingFile | None,
    same_shape: list[bool],
    listed_words: Sequence[str],
    settings: EvaluationSettings,
    bootstrap: Bootstrap,
) -> Scores:
    """Compute every figure.

    Args:
        systems: `model`, `human` and `chance`, perhaps `baseline`. The likelihood of `chance` is that of its lines
            under the model.
        same_shape: which chance lines have the very shape of their upper line.
        listed_words: words whose presence is counted; none leaves the figure out.
        settings: names the models of the model-based figures; those that it does not name are left out.

    Raises:
        UserError: a model of the model-based figures that cannot be used.
    """
    known = training_file.upper_set if training_file else frozenset()
    seen = np.asarray([upper in known for upper in test_set.uppers], dtype=bool)
    scorer = _Scorer(test_set, systems, seen, bootstrap)
    scorer.overlap(CharacterBleu)
    scorer.overlap(lambda: CharacterBleu(punctuation=False), lambda name: f"{name}_without_marks")
    for make_metric in (CharacterChrf, CharacterRouge, ExactMeteor):
        scorer.overlap(make_metric)
    scorer.pairwise(FormAgreement)
    scorer.likelihood()
    scorer.memory(training_file)
    scorer.parallelism(training_file, np.asarray(same_shape))
    scorer.diversity()
    if listed_words:
        words = ListedWords(listed_words)
        scorer.add(Measure(words, lambda lines: words.line_statistics(predictions=lines), ALL_SYSTEMS))
    scorer.model_based(settings)
    return scorer.scores
