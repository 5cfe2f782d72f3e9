"""The evaluation job: answers made or read, scored beside humans and chance, written down and reported.

settings -> test set -> answers (of a model, or from a file) -> scores -> results.json, predictions.jsonl, reports
"""

from __future__ import annotations

import codecs
import dataclasses
import json
import math
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import evaluate

from recipe.couplet.form import form_violations
from recipe.errors import UserError
from recipe.evaluating.predictions import Answers, answers_of, baseline_of, is_predictions, likelihood_of
from recipe.evaluating.report import html_report, markdown_report, summary
from recipe.evaluating.resampling import Bootstrap
from recipe.evaluating.scoring import BASELINE, CHANCE, HUMAN, MODEL, Scores, System, score
from recipe.evaluating.testset import TestSet, TrainingFile, chance_lines, read_test_set, read_training_file
from recipe.files import atomic_open, sha256_of, write_text
from recipe.settings import DecodingSettings, DeviceSettings, EvaluationSettings
from recipe.word_lists import read_word_list


def evaluate_couplets(
    settings: EvaluationSettings, decoding: DecodingSettings, device: DeviceSettings
) -> dict[str, Any]:
    """Run a whole evaluation, print its summary, and return what `results.json` holds.

    Raises:
        UserError: settings that contradict each other, or files, models and lines that cannot be used.
    """
    started = time.perf_counter()
    check_settings(settings, decoding)
    listed_words = read_word_list("--listed_words", settings.listed_words)
    test_set = read_test_set(settings)
    # The models come before the training file, so that the peak memory said is theirs, not that of the file.
    answers = answers_of(settings, decoding, device, test_set)
    baseline = baseline_of(settings, decoding, device, test_set)
    training_file = read_training_file(settings)
    lines_by_chance, same_shape = chance_lines(test_set, training_file, decoding.seed)
    systems = {
        MODEL: answers.system,
        HUMAN: System("human", [test_set.first_references]),
        CHANCE: System("chance", [lines_by_chance], likelihood_of(answers.loaded, test_set, lines_by_chance)),
    }
    if baseline is not None:
        systems[BASELINE] = baseline.system
    scoring_started = time.perf_counter()
    bootstrap = Bootstrap(settings.bootstrap_samples, decoding.seed)
    scores = score(test_set, systems, training_file, same_shape, listed_words, settings, bootstrap)
    results = {
        "system": _describe(answers),
        "baseline": None if baseline is None else _describe(baseline),
        "data": _describe_data(settings, test_set, training_file),
        **dataclasses.asdict(scores),
        "samples": _samples(settings, decoding.seed, test_set, systems),
        "notes": _notes(test_set, same_shape, answers, baseline, scores),
        "settings": dataclasses.asdict(settings),
        "timings": {"scoring_seconds": time.perf_counter() - scoring_started},
    }
    results["timings"]["total_seconds"] = time.perf_counter() - started
    _write_all(Path(settings.output_dir), results, test_set, answers)
    return results


def check_settings(settings: EvaluationSettings, decoding: DecodingSettings) -> None:
    """Refuse what can be said to be wrong before a file is read.

    Raises:
        UserError: all problems at once.
    """
    problems = []
    if settings.predictions and settings.model_name_or_path:
        problems.append("--predictions and --model_name_or_path both say what to score; give one of them")
    needs_model = not settings.predictions or bool(settings.baseline and not is_predictions(settings.baseline))
    if not needs_model and dataclasses.replace(decoding, seed=DecodingSettings().seed) != DecodingSettings():
        problems.append("no model is evaluated, so the settings of decoding say nothing; leave them out")
    if decoding.num_return_sequences != 1:
        problems.append("--num_return_sequences: one lower line a seed is scored; for several answers raise --seeds")
    if not settings.test_file:
        problems.append("no test file: give --test_file FILE, whose couplets are the references")
    if (settings.upper_column is None) != (settings.lower_column is None):
        problems.append("--upper_column and --lower_column go together; only one of them is set")
    if len(settings.separator) != 1:
        problems.append(f"--separator takes one character; found {settings.separator!r}")
    for name, least in (("seeds", 1), ("bootstrap_samples", 1), ("latency_calls", 0), ("report_samples", 1)):
        if getattr(settings, name) < least:
            problems.append(f"--{name} {getattr(settings, name)}: must be at least {least}")
    if settings.max_upper_lines is not None and settings.max_upper_lines < 1:
        problems.append(f"--max_upper_lines {settings.max_upper_lines}: must be at least 1")
    try:
        codecs.lookup(settings.encoding)
    except LookupError:
        problems.append(f"--encoding {settings.encoding}: Python knows no such encoding; try utf-8 or gb18030")
    if problems:
        raise UserError(problems)


