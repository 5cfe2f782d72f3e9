"""The evaluation job: answers made or read, scored beside references and chance, written down and reported.

settings -> test set -> answers (of a model, or from a file) -> scores -> results.json, predictions.jsonl, reports
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import evaluate

from recipe.couplet.form import form_violations
from recipe.errors import notice, printable
from recipe.evaluating.exporting import export_couplets
from recipe.evaluating.precheck import checked_test_set
from recipe.evaluating.predictions import Answering, Answers, answers_of, baseline_of, likelihood_of
from recipe.evaluating.rating_job import Rated
from recipe.evaluating.report import html_report, markdown_report, summary
from recipe.evaluating.resampling import Bootstrap
from recipe.evaluating.results import (
    BASELINE,
    CHANCE,
    HTML_FILE,
    KEPT_DIRECTORY,
    MARKDOWN_FILE,
    MODEL,
    PREDICTIONS_FILE,
    REFERENCES,
    RESULTS_FILE,
    WRITTEN,
    DataDescription,
    Leaks,
    Results,
    SystemDescription,
    without_non_numbers,
)
from recipe.evaluating.scoring import System, score
from recipe.evaluating.served import question_template, served_answers
from recipe.evaluating.testset import TestSet, chance_lines, read_training_file
from recipe.files import atomic_open, make_directory, sha256_of, write_text
from recipe.generating.processes import Processes
from recipe.language import _, enumerated, ngettext
from recipe.metrics.material import Material, TrainingFile
from recipe.metrics.registry import METRICS
from recipe.rows.cleaning import counted, listed
from recipe.screen import outliving_its_reader
from recipe.settings import (
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    JudgeSettings,
    RatingSettings,
    ServedSettings,
)
from recipe.stored_files import stored
from recipe.word_lists import read_word_list


@outliving_its_reader()  # what counts is written to files
def evaluate_couplets(
    settings: EvaluationSettings,
    rating: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
    device: DeviceSettings,
    processes: Processes,
) -> Results | None:
    """Run a whole evaluation, print its summary, and return what `results.json` holds.

    The processes share what models do; the main one does the rest, and the others return None.

    Raises:
        UserError: settings that contradict each other, or files, models and lines that cannot be used.
    """
    started = time.perf_counter()
    test_set, ratings = checked_test_set(settings, rating, judging, served, decoding, device)
    if test_set.rejected and processes.is_main:
        notice(_left_out(test_set))
    # The models come before the training file, so that the peak memory said is theirs, not that of the file.
    answering = Answering(settings, decoding, device, processes)
    if served.endpoint is not None:
        answers = processes.from_main(lambda: served_answers(settings, served, test_set))
    else:
        answers = answers_of(answering, test_set)
    baseline = baseline_of(answering, test_set)
    training_file = read_training_file(settings) if processes.is_main else None
    material = Material(settings, training_file, read_word_list("--listed_words", settings.listed_words))
    lines_by_chance, same_shape = processes.from_main(lambda: chance_lines(test_set, training_file, decoding.seed))
    likelihood_by_chance = likelihood_of(answers.loaded, test_set, lines_by_chance, processes)
    if not processes.is_main:
        return None
    systems = {
        MODEL: answers.system,
        REFERENCES: System(REFERENCES, [test_set.first_references]),
        CHANCE: System(CHANCE, [lines_by_chance], likelihood_by_chance),
    }
    if baseline is not None:
        systems[BASELINE] = baseline.system
    first_runs = {name: system.runs[0] for name, system in systems.items()}
    rated = Rated(settings, rating, judging, served, decoding.seed, ratings, test_set, first_runs)
    scoring_started = time.perf_counter()
    bootstrap = Bootstrap(settings.bootstrap_samples, decoding.seed)
    scores = score(METRICS, material, test_set, systems, same_shape, bootstrap, rated.line_figures)
    scores["notes"] = _notes(test_set, same_shape, answers, baseline) + scores["notes"]
    results = Results(
        system=_describe(answers),
        baseline=None if baseline is None else _describe(baseline),
        data=_describe_data(settings, test_set, material.training_file),
        samples=_samples(settings, decoding.seed, test_set, systems),
        settings=dataclasses.asdict(settings),
        timings={
            "scoring_seconds": time.perf_counter() - scoring_started,
            "total_seconds": time.perf_counter() - started,
        },
        **scores,
    )
    _write_all(Path(settings.output_dir), results, test_set, answers)
    export_couplets(settings, test_set, systems, question_template(served), decoding.seed)
    _remove_kept(Path(settings.output_dir), answers, baseline)
    rated.add_to(results, lambda: _write_results(Path(settings.output_dir), results))
    return results


def _remove_kept(directory: Path, *systems: Answers | None) -> None:
    """Remove the answers that were kept in case of an interruption; those of another evaluation stay."""
    for kept in (kept for answers in systems if answers for kept in answers.kept):
        kept.remove()
    with suppress(OSError):  # not there, or not empty
        (directory / KEPT_DIRECTORY).rmdir()


def _describe(answers: Answers) -> SystemDescription:
    described = SystemDescription(
        name=answers.system.name,
        runs=len(answers.system.runs),
        seeds=answers.seeds,
        decoding=answers.decoding,
        efficiency=answers.efficiency,
        outside_vocabulary=answers.outside_vocabulary,
    )
    if answers.served is not None:
        described["served"] = answers.served
    return described


def _describe_data(
    settings: EvaluationSettings, test_set: TestSet, training_file: TrainingFile | None
) -> DataDescription:
    counts = [len(lines) for lines in test_set.references]
    described = DataDescription(
        test_files=settings.test_file,
        test_sha256=[sha256_of(stored(file)) for file in settings.test_file],
        rows=len(test_set.rows),
        rejected_rows=test_set.rejected,
        upper_lines=len(test_set.uppers),
        references_mean=sum(counts) / len(counts),
        references_most=max(counts),
        train_files=settings.train_file,
    )
    if training_file is not None:
        described["train_sha256"] = [sha256_of(stored(file)) for file in settings.train_file]
        described["train_couplets"] = len(training_file.uppers)
        described["leaks"] = leaks(test_set, training_file)
    return described


def leaks(test_set: TestSet, training_file: TrainingFile) -> Leaks:
    """Count the test set's different upper lines, lower lines and couplets that stand in the training file."""
    pairs = [
        (upper, lower) for upper, known in zip(test_set.uppers, test_set.references, strict=True) for lower in known
    ]
    return Leaks(
        upper_lines=sum(upper in training_file.upper_set for upper in test_set.uppers),
        lower_lines=sum(lower in training_file.lower_set for _, lower in pairs),
        couplets=sum(pair in training_file.pair_set for pair in pairs),
    )


