"""Dialogues rated as wholes, by people and by judges: one file a system, a dialogue a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipe.errors import UserError
from recipe.evaluating.judged import (
    JUDGE_KEY,
    JUDGE_RATINGS,
    is_judged,
    judge_notes,
    judge_problems,
    judge_sheets,
    scale_problems,
)
from recipe.evaluating.rated import (
    Judged,
    decoding_without_effect,
    made_sheets,
    output_problems,
    rating_problems,
    rating_results,
    read_rating_files,
    write_ratings_report,
)
from recipe.evaluating.results import RatingResults
from recipe.files import make_directory
from recipe.language import _, enumerated
from recipe.rating.calls import call_problems
from recipe.rating.dimensions import DIALOGUE_DIMENSIONS
from recipe.rating.evidence import gather
from recipe.rating.sheet_files import write_sheets
from recipe.settings import (
    DecodingSettings,
    EvaluationSettings,
    JudgeSettings,
    RatingSettings,
    ServedSettings,
)
from recipe.text_files import read_utf8, text_lines

LABELS = {"zh": ("编号", "对话"), "en": ("Number", "Dialogue")}
_ROLES = {"user": "用户", "human": "用户", "assistant": "助手", "gpt": "助手", "system": "系统"}


def read_dialogues(files: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the numbers of the dialogues, and system (the file's name without its ending) → its dialogues as text.

    A line is an object with `turns` or `messages` (and perhaps `id`): texts, user and assistant in turn, or objects
    with `role` and `content`. Every file has the same ids, or without ids the same number of lines.

    Raises:
        UserError: files that cannot be read, a line that is no dialogue, files that do not go together.
    """
    systems: dict[str, dict[str, str]] = {}
    for file in files:
        name = Path(file).stem
        if name in systems:
            raise UserError(
                _("--dialogues: two files are called {name}; the name stands for the system").format(name=name)
            )
        systems[name] = _dialogues_of(file)
    first = next(iter(systems.values()))
    for name, found in systems.items():
        if found.keys() != first.keys():
            raise UserError(
                _("--dialogues: {name} holds other dialogues than the first file, by their ids or number").format(
                    name=name
                )
            )
    return list(first), {name: [found[number] for number in first] for name, found in systems.items()}


def _dialogues_of(file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text_lines(read_utf8(file)), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name = str(record.get("id", number))
            text = _as_text(record.get("turns", record.get("messages")))
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                _("--dialogues {file}, row {number}: is no dialogue ({error})").format(
                    file=file, number=number, error=error
                )
            ) from None
        if name in found:
            raise UserError(
                _("--dialogues {file}, row {number}: the id {name} comes twice").format(
                    file=file, number=number, name=name
                )
            )
        found[name] = text
    if not found:
        raise UserError(_("--dialogues {file}: holds no dialogue").format(file=file))
    return found


def _as_text(turns: Any) -> str:
    if not isinstance(turns, list) or not turns:
        raise ValueError(_("it has no list `turns` or `messages`"))
    lines = []
    for number, turn in enumerate(turns):
        if isinstance(turn, Mapping):
            role, text = str(turn["role"]), turn["content"]
        else:
            role, text = ("user", "assistant")[number % 2], turn
        if not isinstance(text, str) or any("\ud800" <= char <= "\udfff" for char in text):
            raise ValueError(_("{text!r} is no text, or a damaged one").format(text=str(text)[:40]))
        lines.append(f"{_ROLES.get(role, role)}：{text}")
    return "\n".join(lines)


def rate_dialogues(
    evaluation: EvaluationSettings,
    files: Sequence[str],
    rating: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
) -> RatingResults | None:
    """Write sheets of dialogues, have them judged, analyse all ratings; returns None where only sheets are written.

    Raises:
        UserError: everything that is wrong with settings and files, or a judge that cannot be asked.
    """
    if rating.rating_kind == "absolute" and rating.rating_dimensions == RatingSettings().rating_dimensions:
        rating = dataclasses.replace(rating, rating_dimensions=list(DIALOGUE_DIMENSIONS))
    problems = _problems(evaluation, rating, judging, served, decoding)
    if problems:
        raise UserError(problems)
    read = read_rating_files(rating)
    if is_judged(judging) and (problems := scale_problems(rating, read)):
        raise UserError(problems)
    numbers, answers = read_dialogues(files)
    made = made_sheets(rating, decoding.seed, numbers, answers, LABELS)
    if rating.rating_sheet is not None:
        names = write_sheets(rating.rating_sheet, made)
        print(
            _("rating sheets written to {directory}: {files}; keep the key from raters").format(
                directory=rating.rating_sheet, files=enumerated(names)
            )
        )
    judged = None
    directory = Path(evaluation.output_dir)
    if is_judged(judging):
        make_directory(directory)
        ratings, reports = judge_sheets(judging, served, made, {}, directory)
        print(_("written to {directory}: {files}").format(directory=directory, files=f"{JUDGE_RATINGS}, {JUDGE_KEY}"))
        evidence = gather(ratings, {made.key.sheet: made.key})["model"]
        judged = Judged(len(ratings), evidence, reports, {}, judge_notes(reports))
    if read is None and judged is None:
        return None
    samples, least = evaluation.bootstrap_samples, judging.judge_agreement
    results = rating_results(rating, read, samples, decoding.seed, judged, least_agreement=least)
    write_ratings_report(directory, results)
    return results


def _problems(
    evaluation: EvaluationSettings,
    rating: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
) -> list[str]:
    problems = rating_problems(rating, is_judged(judging)) + judge_problems(judging, served)
    problems += call_problems(served, is_judged(judging))
    own = {"output_dir": evaluation.output_dir, "bootstrap_samples": evaluation.bootstrap_samples}
    if dataclasses.replace(EvaluationSettings(), **own) != evaluation or served.endpoint:  # type: ignore[arg-type]
        problems.append(
            _(
                "with --dialogues nothing is generated; of an evaluation's settings only --output_dir and "
                "--bootstrap_samples apply"
            )
        )
    problems += decoding_without_effect(decoding) + output_problems(evaluation)
    if judging.judge_reference:
        problems.append(_("--judge_reference is of couplets; dialogues have no reference"))
    if not (rating.rating_sheet or rating.ratings or is_judged(judging)):
        problems.append(
            _("--dialogues are rated by people or models: give --rating_sheet DIR, --ratings FILE or judges")
        )
    return problems
