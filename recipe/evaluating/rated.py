"""Rating sheets of an evaluation, and ratings read back: between the settings, `recipe.rating` and the results."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from recipe.errors import UserError
from recipe.evaluating.rating_tables import rating_summary, rating_tables
from recipe.evaluating.resampling import Interval
from recipe.evaluating.results import JudgeBiases, RatersPanel, RatingResults, without_non_numbers
from recipe.evaluating.scoring import LineFigures
from recipe.evaluating.testset import refuse_missing
from recipe.evaluating.wording import counted
from recipe.files import make_directory, sha256_of, write_text
from recipe.rating.analysis import (
    AgreementRow,
    CorrelationRow,
    DifferenceRow,
    KappaRow,
    MeanRow,
    RaterRow,
    StrengthRow,
    WinRow,
    analyse,
    correlations,
)
from recipe.rating.biases import LengthRow, PositionRow, SelfRow, WithPeopleRow, measured_biases
from recipe.rating.dimensions import ANCHORED_POINTS, chosen_dimensions
from recipe.rating.evidence import Comment, Evidence, gather, merged
from recipe.rating.keys import read_keys
from recipe.rating.ratings import RatingFiles, first_faults, read_ratings
from recipe.rating.sheets import SheetOptions, SheetSet, build_sheets
from recipe.rating.uncertainty import SampleSize
from recipe.settings import (
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    JudgeSettings,
    RatingSettings,
    ServedSettings,
)
from recipe.templating import render

ROWS = (
    RaterRow,
    MeanRow,
    DifferenceRow,
    WinRow,
    StrengthRow,
    AgreementRow,
    KappaRow,
    CorrelationRow,
    PositionRow,
    LengthRow,
    SelfRow,
    WithPeopleRow,
    Comment,
    Interval,
    SampleSize,
)


class ReadRatings(NamedTuple):
    """Files of ratings, and what they say by kind of rater."""

    files: RatingFiles
    evidence: dict[str, Evidence]


class Judged(NamedTuple):
    """What the judges of this run said and did.

    Attributes:
        ratings: how many they gave.
        reports: `recipe.rating.judge.JudgeReport` of each, in plain types.
        own_systems: judge → the systems whose answers it wrote.
        notes: what a reader has to know of their answers.
    """

    ratings: int
    evidence: Evidence
    reports: list[dict[str, Any]]
    own_systems: Mapping[str, Collection[str]]
    notes: list[str]


def rating_problems(settings: RatingSettings, is_judged: bool = False) -> list[str]:
    """Return what is wrong with the settings of ratings and with the names of their files.

    Args:
        is_judged: whether models judge, who are asked what sheets ask.
    """
    problems = []
    if settings.rating_points not in ANCHORED_POINTS:
        problems.append(f"--rating_points {settings.rating_points}: a scale has 5 or 7 points")
    for name in ("rating_items", "rating_sheets"):
        if getattr(settings, name) < 1:
            problems.append(f"--{name} {getattr(settings, name)}: must be at least 1")
    if settings.rating_sheet is not None:
        problems += _directory_problems(Path(settings.rating_sheet))
    elif not is_judged and _sheet_values(settings) != _sheet_values(RatingSettings()):
        problems.append(
            "settings of rating sheets say nothing without --rating_sheet DIR or --judge_model NAME; give one of them "
            "or leave them out"
        )
    default = RatingSettings()
    of_points = (settings.rating_dimensions, settings.rating_points) != (
        default.rating_dimensions,
        default.rating_points,
    )
    if settings.rating_kind == "pair" and of_points:
        problems.append("--rating_dimensions and --rating_points are of absolute sheets; pairs are judged as a whole")
    if not settings.ratings and (settings.rating_key or (settings.leave_out_failed_raters and not is_judged)):
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
    nearest = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            return []
    except OSError as error:
        return [f"--rating_sheet {directory}: nothing can be written into {nearest} ({error.strerror}); name another"]


def read_rating_files(settings: RatingSettings) -> ReadRatings | None:
    """Return the ratings that the settings name, or None where they name none.

    Raises:
        UserError: files that cannot be read or hold no rating, a missing key, codes that no key knows.
    """
    if not settings.ratings:
        return None
    files = read_ratings(settings.ratings)
    return ReadRatings(files, gather(files.ratings, read_keys(settings.rating_key)))


def rating_results(
    settings: RatingSettings,
    read: ReadRatings | None,
    samples: int,
    seed: int,
    judged: Judged | None = None,
    figures: LineFigures | None = None,
    least_agreement: float = 0.0,
) -> RatingResults:
    """Return the analysis of ratings, those that were read and those of judges, in plain types.

    Args:
        samples: bootstrap draws behind each interval.
        figures: automatic figures of the rated lines, to be compared with the ratings.
        least_agreement: kappa with people below which a judge is warned of.
    """
    evidence = read.evidence if read else {"person": Evidence(), "model": Evidence()}
    if judged:
        evidence = evidence | {"model": merged(evidence["model"], judged.evidence)}
    if settings.leave_out_failed_raters:
        evidence = {kind: found.without(found.failed()) for kind, found in evidence.items()}
    panels = {}
    for kind, counted_in in evidence.items():
        if counted_in.raters():
            # The rows are tuples of named values, down to the intervals.
            rows = vars(analyse(counted_in, samples, seed))
            rows |= {"comments": counted_in.comments, "points": counted_in.points}
            panels[kind] = RatersPanel(**_plain(rows))  # type: ignore[typeddict-item]
    own = judged.own_systems if judged else {}
    biases = measured_biases(evidence["model"], evidence["person"], own, least_agreement, samples, seed)
    return RatingResults(
        files=settings.ratings,
        sha256=[sha256_of(file) for file in settings.ratings],
        ratings=(len(read.files.ratings) if read else 0) + (judged.ratings if judged else 0),
        panels=panels,
        judges=judged.reports if judged else [],
        biases=JudgeBiases(**_plain(biases._asdict())),  # type: ignore[typeddict-item]
        correlations=_correlations(evidence, figures, samples, seed) if figures else [],
        notes=[
            *(_notes(read.files) if read else []),
            *(judged.notes if judged else []),
            *_warnings(biases.with_people, least_agreement),
        ],
    )


def _correlations(
    evidence: Mapping[str, Evidence], figures: LineFigures, samples: int, seed: int
) -> list[dict[str, Any]]:
    """Return how every figure of single lines goes along with people's ratings, or judges' where no people rated.

    A line counts only if it is the one that the raters saw.
    """
    kind = "person" if evidence["person"].scores else "model"
    judged = evidence[kind]
    seen = {(score.item, system, score.text) for score in judged.scores for system in score.systems}
    rated = {(item, system) for item, system, text in seen if text in ("", figures.lines.get((item, system)))}
    found = {
        key: {answer: value for answer, value in values.items() if answer in rated}
        for key, values in figures.values.items()
    }
    dimensions = len({score.dimension for score in judged.scores})
    with tqdm(total=dimensions * len(found), desc="correlations", delay=2, leave=False) as bar:
        rows = correlations(judged, found, samples, seed, bar.update)
    return [{"panel": kind, **_plain(row)} for row in rows]


def _warnings(rows: Sequence[WithPeopleRow], least: float) -> list[str]:
    return [
        f"WARNING: {row.judge} agrees too little with people on {row.dimension} "
        f"({'points' if row.kind == 'absolute' else 'pairs'}): kappa {row.kappa.value:.2f} on "
        f"{counted(row.units, 'answer' if row.kind == 'absolute' else 'pair')}, below {least:g}; do not take its "
        "ratings for theirs"
        for row in rows
        if row.is_low
    ]


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
        rows = f"{counted(len(faults), 'row')} {'holds' if len(faults) == 1 else 'hold'} no rating"
        notes.append(f"{file}: {rows} and {'was' if len(faults) == 1 else 'were'} left out{first_faults(faults)}")
    if files.replaced:
        given = f"{counted(files.replaced, 'rating')} {'was' if files.replaced == 1 else 'were'}"
        notes.append(f"{given} given again by the same rater; the last one counts")
    return notes


def made_sheets(settings: RatingSettings, seed: int, uppers: list[str], answers: Mapping[str, list[str]]) -> SheetSet:
    """Return blind sheets of what the systems answered, for people and for judges.

    Args:
        answers: system → one lower line for each of `uppers`.
    """
    options = SheetOptions(
        kind=settings.rating_kind,
        dimensions=chosen_dimensions("--rating_dimensions", settings.rating_dimensions),
        points=settings.rating_points,
        items=settings.rating_items,
        sheets=settings.rating_sheets,
        seed=seed,
    )
    return build_sheets(uppers, answers, options)


def report_ratings(
    evaluation: EvaluationSettings,
    settings: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
    device: DeviceSettings,
) -> RatingResults:
    """Analyse ratings without evaluating anything: write `ratings.json` and `ratings.md`, print the summary.

    Raises:
        UserError: settings of an evaluation without a test file, or files that cannot be used.
    """
    problems = rating_problems(settings)
    counting = {"output_dir": evaluation.output_dir, "bootstrap_samples": evaluation.bootstrap_samples}
    is_evaluation = dataclasses.replace(EvaluationSettings(), **counting) != evaluation  # type: ignore[arg-type]
    only_agreement = dataclasses.replace(JudgeSettings(), judge_agreement=judging.judge_agreement)
    is_served = judging != only_agreement or served != ServedSettings()
    if is_evaluation or settings.rating_sheet or is_served or device != DeviceSettings():
        problems.append("no test file: give --test_file FILE to evaluate, or --ratings alone with --rating_key")
    if dataclasses.replace(decoding, seed=DecodingSettings().seed) != DecodingSettings():
        problems.append("no model is evaluated, so the settings of decoding say nothing; leave them out")
    if evaluation.bootstrap_samples < 1:
        problems.append(f"--bootstrap_samples {evaluation.bootstrap_samples}: must be at least 1")
    if problems:
        raise UserError(problems)
    read = read_rating_files(settings)
    assert read is not None
    samples, least = evaluation.bootstrap_samples, judging.judge_agreement
    results = rating_results(settings, read, samples, decoding.seed, least_agreement=least)
    directory = Path(evaluation.output_dir)
    make_directory(directory)
    write_text(directory / "ratings.json", json.dumps(results, ensure_ascii=False, indent=2) + "\n")
    write_text(directory / "ratings.md", render("ratings.md", ratings=rating_tables(results)))
    print(rating_summary(results))
    print(f"written to {directory}: ratings.json, ratings.md")
    return results
