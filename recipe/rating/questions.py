"""The public files of MT-Bench and AlpacaEval: questions, answers and verdicts, read and written in their shapes.

MT-Bench (FastChat): question.jsonl with `question_id`, `category`, `turns`, perhaps `reference`; answers a line each
with `model_id` and `choices[0].turns`; verdicts with `score` or with `g1_winner` and `g2_winner`.
AlpacaEval: JSON lists of objects with `instruction`, `output`, `generator`; verdicts with `preference` from 1 (the
first output is better) to 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.errors import UserError
from recipe.files import atomic_open, write_text
from recipe.language import _
from recipe.text_files import read_utf8, text_lines

MT_BENCH, ALPACA_EVAL = "mt_bench", "alpaca_eval"
ANSWERS_DIRECTORY = "model_answer"
_LONGEST_NAME = 200  # bytes of a file's name, which gets an ending, and for a moment a process's number


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        name: its id in the file; of AlpacaEval the number of the object from 0.
        turns: what the user says, in order; a single turn in AlpacaEval.
        references: known good answers to the turns, empty where there are none.
        source: the object of the file, whose other keys are written back.
    """

    name: str
    turns: tuple[str, ...]
    category: str
    references: tuple[str, ...]
    source: Mapping[str, Any]


@dataclass(frozen=True)
class QuestionFile:
    """A file of questions; `kind` is `MT_BENCH` or `ALPACA_EVAL`."""

    kind: str
    questions: list[Question]


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of one model: name of a question → its answer to each turn."""

    model: str
    turns: dict[str, tuple[str, ...]]


def read_questions(file: str) -> QuestionFile:
    """Read a file of questions in either shape, told apart by what it holds.

    Raises:
        UserError: a file that cannot be read, or a row that is no question, with its number.
    """
    kind, records = _records(file, "--questions")
    read = _mt_bench_question if kind == MT_BENCH else _alpaca_question
    questions = []
    for number, record in enumerate(records):
        try:
            questions.append(read(number, record))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                _("--questions {file}, row {number}: is no question ({error})").format(
                    file=file, number=number + 1, error=_said(error)
                )
            ) from None
    names = [question.name for question in questions]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            _("--questions {file}: the question_id {doubled} comes twice").format(file=file, doubled=doubled)
        )
    return QuestionFile(kind, questions)


def _mt_bench_question(number: int, record: Mapping[str, Any]) -> Question:
    references = record.get("reference") or []
    turns = _texts(record["turns"])
    if not turns:
        raise ValueError(_("it has no turn"))
    return Question(str(record["question_id"]), turns, str(record.get("category", "")), _texts(references), record)


def _alpaca_question(number: int, record: Mapping[str, Any]) -> Question:
    return Question(str(number), _texts([record["instruction"]]), str(record.get("dataset", "")), (), record)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(_("{value!r} is no list of texts").format(value=str(value)[:40]))
    if any("\ud800" <= char <= "\udfff" for text in value for char in text):
        raise ValueError(_("it holds half of a character; the file was damaged on its way"))
    return tuple(value)


def _said(error: Exception) -> str:
    return _("it lacks the key {error}").format(error=error) if isinstance(error, KeyError) else str(error)


def _records(file: str, setting: str) -> tuple[str, list[Any]]:
    """Return the kind of a file and its objects: a JSON list is AlpacaEval's, JSON Lines are MT-Bench's."""
    try:
        text = read_utf8(file)
        if text.lstrip().startswith("["):
            kind, records = ALPACA_EVAL, json.loads(text)
        else:
            kind, records = MT_BENCH, [json.loads(line) for line in text_lines(text) if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UserError(
            _(
                "{setting} {file}: cannot be read ({error}); it takes JSON Lines of MT-Bench, or a JSON list of "
                "AlpacaEval"
            ).format(setting=setting, file=file, error=error)
        ) from None
    if not records:
        raise UserError(_("{setting} {file}: holds nothing").format(setting=setting, file=file))
    return kind, records


def read_answers(setting: str, file: str, asked: QuestionFile) -> ModelAnswers:
    """Read the answers of one model to questions, in the shape of the questions' own benchmark.

    AlpacaEval's are matched by instruction, MT-Bench's by question_id; answers to other questions are left aside.

    Raises:
        UserError: a file of another shape, or one that lacks an answer.
    """
    kind, records = _records(file, setting)
    if kind != asked.kind:
        raise UserError(
            _("{setting} {file}: holds answers of {kind}, but the questions are of {asked}").format(
                setting=setting, file=file, kind=kind, asked=asked.kind
            )
        )
    found: dict[Any, tuple[str, ...]] = {}
    model = Path(file).stem
    for number, record in enumerate(records, start=1):
        try:
            if kind == MT_BENCH:
                found[str(record["question_id"])] = _texts(record["choices"][0]["turns"])
                model = str(record.get("model_id", model))
            else:
                found[record["instruction"]] = _texts([record["output"]])
                model = str(record.get("generator", model))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                _("{setting} {file}, row {number}: is no answer ({error})").format(
                    setting=setting, file=file, number=number, error=_said(error)
                )
            ) from None
    turns = {question.name: found.get(_key(asked.kind, question), ()) for question in asked.questions}
    lacking = [question.name for question in asked.questions if len(turns[question.name]) < len(question.turns)]
    if lacking:
        raise UserError(
            _("{setting} {file}: lacks answers to {count:,} questions, {first} for one").format(
                setting=setting, file=file, count=len(lacking), first=lacking[0]
            )
        )
    return ModelAnswers(model, turns)


def _key(kind: str, question: Question) -> str:
    return question.name if kind == MT_BENCH else question.turns[0]


def own_outputs(asked: QuestionFile) -> ModelAnswers | None:
    """Return the outputs that stand beside the instructions of AlpacaEval, its baseline; None where some lack."""
    if asked.kind != ALPACA_EVAL or not all(isinstance(q.source.get("output"), str) for q in asked.questions):
        return None
    model = str(asked.questions[0].source.get("generator", "baseline"))
    return ModelAnswers(model, {question.name: (question.source["output"],) for question in asked.questions})


def write_questions(directory: Path, asked: QuestionFile) -> Path:
    """Write the questions of MT-Bench; returns the file."""
    return _write_lines(directory / "question.jsonl", [question.source for question in asked.questions])


def write_answers(
    directory: Path, asked: QuestionFile, answers: ModelAnswers, time: float, outputs: str = "model_outputs.json"
) -> Path:
    """Write a model's answers in the shape of the benchmark; returns the file.

    Args:
        time: in seconds since 1970, which MT-Bench keeps.
        outputs: name of the file of AlpacaEval; that of MT-Bench is called after the model.
    """
    if asked.kind == ALPACA_EVAL:
        rows = [
            {
                "dataset": question.category,
                "instruction": question.turns[0],
                "output": answers.turns[question.name][0],
                "generator": answers.model,
            }
            for question in asked.questions
        ]
        return _write_list(directory / outputs, rows)
    lines = [
        {
            "question_id": question.source["question_id"],
            "answer_id": hashlib.sha256("\n".join((answers.model, *answers.turns[question.name])).encode()).hexdigest()[
                :22
            ],
            "model_id": answers.model,
            "choices": [{"index": 0, "turns": list(answers.turns[question.name])}],
            "tstamp": time,
        }
        for question in asked.questions
    ]
    return _write_lines(directory / ANSWERS_DIRECTORY / f"{file_name(answers.model)}.jsonl", lines)


def write_scores(directory: Path, judge: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write MT-Bench's verdicts on single answers."""
    return _write_lines(directory / f"model_judgment/{file_name(judge)}_single.jsonl", rows)


def write_pairs(directory: Path, judge: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write MT-Bench's verdicts on pairs of answers."""
    return _write_lines(directory / f"model_judgment/{file_name(judge)}_pair.jsonl", rows)


def write_annotations(directory: Path, judge: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write AlpacaEval's verdicts."""
    return _write_list(directory / f"{file_name(judge)}/annotations.json", rows)


def file_name(model: str) -> str:
    """Return a model's name as the name of a file; file systems take 255 bytes, so a longer one ends in its hash."""
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in model).lstrip(".") or "model"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"{name[:30]}-{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def _write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    with atomic_open(file) as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return file


def _write_list(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    write_text(file, json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
    return file