def _samples(
    settings: EvaluationSettings, seed: int, test_set: TestSet, systems: dict[str, System]
) -> list[dict[str, str]]:
    """Return upper lines drawn at random with the first line of each system."""
    count = min(settings.report_samples, len(test_set.uppers))
    chosen = sorted(random.Random(seed).sample(range(len(test_set.uppers)), count))
    return [
        {"upper": test_set.uppers[index]} | {name: system.runs[0][index] for name, system in systems.items()}
        for index in chosen
    ]


def _left_out(test_set: TestSet) -> str:
    return _("rows of the test file that are no couplet and were left out: {found}").format(
        found=counted(test_set.rejected)
    )


def _notes(test_set: TestSet, same_shape: list[bool], answers: Answers, baseline: Answers | None) -> list[str]:
    notes = [*answers.notes, *(baseline.notes if baseline else [])]
    if test_set.rejected:
        notes.append(_left_out(test_set))
    if test_set.cleaned:
        notes.append(
            _("taken out of rows of the test file before they were compared: {kinds}").format(
                kinds=listed(test_set.cleaned)
            )
        )
    if misshapen := same_shape.count(False):
        notes.append(
            ngettext(
                "for {count:,} upper line no line of the same shape was found; its chance line is any line",
                "for {count:,} upper lines no line of the same shape was found; their chance line is any line",
                misshapen,
            ).format(count=misshapen)
        )
    return notes


def _write_all(directory: Path, results: Results, test_set: TestSet, answers: Answers) -> None:
    """Write `results.json` in the form of `evaluate.save`, the predictions and both reports; print the summary."""
    _write_results(directory, results)
    with atomic_open(directory / PREDICTIONS_FILE) as file:
        for row in _prediction_rows(test_set, answers):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(summary(results), *(printable(_("note: {note}").format(note=note)) for note in results["notes"]), sep="\n")
    print(_("written to {directory}: {files}").format(directory=directory, files=enumerated(WRITTEN)))


def _write_results(directory: Path, results: Results) -> None:
    """Write `results.json` and both reports."""
    make_directory(directory)
    # evaluate.save writes in place; under another name first, so that an interruption leaves the old file whole.
    temporary = directory / ".results.json.tmp"
    with _silent_stderr():
        evaluate.save(temporary, **without_non_numbers(results))
    temporary.replace(directory / RESULTS_FILE)
    write_text(directory / MARKDOWN_FILE, markdown_report(results))
    write_text(directory / HTML_FILE, html_report(results))


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what is written to stderr, by subprocesses too.

    `evaluate.save` (0.4.6) asks git for a commit and lets it complain where there is no repository.
    """
    original = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)


def _prediction_rows(test_set: TestSet, answers: Answers) -> Iterator[dict[str, Any]]:
    """Yield a row for each run and upper line: both lines, seed, known lower lines, rules that were broken."""
    for run, lowers in enumerate(answers.system.runs):
        for upper, lower, known in zip(test_set.uppers, lowers, test_set.references, strict=True):
            yield {
                "upper": upper,
                "lower": lower,
                "seed": answers.seeds[run] if answers.seeds else None,
                "references": known,
                "violations": form_violations(upper, lower),
            }
