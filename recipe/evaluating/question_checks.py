"""What is wrong with a run over questions, said at once and before anything is answered."""

from __future__ import annotations

import dataclasses

from recipe.errors import UserError
from recipe.evaluating.exporting import HELM, export_problems
from recipe.evaluating.judged import is_judged, judge_problems
from recipe.evaluating.rated import decoding_without_effect, output_problems
from recipe.evaluating.served import endpoint_problems
from recipe.evaluating.testset import refuse_missing
from recipe.generating.values import check_settings as check_decoding
from recipe.language import _, enumerated
from recipe.rating.calls import call_problems
from recipe.settings import (
    DecodingSettings,
    EvaluationSettings,
    JudgeSettings,
    QuestionSettings,
    RatingSettings,
    ServedSettings,
)

# Settings of an evaluation that a run over questions takes too.
_SHARED = ("model_name_or_path", "output_dir", "bootstrap_samples", "export")


def question_problems(
    evaluation: EvaluationSettings,
    settings: QuestionSettings,
    rating: RatingSettings,
    judging: JudgeSettings,
    served: ServedSettings,
    decoding: DecodingSettings,
) -> list[str]:
    """Return what is wrong with the settings and with the names of the files."""
    if settings.questions is None:
        return [_("--answers, --compared_answers, --facts and --max_questions go with --questions FILE")]
    problems = []
    shared = {name: getattr(evaluation, name) for name in _SHARED}
    if dataclasses.replace(EvaluationSettings(), **shared) != evaluation:
        problems.append(
            _("with --questions no couplets are evaluated; of that job's settings only {listed} apply").format(
                listed=_listed()
            )
        )
    if rating != RatingSettings():
        problems.append(
            _("ratings and sheets are of couplets and dialogues; leave their settings out with --questions")
        )
    problems += output_problems(evaluation)
    given = [settings.questions, settings.answers, settings.compared_answers, *settings.facts]
    named = [file for file in given if file]
    problems += export_problems(evaluation, named)
    if HELM in evaluation.export:
        problems.append(_("--export helm takes questions with options to choose from; those of --questions have none"))
    if settings.max_questions is not None and settings.max_questions < 1:
        problems.append(
            _("--max_questions {max_questions}: must be at least 1").format(max_questions=settings.max_questions)
        )
    if settings.answers and (evaluation.model_name_or_path or served.endpoint):
        problems.append(_("--answers, --model_name_or_path and --endpoint each say what to judge; give one of them"))
    if settings.answers or served.endpoint:
        problems += decoding_without_effect(decoding)
    else:
        try:
            check_decoding(dataclasses.replace(decoding, continue_freely=True), ())
        except UserError as error:
            problems += error.problems
    if (settings.facts or settings.compared_answers) and not is_judged(judging):
        problems.append(
            _("--facts and --compared_answers are for judges: give --judge_endpoint URL --judge_model NAME")
        )
    if judging.judge_reference:
        problems.append(_("--judge_reference is of couplets; references in a file of questions are always shown"))
    problems += judge_problems(judging, served) + endpoint_problems(evaluation, served)
    problems += call_problems(served, served.endpoint is not None or is_judged(judging))
    try:
        refuse_missing(named)
    except UserError as error:
        problems += error.problems
    return problems


def _listed() -> str:
    return enumerated(f"--{name}" for name in _SHARED)
