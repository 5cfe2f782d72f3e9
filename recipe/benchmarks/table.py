"""The rows of a benchmark's results: figure, interval, chance, paired difference, and what speaks against each."""

from __future__ import annotations

from typing import TypedDict

from recipe.benchmarks.figures import Answers, Figure, difference_of, figure_of
from recipe.benchmarks.names import Measure
from recipe.benchmarks.running import PartRun
from recipe.evaluating.resampling import Interval
from recipe.evaluating.results import Cell
from recipe.language import _, ngettext

RESULTS_FILE, MARKDOWN_FILE, HTML_FILE = "results.json", "report.md", "report.html"
WRITTEN = (RESULTS_FILE, MARKDOWN_FILE, HTML_FILE)


class Row(TypedDict):
    """A row of the table, in plain types; figures are per cent.

    Attributes:
        version, split, shots: as lm-eval's definitions say, several where they differ.
        tasks, known_tasks: how many of a part's definitions were run, and how many there are.
        figure, baseline, difference: None where they must not be read; `reasons` says why.
        chance: of random answers; None where that says nothing.
        tied, unknown: shares of questions whose best options are equally likely, and of [UNK] among the tokens.
        failures: task → why it did not run.
    """

    benchmark: str
    title: str
    measure: str
    version: str
    split: str
    shots: str
    tasks: int
    known_tasks: int
    questions: int
    figure: Cell | None
    chance: float | None
    baseline: Cell | None
    difference: Cell | None
    tied: float | None
    unknown: float
    reasons: list[str]
    notes: list[str]
    failures: dict[str, str]


def rows_of(benchmark: str, title: str, known: int, run: PartRun, baseline: PartRun | None) -> list[Row]:
    """Return a row for each measure of a part."""
    return [_row(benchmark, title, known, measure, run, baseline) for measure in run.answers]


def _row(benchmark: str, title: str, known: int, measure: Measure, run: PartRun, baseline: PartRun | None) -> Row:
    answers = run.answers[measure]
    figure = figure_of(answers, run.reading.unknown_share, measure.is_share)
    reasons = [figure.reason] if figure.reason else []
    other = cell = None
    if baseline is not None:
        theirs = baseline.answers[measure]
        other = figure_of(theirs, baseline.reading.unknown_share, measure.is_share)
        reasons += [_("baseline: {reason}").format(reason=other.reason)] if other.reason else []
        cell = _difference(figure, other, answers, theirs)
    return Row(
        benchmark=benchmark,
        title=title,
        measure=measure.label,
        **{name: ", ".join(sorted(values)) for name, values in run.facts.items()},  # type: ignore[typeddict-item]
        tasks=run.tasks,
        known_tasks=known,
        questions=figure.questions,
        figure=_cell(figure.interval),
        chance=figure.chance,
        baseline=_cell(other.interval) if other else None,
        difference=cell,
        tied=figure.tied_share,
        unknown=figure.unknown_share,
        reasons=reasons,
        notes=_notes(run),
        failures=run.failures,
    )


def failed_row(benchmark: str, title: str, known: int, failures: dict[str, str], reason: str) -> Row:
    """Return the row of a part that did not run."""
    return Row(
        benchmark=benchmark,
        title=title,
        measure="–",
        version="–",
        split="–",
        shots="–",
        tasks=0,
        known_tasks=known,
        questions=0,
        figure=None,
        chance=None,
        baseline=None,
        difference=None,
        tied=None,
        unknown=0.0,
        reasons=[_("not run: {reason}").format(reason=reason)],
        notes=[],
        failures=failures,
    )


def _difference(figure: Figure, other: Figure, answers: Answers, theirs: Answers) -> Cell | None:
    if figure.interval is None or other.interval is None:
        return None
    return _cell(difference_of(answers, theirs))


def _cell(interval: Interval | None) -> Cell | None:
    return None if interval is None else Cell(value=interval.value, low=interval.low, high=interval.high)


def _notes(run: PartRun) -> list[str]:
    notes = list(run.notes)
    if run.reading.cut:
        notes.append(
            _("{count:,} of {total:,} prompts are longer than the model's window; their beginning was cut").format(
                count=run.reading.cut, total=run.reading.prompts
            )
        )
    if run.failures:
        name, reason = next(iter(run.failures.items()))
        not_run = ngettext(
            "not run: {count} task, {name} ({reason})",
            "not run: {count} tasks, such as {name} ({reason})",
            len(run.failures),
        )
        notes.append(not_run.format(count=len(run.failures), name=name, reason=reason))
    return notes
