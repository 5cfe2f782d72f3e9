"""Answers to questions judged as MT-Bench and AlpacaEval define it: one score from 1 to 10, or two answers compared.

Zheng et al. 2023 (MT-Bench): each turn is judged with the turns before it as context; in pairs the order is swapped and
a verdict that changes with it is a tie. Dubois et al. 2024 (AlpacaEval): the preference for the model over a baseline.
The wording of the prompts is this project's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recipe.rating.chat import Chat, Request
from recipe.rating.judge import JudgeReport, ask_until_readable
from recipe.rating.judge_prompts import (
    filled,
    prompt_hash,
    prompt_text,
    quoted,
    rating_in,
    rating_schema,
    winner_in,
    winner_schema,
)
from recipe.rating.questions import ModelAnswers, Question

SCORE_POINTS = 10
_SECOND_SHOWN_FIRST = {"A": "B", "B": "A"}


class Turn(NamedTuple):
    """The name of a question and the number of a turn, from 1."""

    question: str
    number: int


class Verdict(NamedTuple):
    """What a judge was asked and what it answered."""

    prompt: str
    text: str
    value: int | str


@dataclass(frozen=True)
class Duel:
    """Two verdicts on one pair of answers, each "A" where the first model's is better, "B", or "tie".

    Attributes:
        shown: the first model's answer shown first.
        turned: shown second; the verdict is already turned back.
    """

    shown: Verdict
    turned: Verdict

    @property
    def winner(self) -> str:
        """The winner if both orders agree, else "tie"."""
        return str(self.shown.value) if self.shown.value == self.turned.value else "tie"


class QuestionJudge:
    """A model that judges answers to questions."""

    def __init__(
        self,
        chat: Chat,
        language: str,
        max_tokens: int,
        announce: Callable[[Chat, Sequence[Request]], int],
    ) -> None:
        """`announce` is told the requests before they are made, and returns how many calls it paid."""
        self.chat, self.language, self.max_tokens, self.announce = chat, language, max_tokens, announce
        self.report = JudgeReport(chat.name, chat.endpoint.public_url, language)

    def scores(self, questions: Sequence[Question], answers: ModelAnswers) -> dict[Turn, Verdict]:
        """Return a score from 1 to 10 for each turn; turns without a readable answer are left out."""
        requests = {
            Turn(question.name, number): self._request(
                "single",
                rating_schema(SCORE_POINTS),
                turns=_conversation(question, answers, number),
                reference=self._reference(question, number),
            )
            for question in questions
            for number in range(1, len(question.turns) + 1)
        }
        return self._ask("single", requests, lambda text: rating_in(text, SCORE_POINTS))

    def duels(self, questions: Sequence[Question], first: ModelAnswers, second: ModelAnswers) -> dict[Turn, Duel]:
        """Return both verdicts on each turn; turns without two readable ones are left out."""
        requests = {}
        for question in questions:
            for number in range(1, len(question.turns) + 1):
                turns = [_conversation(question, answers, number) for answers in (first, second)]
                for is_turned in (False, True):
                    shown = turns[::-1] if is_turned else turns
                    requests[Turn(question.name, number), is_turned] = self._request(
                        "duel",
                        winner_schema(("A", "B", "tie")),
                        turns=shown[0],
                        other_turns=shown[1],
                        reference=self._reference(question, number),
                    )
        found = self._ask("duel", requests, _winner)
        return {
            turn: Duel(found[turn, False], _turned_back(found[turn, True]))
            for turn, is_turned in found
            if not is_turned and (turn, True) in found
        }

    def _request(self, name: str, schema: str, **values: str) -> Request:
        return Request((("user", filled(name, self.language, **values)),), self.max_tokens, schema=schema)

    def _reference(self, question: Question, number: int) -> str:
        known = question.references[number - 1] if number <= len(question.references) else ""
        return filled("reference", self.language, reference=quoted(known)) if known else ""

    def _ask(self, name: str, requests: Mapping, read: Callable[[str], int | str | None]) -> dict:
        """Return name → `Verdict` of the requests that got a readable answer."""
        self.report.prompts |= {file: prompt_hash(file, self.language) for file in (name, "again")}
        self.report.asked += len(requests)
        self.report.paid += self.announce(self.chat, list(requests.values()))

        def with_text(text: str) -> tuple[int | str, str] | None:
            value = read(text)
            return None if value is None else (value, text)

        found = ask_until_readable(self.chat, requests, with_text, self.report, prompt_text("again", self.language))
        return {key: Verdict(requests[key].messages[0][1], text, value) for key, (value, text) in found.items()}


def _conversation(question: Question, answers: ModelAnswers, number: int) -> str:
    """Return the turns up to one of them with the model's answers, as JSON."""
    turns = []
    for user, assistant in zip(question.turns[:number], answers.turns[question.name][:number], strict=True):
        turns += [{"user": user}, {"assistant": assistant}]
    return json.dumps(turns, ensure_ascii=False, indent=1)


def _winner(text: str) -> str | None:
    """Return the winner that an answer names; one that finds both bad prefers none."""
    winner = winner_in(text)
    return "tie" if winner == "both_bad" else winner


def _turned_back(verdict: Verdict) -> Verdict:
    return verdict._replace(value=_SECOND_SHOWN_FIRST.get(str(verdict.value), verdict.value))
