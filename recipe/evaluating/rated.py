"""Rating sheets of an evaluation, and ratings read back: between the settings, `recipe.rating` and the results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.evaluating.rating_tables import rating_summary, rating_tables
from recipe.evaluating.resampling import Interval
from recipe.evaluating.results import RatersPanel, RatingResults, without_non_numbers
from recipe.evaluating.testset import refuse_missing
from recipe.files import make_directory, sha256_of, write_text
from recipe.rating.analysis import (
    AgreementRow,
    DifferenceRow,
    KappaRow,
    MeanRow,
    RaterRow,
    StrengthRow,
    WinRow,
    analyse,
)
from recipe.rating.dimensions import ANCHORED_POINTS, chosen_dimensions
from recipe.rating.evidence import Evidence, gather
from recipe.rating.keys import read_keys
from recipe.rating.ratings import RatingFiles, first_faults, read_ratings
from recipe.rating.sheet_files import write_sheets
from recipe.rating.sheets import SheetOptions, build_sheets
from recipe.rating.uncertainty import SampleSize
from recipe.settings import DecodingSettings, DeviceSettings, EvaluationSettings, RatingSettings
from recipe.templating import render

ROWS = (
    RaterRow,
    MeanRow,
    DifferenceRow,
    WinRow,
    StrengthRow,
    AgreementRow,
    KappaRow,
    Interval,
    SampleSize,
)


class ReadRatings(NamedTuple):
    """Files of ratings, and what they say by kind of rater."""

    files: RatingFiles
    evidence: dict[str, Evidence]


def rating_problems(settings: RatingSettings) -> list[str]:
    """Return what is wrong with the settings of ratings and with the names of their files."""
    problems = []
    if settings.rating_points not in ANCHORED_POINTS:
        problems.append(f"--rating_points {settings.rating_points}: a scale has 5 or 7 points")
    for name in ("rating_items", "rating_sheets"):
        if getattr(settings, name) < 1:
            problems.append(f"--{name} {getattr(settings, name)}: must be at least 1")
    if settings.rating_sheet is not None:
        problems += _directory_problems(Path(settings.rating_sheet))
    elif _sheet_values(settings) != _sheet_values(RatingSettings()):
        problems.append("settings of rating sheets say nothing without --rating_sheet DIR; give it or leave them out")
    default = RatingSettings()
    of_points = (settings.rating_dimensions, settings.rating_points) != (
        default.rating_dimensions,
        default.rating_points,
    )
    if settings.rating_kind == "pair" and of_points:
        problems.append("--rating_dimensions and --rating_points are of absolute sheets; pairs are judged as a whole")
    if not settings.ratings and (settings.rating_key or settings.leave_out_failed_raters):
        problems.append("--rating_key and --leave_out_failed_raters say nothing without --ratings FILE")
    if not settings.rating_dimensions:
        problems.append("--rating_dimensions names none; leave it out for the overall judgement")
    try:
        chosen_dimensions("--rating_dimensions", settings.rating_dimensions)
    except UserError as error:
        problems += error.problems
    for files in (settings.ratings, settings.rating_key):
        try:
            refuse_missing(files)
        except UserError as error:
            problems += error.problems
    return problems


def _sheet_values(settings: RatingSettings) -> list[Any]:
    names = ("rating_kind", "rating_dimensions", "rating_points", "rating_items", "rating_sheets")
    return [getattr(settings, name) for name in names]


def _directory_problems(directory: Path) -> list[str]:
    if directory.is_dir() and any(directory.iterdir()):
        return [f"--rating_sheet {directory}: the directory is in use; name a new one, so that no key is lost"]
    if directory.exists() and not directory.is_dir():
        return [f"--rating_sheet {directory}: is a file; name a new directory"]
    return []


def read_rating_files(settings: RatingSettings) -> ReadRatings | None:
    """Return the ratings that the settings name, or None where they name none.

    Raises:
        UserError: files that cannot be read or hold no rating, a missing key, codes that no key knows.
    """
    if not settings.ratings:
        return None
    files = read_ratings(settings.ratings)
    return ReadRatings(files, gather(files.ratings, read_keys(settings.rating_key)))


def rating_results(settings: RatingSettings, read: ReadRatings, samples: int, seed: int) -> RatingResults:
    """Return the analysis of ratings in plain types."""
    panels = {}
    for kind, evidence in read.evidence.items():
        if evidence.raters():
            counted = evidence.without(evidence.failed()) if settings.leave_out_failed_raters else evidence
            # The rows are tuples of named values, down to the intervals.
            panels[kind] = RatersPanel(**_plain(vars(analyse(counted, samples, seed))))  # type: ignore[typeddict-item]
    return RatingResults(
        files=settings.ratings,
        sha256=[sha256_of(file) for file in settings.ratings],
        ratings=len(read.files.ratings),
        panels=panels,
        notes=_notes(read.files),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, ROWS):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else without_non_numbers(value)


def _notes(files: RatingFiles) -> list[str]:
    notes = []
    for file in dict.fromkeys(fault.file for fault in files.faults):
        faults = [fault for fault in files.faults if fault.file == file]
        notes.append(f"{file}: {len(faults):,} rows hold no rating and were left out{first_faults(faults)}")
    if files.replaced:
        notes.append(f"{files.replaced:,} ratings were given again by the same rater; the last one counts")
    return notes


def write_rating_sheets(
    settings: RatingSettings, seed: int, uppers: list[str], answers: Mapping[str, list[str]]
) -> list[str]:
    """Write blind sheets of what the systems answered; returns the names of the files.

    Args:
        answers: system → one lower line for each of `uppers`.
    """
    assert settings.rating_sheet is not None
    options = SheetOptions(
        kind=settings.rating_kind,
        dimensions=chosen_dimensions("--rating_dimensions", settings.rating_dimensions),
        points=settings.rating_points,
        items=settings.rating_items,
        sheets=settings.rating_sheets,
        seed=seed,
    )
    return write_sheets(settings.rating_sheet, build_sheets(uppers, answers, options))


def report_ratings(
    evaluation: EvaluationSettings, settings: RatingSettings, decoding: DecodingSettings, device: DeviceSettings
) -> RatingResults:
    """Analyse ratings without evaluating anything: write `ratings.json` and `ratings.md`, print the summary.

    Raises:
        UserError: settings of an evaluation without a test file, or files that cannot be used.
    """
    problems = rating_problems(settings)
    counting = {"output_dir": evaluation.output_dir, "bootstrap_samples": evaluation.bootstrap_samples}
    is_evaluation = dataclasses.replace(EvaluationSettings(), **counting) != evaluation  # type: ignore[arg-type]
    if is_evaluation or settings.rating_sheet or device != DeviceSettings():
        problems.append("no test file: give --test_file FILE to evaluate, or --ratings alone with --rating_key")
    if dataclasses.replace(decoding, seed=DecodingSettings().seed) != DecodingSettings():
        problems.append("no model is evaluated, so the settings of decoding say nothing; leave them out")
    if evaluation.bootstrap_samples < 1:
        problems.append(f"--bootstrap_samples {evaluation.bootstrap_samples}: must be at least 1")
    if problems:
        raise UserError(problems)
    read = read_rating_files(settings)
    assert read is not None
    results = rating_results(settings, read, evaluation.bootstrap_samples, decoding.seed)
    directory = Path(evaluation.output_dir)
    make_directory(directory)
    write_text(directory / "ratings.json", json.dumps(results, ensure_ascii=False, indent=2) + "\n")
    write_text(directory / "ratings.md", render("ratings.md", ratings=rating_tables(results)))
    print(rating_summary(results))
    print(f"written to {directory}: ratings.json, ratings.md")
    return results