def _describe(answers: Answers) -> dict[str, Any]:
    return {
        "name": answers.system.name,
        "runs": len(answers.system.runs),
        "seeds": answers.seeds,
        "decoding": answers.decoding,
        "efficiency": answers.efficiency,
    }


def _describe_data(
    settings: EvaluationSettings, test_set: TestSet, training_file: TrainingFile | None
) -> dict[str, Any]:
    counts = [len(lines) for lines in test_set.references]
    described: dict[str, Any] = {
        "test_files": settings.test_file,
        "test_sha256": [sha256_of(file) for file in settings.test_file],
        "rows": len(test_set.rows),
        "rejected_rows": test_set.rejected,
        "upper_lines": len(test_set.uppers),
        "references_mean": sum(counts) / len(counts),
        "references_most": max(counts),
        "train_files": settings.train_file,
    }
    if training_file is not None:
        pairs = [
            (upper, lower) for upper, known in zip(test_set.uppers, test_set.references, strict=True) for lower in known
        ]
        described |= {
            "train_sha256": [sha256_of(file) for file in settings.train_file],
            "train_couplets": len(training_file.uppers),
            "leaks": {
                "upper_lines": sum(upper in training_file.upper_set for upper in test_set.uppers),
                "lower_lines": sum(lower in training_file.lower_set for _, lower in pairs),
                "couplets": sum(pair in training_file.pair_set for pair in pairs),
            },
        }
    return described


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


def _notes(
    test_set: TestSet, same_shape: list[bool], answers: Answers, baseline: Answers | None, scores: Scores
) -> list[str]:
    notes = [*answers.notes, *(baseline.notes if baseline else []), *scores.notes]
    if test_set.rejected:
        found = "; ".join(f"{count:,} {reason}" for reason, count in test_set.rejected.items())
        notes.append(f"rows of the test file that are no couplet and were left out: {found}")
    if misshapen := same_shape.count(False):
        notes.append(
            f"for {misshapen:,} upper lines no line of the same shape was found; their chance line is any line"
        )
    return notes


def _write_all(directory: Path, results: dict[str, Any], test_set: TestSet, answers: Answers) -> None:
    """Write `results.json` in the form of `evaluate.save`, the predictions and both reports; print the summary."""
    directory.mkdir(parents=True, exist_ok=True)
    # evaluate.save writes in place; under another name first, so that an interruption leaves the old file whole.
    temporary = directory / ".results.json.tmp"
    with _silent_stderr():
        evaluate.save(temporary, **without_non_numbers(results))
    temporary.replace(directory / "results.json")
    with atomic_open(directory / "predictions.jsonl") as file:
        for row in _prediction_rows(test_set, answers):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(directory / "report.md", markdown_report(results))
    write_text(directory / "report.html", html_report(results))
    print(summary(results))
    print(f"written to {directory}: results.json, predictions.jsonl, report.md, report.html")


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


def without_non_numbers(value: Any) -> Any:
    """Return nested data with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_non_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_non_numbers(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
