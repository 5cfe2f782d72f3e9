"""`--export`: the answers of a run in the public shapes of AlpacaEval, MT-Bench and HELM, for tools that read those.

Each shape has a directory of its own below the output directory:

alpaca/     model_outputs.json, reference_outputs.json, baseline_outputs.json
mt-bench/   question.jsonl, model_answer/NAME.jsonl for each system
helm/       instances.jsonl: which of these is the known lower line?
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from recipe.errors import notice
from recipe.evaluating.results import BASELINE, CHANCE, MODEL, REFERENCES
from recipe.evaluating.scoring import System
from recipe.evaluating.testset import TestSet
from recipe.files import output_dir_problems
from recipe.language import _, enumerated, ngettext
from recipe.rating import helm
from recipe.rating.judge_prompts import filled
from recipe.rating.questions import (
    ALPACA_EVAL,
    ANSWERS_DIRECTORY,
    MT_BENCH,
    ModelAnswers,
    Question,
    QuestionFile,
    file_name,
    write_answers,
    write_questions,
)
from recipe.settings import EXPORTS, EvaluationSettings

ALPACA, MT, HELM = EXPORTS
CATEGORY = "couplet"  # of every question: MT-Bench's `category`, AlpacaEval's `dataset`
# The files of AlpacaEval, by whose answers they hold.
_OUTPUTS = {
    MODEL: "model_outputs.json",
    REFERENCES: "reference_outputs.json",
    BASELINE: "baseline_outputs.json",
}


def export_problems(settings: EvaluationSettings, files: Iterable[str]) -> list[str]:
    """Return which of the files that a run reads stand where it is to write an export, and where it cannot write."""
    problems = []
    for kind in dict.fromkeys(settings.export):
        directory = (Path(settings.output_dir) / kind).resolve()
        if directory.exists():  # else the output directory decides, which is looked at with or without an export
            problems += output_dir_problems(str(directory / ANSWERS_DIRECTORY if kind == MT else directory))
        problems += [
            _("--export {kind}: {file} stands where the export is written; name another --output_dir").format(
                kind=kind, file=file
            )
            for file in files
            if Path(file).resolve().is_relative_to(directory)
        ]
    return problems


def turns_problems(settings: EvaluationSettings, asked: QuestionFile) -> list[str]:
    """Refuse an export of several turns to AlpacaEval, whose questions have one."""
    longer = [question.name for question in asked.questions if len(question.turns) > 1]
    if ALPACA not in settings.export or not longer:
        return []
    return [
        _(
            "--export alpaca: AlpacaEval's questions have one turn, but question {name} has several; name mt-bench "
            "alone"
        ).format(name=longer[0])
    ]


def export_answers(
    settings: EvaluationSettings, questions: Sequence[Question], answers: Mapping[str, ModelAnswers]
) -> list[Path]:
    """Write questions and their answers in every shape of `--export` that takes them.

    Args:
        answers: `MODEL`, `REFERENCES` or `BASELINE` → the answers to all questions.

    Returns:
        The files.
    """
    directory, written = Path(settings.output_dir), []
    if ALPACA in settings.export:
        asked = QuestionFile(ALPACA_EVAL, list(questions))
        for role, found in answers.items():
            written.append(write_answers(directory / ALPACA, asked, found, 0, _OUTPUTS[role]))
    if MT in settings.export:
        asked = QuestionFile(MT_BENCH, [_of_mt_bench(question, n) for n, question in enumerate(questions, start=1)])
        written.append(write_questions(directory / MT, asked))
        now = round(time.time(), 3)
        for found in _named_apart(answers.values()):
            written.append(write_answers(directory / MT, asked, found, now))
    return written


def _of_mt_bench(question: Question, number: int) -> Question:
    """Return a question whose `source` has the keys of MT-Bench."""
    if {"question_id", "turns"} <= question.source.keys():
        return question
    source = {"question_id": number, "category": question.category, "turns": list(question.turns)}
    return dataclasses.replace(question, source=source)


def _named_apart(answers: Iterable[ModelAnswers]) -> list[ModelAnswers]:
    """Return answers whose models have different files: the names of these are what MT-Bench calls the models."""
    found: dict[str, ModelAnswers] = {}
    for model in answers:
        name, number = model.model, 1
        while file_name(name) in found:
            number += 1
            name = f"{model.model}-{number}"
        found[file_name(name)] = dataclasses.replace(model, model=name)
    return list(found.values())


def export_couplets(
    settings: EvaluationSettings, test_set: TestSet, systems: Mapping[str, System], template: str, seed: int
) -> None:
    """Write the lower lines of an evaluation, of several runs those of the first, and print which files there are.

    Args:
        template: what the systems are said to be asked, with `$upper` in place of the upper line.
        seed: of the order of HELM's options.
    """
    if not settings.export:
        return
    questions = []
    for number, (upper, known) in enumerate(zip(test_set.uppers, test_set.references, strict=True), start=1):
        turns, references = (Template(template).safe_substitute(upper=upper).strip(),), (known[0],)
        source = {"question_id": number, "category": CATEGORY, "turns": turns, "reference": references}
        questions.append(Question(str(number), turns, CATEGORY, references, source))
    answers = {
        role: ModelAnswers(
            systems[role].name,
            {question.name: (line,) for question, line in zip(questions, systems[role].runs[0], strict=True)},
        )
        for role in _OUTPUTS
        if role in systems
    }
    written = export_answers(settings, questions, answers)
    if HELM in settings.export:
        written += _write_choices(settings, test_set, systems, seed)
    print_exported(written)


def print_exported(files: Sequence[Path]) -> None:
    """Print which files there are for other tools."""
    if files:
        print(_("written for other tools: {files}").format(files=enumerated(map(str, files))))


def _write_choices(
    settings: EvaluationSettings, test_set: TestSet, systems: Mapping[str, System], seed: int
) -> list[Path]:
    """Write, for each upper line, the question which of the systems' lower lines is the known one."""
    generator = random.Random(seed)
    questions = []
    for number, (upper, known) in enumerate(zip(test_set.uppers, test_set.references, strict=True)):
        lines = {known[0]: (helm.CORRECT, REFERENCES)}
        for role in (MODEL, BASELINE, CHANCE):
            line = systems[role].runs[0][number] if role in systems else ""
            if line and line not in known:
                lines[line] = (*lines.get(line, ()), role)
        options = [helm.Option(line, tags) for line, tags in lines.items()]
        generator.shuffle(options)
        if len(options) > 1:
            questions.append((filled("choice", "zh", upper=upper).strip(), options))
    if left_out := len(test_set.uppers) - len(questions):
        notice(
            ngettext(
                "--export helm: {count:,} upper line is left out, to which every system gives a known lower line",
                "--export helm: {count:,} upper lines are left out, to which every system gives a known lower line",
                left_out,
            ).format(count=left_out)
        )
    return [helm.write_instances(Path(settings.output_dir), questions)] if questions else []
