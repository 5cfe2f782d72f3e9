"""A user's own multiple-choice questions: JSON Lines, a question, its options and the right one in each line. Plain."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.language import _
from recipe.rating.helm import CORRECT, Option
from recipe.text_files import read_utf8, rows_file_problem, text_lines

LETTERS = string.ascii_uppercase
_MOST_PROBLEMS = 10


class Question(NamedTuple):
    """A question; `key` is the number of the right option."""

    question: str
    options: tuple[str, ...]
    key: int

    @property
    def prompt(self) -> str:
        """The question with lettered options, in the layout of C-Eval."""
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return "\n".join([self.question, *lines, "答案："])


def read_questions(file: str) -> list[Question]:
    """Return the questions of a file.

    Raises:
        UserError: a file that cannot be read, or every line that holds no question, with what is expected.
    """
    problem = rows_file_problem(file)
    if problem:
        raise UserError(f"--mcq_file {problem}")
    questions, problems = [], []
    for number, line in enumerate(text_lines(read_utf8(file)), start=1):
        if line.strip():
            try:
                questions.append(question_of(line))
            except ValueError as error:
                problems.append(
                    _("--mcq_file {file}, line {number}: {error}").format(file=file, number=number, error=error)
                )
    if not questions and not problems:
        problems.append(_("--mcq_file {file}: holds no question; it takes one JSON object a line").format(file=file))
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [
            _("--mcq_file {file}: {count} more such lines").format(file=file, count=len(problems) - _MOST_PROBLEMS)
        ]
    if problems:
        raise UserError(problems)
    return questions


def of_helm(questions: Iterable[Question]) -> Iterator[tuple[str, list[Option]]]:
    """Yield each question with its options as HELM takes them."""
    for question in questions:
        tags = [(CORRECT,) if place == question.key else () for place in range(len(question.options))]
        yield question.question, list(map(Option, question.options, tags))


def question_of(line: str) -> Question:
    """Return the question of a line.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(_('is no JSON; expected {"question": "…", "choices": ["…", "…"], "answer": "A"}')) from None
    if not isinstance(row, dict):
        raise ValueError(_("expected a JSON object, found {kind}").format(kind=type(row).__name__))
    question = row.get("question", row.get("Question"))
    if not isinstance(question, str) or not question.strip():
        raise ValueError(_('has no text under "question"'))
    options = _options(row)
    return Question(question.strip(), options, _key(row.get("answer", row.get("Answer")), options))


def _options(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the options: a list under `choices` or `options`, or a column for each letter."""
    found = row.get("choices", row.get("options"))
    if found is None:
        found = [row[letter] for letter in LETTERS if letter in row]
    if isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, list) or not 2 <= len(found) <= len(LETTERS):
        raise ValueError(_('needs from 2 to 26 options, as a list under "choices" or under "A", "B" …'))
    options = tuple(str(option).strip() if isinstance(option, (str, int, float)) else "" for option in found)
    if not all(options):
        raise ValueError(_("option {letter} is no text").format(letter=LETTERS[options.index("")]))
    if len(set(options)) < len(options):
        raise ValueError(_("two options are the same"))
    return options


def _key(answer: Any, options: tuple[str, ...]) -> int:
    """Return the number of the right option, which is given by letter, by number from 0, or by its text."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        return answer
    if isinstance(answer, str) and answer.strip() in options:
        return options.index(answer.strip())
    letter = answer.strip().upper() if isinstance(answer, str) else ""
    if len(letter) == 1 and letter in LETTERS[: len(options)]:
        return LETTERS.index(letter)
    raise ValueError(
        _('"answer" {answer!r} is none of its options; it takes a letter, a number from 0, or the text').format(
            answer=answer
        )
    )
