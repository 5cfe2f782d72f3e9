"""Rating sheets of an evaluation, and ratings read back: between the settings, `recipe.rating` and the results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.evaluating.line_figures import FIGURES_NAME, read_line_figures
from recipe.evaluating.rating_plots import rating_plots
from recipe.evaluating.rating_tables import rating_summary, rating_tables
from recipe.evaluating.resampling import Interval
from recipe.evaluating.results import Description, JudgeBiases, RatersPanel, RatingResults, without_non_numbers
from recipe.evaluating.scoring import LineFigures
from recipe.files import make_directory, output_dir_problems, sha256_of, unwritable, write_text
from recipe.language import _, ngettext
from recipe.rating.analysis import (
    AgreementRow,
    ChoiceRow,
    CorrelationRow,
    DifferenceRow,
    KappaRow,
    MeanRow,
    RaterRow,
    StrengthRow,
    WinRow,
    analyse,
    choices_by_figure,
    correlations,
)
from recipe.rating.biases import LengthRow, PositionRow, SelfRow, WithPeopleRow, measured_biases
from recipe.rating.dimensions import ANCHORED_POINTS, chosen_dimensions
from recipe.rating.evidence import Comment, Evidence, gather, merged
from recipe.rating.keys import read_keys
from recipe.rating.ratings import RatingFiles, first_faults, read_ratings
from recipe.rating.sheets import COUPLET_LABELS, SheetOptions, SheetSet, build_sheets
from recipe.rating.uncertainty import SampleSize
from recipe.screen import progress_bar
from recipe.settings import (
    DecodingSettings,
    DeviceSettings,
    EvaluationSettings,
    JudgeSettings,
    RatingSettings,
    ServedSettings,
)
from recipe.templating import render
from recipe.text_files import path_problem

ROWS = (
    RaterRow,
    MeanRow,
    DifferenceRow,
    WinRow,
    StrengthRow,
    AgreementRow,
    KappaRow,
    CorrelationRow,
    ChoiceRow,
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
        problems.append(_("--rating_points {wanted}: a scale has 5 or 7 points").format(wanted=settings.rating_points))
    for name in ("rating_items", "rating_sheets"):
        if getattr(settings, name) < 1:
            problems.append(_("--{name} {value}: must be at least 1").format(name=name, value=getattr(settings, name)))
    if settings.rating_sheet is not None:
        problems += _directory_problems(Path(settings.rating_sheet))
    elif not is_judged and _sheet_values(settings) != _sheet_values(RatingSettings()):
        problems.append(
            _(
                "rating sheet settings have no effect without --rating_sheet DIR or --judge_model NAME; give one of "
                "them or leave them out"
            )
        )
    default = RatingSettings()
    of_points = (settings.rating_dimensions, settings.rating_points) != (
        default.rating_dimensions,
        default.rating_points,
    )
    if settings.rating_kind == "pair" and of_points:
        problems.append(
            _("--rating_dimensions and --rating_points are of absolute sheets; pairs are judged as a whole")
        )
    if not settings.ratings and (settings.rating_key or (settings.leave_out_failed_raters and not is_judged)):
        problems.append(_("--rating_key and --leave_out_failed_raters have no effect without --ratings FILE"))
    if not settings.rating_dimensions:
        problems.append(_("--rating_dimensions names none; leave it out for the overall judgement"))
    try:
        chosen_dimensions("--rating_dimensions", settings.rating_dimensions)
    except UserError as error:
        problems += error.problems
    # Workbooks are among them, which no reader of rows takes.
    problems += [problem for file in (*settings.ratings, *settings.rating_key) if (problem := path_problem(file))]
    return problems


def _sheet_values(settings: RatingSettings) -> list[Any]:
    names = ("rating_kind", "rating_dimensions", "rating_points", "rating_items", "rating_sheets")
    return [getattr(settings, name) for name in names]


def _directory_problems(directory: Path) -> list[str]:
    if directory.is_dir() and any(directory.iterdir()):
        return [
            _("--rating_sheet {directory}: the directory is in use; name a new one, so that no key is lost").format(
                directory=directory
            )
        ]
    if directory.exists() and not directory.is_dir():
        return [_("--rating_sheet {directory}: is a file; name a new directory").format(directory=directory)]
    if reason := unwritable(directory):
        return [_("--rating_sheet {directory}: {reason}; name another").format(directory=directory, reason=reason)]
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
    correlated, chosen = _by_figures(evidence, figures, samples, seed) if figures else ([], [])
    return RatingResults(
        files=settings.ratings,
        sha256=[sha256_of(file) for file in settings.ratings],
        ratings=(len(read.files.ratings) if read else 0) + (judged.ratings if judged else 0),
        panels=panels,
        judges=judged.reports if judged else [],
        biases=JudgeBiases(**_plain(biases._asdict())),  # type: ignore[typeddict-item]
        correlations=correlated,
        choices=chosen,
        notes=[
            *(_notes(read.files) if read else []),
            *(judged.notes if judged else []),
            *_warnings(biases.with_people, least_agreement),
        ],
    )


def _by_figures(
    evidence: Mapping[str, Evidence], figures: LineFigures, samples: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return how every figure of single lines goes along with ratings by points, and with choices between two answers.

    By people, or by judges where no people rated. A line counts only if it is the one that the raters saw.
    """
    by_points = "person" if evidence["person"].scores else "model"
    by_choice = "person" if evidence["person"].comparisons else "model"
    scores, pairs = evidence[by_points], evidence[by_choice]
    seen = {(score.item, system, score.text) for score in scores.scores for system in score.systems}
    for row in pairs.comparisons:
        for systems, text in zip((row.first, row.second), row.texts, strict=True):
            seen |= {(row.item, system, text) for system in systems}
    rated = {(item, system) for item, system, text in seen if text in ("", figures.lines.get((item, system)))}
    found = {
        key: {answer: value for answer, value in values.items() if answer in rated}
        for key, values in figures.values.items()
    }
    dimensions = [{row.dimension for row in rows} for rows in (scores.scores, pairs.comparisons)]
    with progress_bar(
        total=sum(map(len, dimensions)) * len(found), desc=_("correlations"), delay=2, leave=False
    ) as bar:
        correlated = correlations(scores, found, samples, seed, bar.update)
        chosen = choices_by_figure(pairs, found, samples, seed, bar.update)
    return (
        [{"panel": by_points, **_plain(row)} for row in correlated],
        [{"panel": by_choice, **_plain(row)} for row in chosen],
    )


