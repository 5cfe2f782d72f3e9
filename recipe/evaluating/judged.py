"""Served models as judges of an evaluation: between the settings, `recipe.rating` and the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipe.errors import UserError
from recipe.evaluating.rated import ReadRatings
from recipe.files import make_directory
from recipe.language import _
from recipe.rating.calls import announce, chat_with, price_of, price_problems
from recipe.rating.chat import Chat
from recipe.rating.dimensions import chosen_dimensions
from recipe.rating.judge import Judge, JudgeOptions, judges_from
from recipe.rating.keys import write_key
from recipe.rating.ratings import Rating, write_ratings
from recipe.rating.sheets import SheetSet
from recipe.settings import JudgeSettings, RatingSettings, ServedSettings

JUDGE_RATINGS, JUDGE_KEY = "judge_ratings.jsonl", "judge_key.json"


def is_judged(settings: JudgeSettings) -> bool:
    """Whether judges are asked for."""
    return bool(settings.judge_endpoint or settings.judge_model)


def judge_problems(settings: JudgeSettings, served: ServedSettings) -> list[str]:
    """Return what is wrong with the settings of judges."""
    if not is_judged(settings):
        if settings == dataclasses.replace(JudgeSettings(), judge_agreement=settings.judge_agreement):
            return []
        return [_("judge settings have no effect without --judge_endpoint URL --judge_model NAME; give both")]
    problems = []
    for name in ("judge_limit", "judge_max_tokens"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            problems.append(_("--{name} {value}: must be at least 1").format(name=name, value=value))
    problems += price_problems("--judge_price", settings.judge_price)
    if not -1 <= settings.judge_agreement <= 1:
        problems.append(
            _("--judge_agreement {judge_agreement}: a kappa lies between -1 and 1").format(
                judge_agreement=settings.judge_agreement
            )
        )
    if problems:
        return problems
    if not settings.judge_endpoint:
        return [_("--judge_model needs the address of its server: --judge_endpoint URL")]
    try:
        made_judges(settings, served, {})
    except UserError as error:
        problems += error.problems
    return problems


def scale_problems(settings: RatingSettings, read: ReadRatings | None) -> list[str]:
    """Return where ratings that were read are on another scale than those that the judges will give."""
    if read is None or settings.rating_kind == "pair":
        return []
    asked = chosen_dimensions("--rating_dimensions", settings.rating_dimensions)
    other = {
        (rating.dimension, rating.points)
        for rating in read.files.ratings
        if rating.kind == "absolute" and rating.dimension in asked and rating.points != settings.rating_points
    }
    return [
        _(
            "{dimension} is rated from 1 to {points} in the files of --ratings, and judges are asked for 1 to "
            "{wanted}; give --rating_points {points}, or analyse those ratings by themselves"
        ).format(dimension=dimension, points=points, wanted=settings.rating_points)
        for dimension, points in sorted(other)
    ]


def made_judges(settings: JudgeSettings, served: ServedSettings, references: Mapping[str, str]) -> list[Judge]:
    """Return the judges that the settings name, with their calls cached.

    Args:
        references: prompt → a known good answer; shown if the settings say so.

    Raises:
        UserError: addresses that are none, or do not go together with the models; the client is not installed.
    """

    def make(url: str, model: str, variable: str) -> Chat:
        return chat_with(served, url, model, variable, settings.judge_limit)

    options = JudgeOptions(
        settings.judge_language,
        references if settings.judge_reference else {},
        settings.judge_max_tokens,
        price_of(settings.judge_price),
    )
    return judges_from(settings.judge_endpoint, settings.judge_model, make, options)


def judge_sheets(
    settings: JudgeSettings, served: ServedSettings, made: SheetSet, references: Mapping[str, str], directory: Path
) -> tuple[list[Rating], list[dict[str, Any]]]:
    """Have every judge rate the entries of the sheets; say before what it costs, and keep the ratings as files.

    Returns:
        The ratings of all judges, and what each did (`JudgeReport` in plain types).

    Raises:
        UserError: as `Chat.ask_all`; what was answered is in the cache.
    """
    ratings: list[Rating] = []
    reports = []
    for judge in made_judges(settings, served, references):
        timed = announce(judge.chat, judge.requests(made), judge.options.price)
        found, report = judge.rate(made)
        report.paid += timed
        ratings += found
        reports.append(dataclasses.asdict(report))
    make_directory(directory)
    write_ratings(directory / JUDGE_RATINGS, ratings)
    write_key(directory / JUDGE_KEY, made.key)
    return ratings, reports


def judge_notes(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a reader has to know of the judges' answers: what is missing, and why."""
    notes = []
    for report in reports:
        judge = report["judge"]
        if report["left"]:
            notes.append(
                _("{judge}: {count:,} questions were not asked because of --judge_limit").format(
                    judge=judge, count=report["left"]
                )
            )
        if report["unreadable"]:
            notes.append(
                _("{judge}: {count:,} questions got no readable answer after three tries").format(
                    judge=judge, count=report["unreadable"]
                )
            )
        if report["refused"]:
            notes.append(
                _("{judge}: the server refused {count:,} questions (the first: {first})").format(
                    judge=judge, count=len(report["refused"]), first=report["refused"][0]
                )
            )
    return notes