def _warnings(rows: Sequence[WithPeopleRow], least: float) -> list[str]:
    return [
        _warning(row).format(
            judge=row.judge, dimension=row.dimension, kappa=row.kappa.value, count=row.units, least=least
        )
        for row in rows
        if row.is_low
    ]


def _warning(row: WithPeopleRow) -> str:
    if row.kind == "absolute":
        return ngettext(
            "WARNING: {judge} agrees too little with people on {dimension} (points): kappa {kappa:.2f} on {count:,} "
            "answer, below {least:g}; do not take its ratings for theirs",
            "WARNING: {judge} agrees too little with people on {dimension} (points): kappa {kappa:.2f} on {count:,} "
            "answers, below {least:g}; do not take its ratings for theirs",
            row.units,
        )
    return ngettext(
        "WARNING: {judge} agrees too little with people on {dimension} (pairs): kappa {kappa:.2f} on {count:,} pair, "
        "below {least:g}; do not take its ratings for theirs",
        "WARNING: {judge} agrees too little with people on {dimension} (pairs): kappa {kappa:.2f} on {count:,} pairs, "
        "below {least:g}; do not take its ratings for theirs",
        row.units,
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
        left_out = ngettext(
            "{file}: {count:,} row holds no rating and was left out",
            "{file}: {count:,} rows hold no rating and were left out",
            len(faults),
        )
        notes.append(left_out.format(file=file, count=len(faults)) + first_faults(faults))
    if files.replaced:
        replaced = ngettext(
            "{count:,} rating was given again by the same rater; the last one counts",
            "{count:,} ratings were given again by the same rater; the last one counts",
            files.replaced,
        )
        notes.append(replaced.format(count=files.replaced))
    return notes


def made_sheets(
    settings: RatingSettings,
    seed: int,
    prompts: list[str],
    answers: Mapping[str, list[str]],
    labels: Mapping[str, tuple[str, str]] = COUPLET_LABELS,
) -> SheetSet:
    """Return blind sheets of what the systems answered, for people and for judges.

    Args:
        answers: system → one answer to each of `prompts`; in a couplet a lower line to each upper line.
        labels: language → what the two are called.
    """
    options = SheetOptions(
        kind=settings.rating_kind,
        dimensions=chosen_dimensions("--rating_dimensions", settings.rating_dimensions),
        points=settings.rating_points,
        items=settings.rating_items,
        sheets=settings.rating_sheets,
        labels=labels,
        seed=seed,
    )
    return build_sheets(prompts, answers, options)


def output_problems(evaluation: EvaluationSettings) -> list[str]:
    """Return what is wrong with where a job without a test set writes, and with the draws behind its intervals."""
    problems = output_dir_problems(evaluation.output_dir)
    if evaluation.bootstrap_samples < 1:
        problems.append(
            _("--bootstrap_samples {bootstrap_samples}: must be at least 1").format(
                bootstrap_samples=evaluation.bootstrap_samples
            )
        )
    return problems


def decoding_without_effect(decoding: DecodingSettings) -> list[str]:
    """Refuse settings of decoding, all but the seed, where no model of this machine writes."""
    if dataclasses.replace(decoding, seed=DecodingSettings().seed) == DecodingSettings():
        return []
    return [_("no model is loaded, so decoding settings have no effect; leave them out")]


def report_ratings(
    evaluation: EvaluationSettings,
    settings: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
    device: DeviceSettings,
) -> RatingResults:
    """Analyse ratings without evaluating anything: write `ratings.json` and both reports, print the summary.

    The automatic figures are those that the evaluation left beside the key.

    Raises:
        UserError: settings of an evaluation without a test file, or files that cannot be used.
    """
    problems = rating_problems(settings)
    counting = {"output_dir": evaluation.output_dir, "bootstrap_samples": evaluation.bootstrap_samples}
    is_evaluation = dataclasses.replace(EvaluationSettings(), **counting) != evaluation  # type: ignore[arg-type]
    only_agreement = dataclasses.replace(JudgeSettings(), judge_agreement=judging.judge_agreement)
    is_served = judging != only_agreement or served != ServedSettings()
    if is_evaluation or settings.rating_sheet or is_served or device != DeviceSettings():
        problems.append(_("no test file: give --test_file FILE to evaluate, or --ratings alone with --rating_key"))
    problems += decoding_without_effect(decoding) + output_problems(evaluation)
    if problems:
        raise UserError(problems)
    read = read_rating_files(settings)
    assert read is not None
    kept = read_line_figures(settings.rating_key)
    samples, least = evaluation.bootstrap_samples, judging.judge_agreement
    figures = kept.figures if kept else None
    results = rating_results(settings, read, samples, decoding.seed, None, figures, least)
    if kept is None:
        results["notes"].append(
            _(
                "not compared with automatic figures: no {file} lies beside the key; evaluate again with --test_file, "
                "--predictions and --ratings"
            ).format(file=FIGURES_NAME)
        )
    write_ratings_report(Path(evaluation.output_dir), results, kept.descriptions if kept else ())
    return results


def write_ratings_report(directory: Path, results: RatingResults, descriptions: Sequence[Description] = ()) -> None:
    """Write `ratings.json`, `ratings.md` and `ratings.html`, and print the summary.

    Args:
        descriptions: definitions of the automatic figures that the ratings were compared with.
    """
    make_directory(directory)
    write_text(directory / "ratings.json", json.dumps(results, ensure_ascii=False, indent=2) + "\n")
    shown = rating_tables(results, descriptions)
    write_text(directory / "ratings.md", render("ratings.md", ratings=shown))
    plots = rating_plots(results, descriptions)
    write_text(directory / "ratings.html", render("ratings.html", ratings=shown, rating_plots=plots))
    print(rating_summary(results))
    files = "ratings.json, ratings.md, ratings.html"
    print(_("written to {directory}: {files}").format(directory=directory, files=files))
