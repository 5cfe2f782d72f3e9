"""Models as raters: they fill in the same blind sheets as people, by the same dimensions and anchors.

A pair is asked twice, the second time with the answers swapped. A judge that then says something else was led by the
order: its answer counts as a tie, and how often that happened is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.language import _
from recipe.rating.chat import Chat, Estimate, Outcome, Request
from recipe.rating.dimensions import OVERALL
from recipe.rating.judge_prompts import (
    dimension_list,
    filled,
    prompt_hash,
    prompt_text,
    quoted,
    scores_in,
    scores_schema,
    winner_in,
    winner_schema,
)
from recipe.rating.ratings import Rating
from recipe.rating.sheets import Entry, SheetSet

MOST_ATTEMPTS = 3  # an answer that does not parse is asked for again at most twice
_ANSWER_TOKENS = 512  # the reason takes two sentences; reasoning models need more: see `JudgeOptions.max_tokens`
_SWAPPED = {"A": "B", "B": "A"}


@dataclass(frozen=True)
class JudgeOptions:
    """How a judge is asked.

    Attributes:
        language: language of the prompts, zh or en.
        references: prompt → a known good answer to show; empty judges without.
        max_tokens: longest answer; models that think aloud need some thousands.
        price: price of a million tokens in and of a million out, for the estimate; None says no price.
    """

    language: str = "zh"
    references: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int = _ANSWER_TOKENS
    price: tuple[float, float] | None = None


class Question(NamedTuple):
    """A request about an entry; `swapped` where the second answer is shown first."""

    entry: Entry
    swapped: bool
    request: Request


@dataclass
class JudgeReport:
    """What one judge did.

    Attributes:
        asked: questions; a pair is two.
        malformed: answers that could not be read, among them those that a later attempt put right.
        unreadable: questions without a readable answer after `MOST_ATTEMPTS`.
        refused: questions that the server would not answer → what it said.
        left: questions not asked because of the limit.
        inconsistent: pairs whose verdict changed with the order.
        prompts: prompt file → SHA-256.
    """

    judge: str
    url: str
    language: str
    asked: int = 0
    paid: int = 0
    malformed: int = 0
    unreadable: int = 0
    refused: list[str] = field(default_factory=list)
    left: int = 0
    inconsistent: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompts: dict[str, str] = field(default_factory=dict)


class Judge:
    """One model that rates sheets."""

    def __init__(self, chat: Chat, options: JudgeOptions) -> None:
        self.chat = chat
        self.options = options

    def estimate(self, made: SheetSet) -> Estimate:
        """Return what judging the sheets costs at most if every answer can be read at once."""
        return self.chat.estimate(self.requests(made))

    def requests(self, made: SheetSet) -> list[Request]:
        """Return everything that judging the sheets asks, malformed answers aside."""
        return [question.request for question in self._questions(made)]

    def rate(self, made: SheetSet) -> tuple[list[Rating], JudgeReport]:
        """Return the judge's ratings of a set of sheets.

        Raises:
            UserError: as `Chat.ask_all`; the answers so far are in the cache.
        """
        kind = made.options.kind
        report = JudgeReport(self.chat.name, self.chat.endpoint.public_url, self.options.language)
        report.prompts = {
            name: prompt_hash(name, self.options.language)
            for name in (kind, "again", *(["reference"] if self.options.references else []))
        }
        questions = self._questions(made)
        report.asked = len(questions)
        values = ask_until_readable(
            self.chat,
            {question[:2]: question.request for question in questions},
            winner_in if kind == "pair" else self._scores_reader(made),
            report,
            prompt_text("again", self.options.language),
        )
        entries = made.sheets[0]
        if kind == "pair":
            return self._pair_ratings(entries, values, made.key.sheet, report), report
        return self._absolute_ratings(entries, values, made), report

    def _scores_reader(self, made: SheetSet) -> Callable[[str], dict[str, int] | None]:
        options = made.options
        return lambda answer: scores_in(answer, options.dimensions, options.points)

    def _questions(self, made: SheetSet) -> list[Question]:
        if made.options.kind == "pair":
            return [
                Question(entry, swapped, self._pair_request(entry, swapped, made))
                for entry in made.sheets[0]
                for swapped in (False, True)
            ]
        return [Question(entry, False, self._absolute_request(entry, made)) for entry in made.sheets[0]]

    def _absolute_request(self, entry: Entry, made: SheetSet) -> Request:
        options, language = made.options, self.options.language
        text = filled(
            "absolute",
            language,
            points=str(options.points),
            dimensions=dimension_list(options.dimensions, options.points, language),
            score_keys=", ".join(f'"{key}": 1' for key in options.dimensions),
            answer=quoted(entry.answer),
            **self._shown(entry, made),
        )
        schema = scores_schema(options.dimensions, options.points)
        return Request((("user", text),), self.options.max_tokens, schema=schema)

    def _pair_request(self, entry: Entry, swapped: bool, made: SheetSet) -> Request:
        first, second = (entry.answer, entry.other_answer)[:: -1 if swapped else 1]
        text = filled(
            "pair",
            self.options.language,
            answer=quoted(first),
            other_answer=quoted(second),
            **self._shown(entry, made),
        )
        return Request((("user", text),), self.options.max_tokens, schema=winner_schema())

    def _shown(self, entry: Entry, made: SheetSet) -> dict[str, str]:
        """Return what both kinds of prompt show: the labels, the prompt, and the reference where there is one."""
        language = self.options.language
        prompt_label, answer_label = made.options.labels[language]
        known = self.options.references.get(entry.prompt)
        return {
            "prompt_label": prompt_label,
            "answer_label": answer_label,
            "prompt": quoted(entry.prompt),
            "reference": filled("reference", language, reference=quoted(known)) if known else "",
        }

    def _absolute_ratings(self, entries: Sequence[Entry], values: Mapping[Any, Any], made: SheetSet) -> list[Rating]:
        return [
            Rating(
                "absolute",
                entry.item,
                entry.system,
                self.chat.name,
                dimension,
                value,
                rater_kind="model",
                points=made.options.points,
                sheet=made.key.sheet,
            )
            for entry in entries
            for dimension, value in values.get((entry, False), {}).items()
        ]

    def _pair_ratings(
        self, entries: Sequence[Entry], values: Mapping[Any, str], sheet: str, report: JudgeReport
    ) -> list[Rating]:
        ratings = []
        for entry in entries:
            shown, turned = values.get((entry, False)), values.get((entry, True))
            if shown is None or turned is None:
                continue
            turned = _SWAPPED.get(turned, turned)
            report.inconsistent += shown != turned
            ratings.append(
                Rating(
                    "pair",
                    entry.item,
                    entry.system,
                    self.chat.name,
                    OVERALL,
                    shown if shown == turned else "tie",
                    other=entry.other,
                    rater_kind="model",
                    sheet=sheet,
                    verdicts=(shown, turned),
                )
            )
        return ratings


def ask_until_readable(
    chat: Chat,
    requests: Mapping[Any, Request],
    read: Callable[[str], Any],
    report: JudgeReport,
    again: str,
) -> dict[Any, Any]:
    """Return for each name what `read` makes of the answer to its request; malformed answers are asked for again.

    The second attempt shows the model what it answered, and `again`. Names without a readable answer are left out;
    `report` counts everything.
    """
    values: dict[Any, Any] = {}
    current = dict(requests)
    for attempt in range(MOST_ATTEMPTS):
        outcome = chat.ask_all(
            list(current.values()), chat.name if attempt == 0 else _("{model}, again").format(model=chat.name)
        )
        _count(report, outcome, current)
        malformed: dict[Any, Request] = {}
        for name, request in current.items():
            if request not in outcome.replies:
                continue
            text = outcome.replies[request].text
            value = read(text)
            if value is not None:
                values[name] = value
            else:
                malformed[name] = _again(requests[name], text, again, attempt + 1)
        report.malformed += len(malformed)
        if not malformed:
            return values
        current = malformed
    report.unreadable += len(current)
    return values


def _again(request: Request, text: str, again: str, attempt: int) -> Request:
    messages = (*request.messages, ("assistant", text or " "), ("user", again.strip()))
    return request._replace(messages=messages, attempt=attempt)


def _count(report: JudgeReport, outcome: Outcome, asked: Mapping[Any, Request]) -> None:
    report.paid += outcome.paid
    left = set(outcome.left)
    report.left += sum(request in left for request in asked.values())
    report.refused += list(outcome.refused.values())
    report.prompt_tokens += sum(reply.prompt_tokens for reply in outcome.replies.values())
    report.completion_tokens += sum(reply.completion_tokens for reply in outcome.replies.values())


def judges_from(
    urls: Sequence[str], models: Sequence[str], make: Callable[[str, str, str], Chat], options: JudgeOptions
) -> list[Judge]:
    """Return a judge for each model: all at one address, or each at its own.

    Args:
        make: address, model and the environment variable of the key → the chat.

    Raises:
        UserError: addresses and models that do not go together, or a model named twice.
    """
    problems = []
    if len(urls) not in (1, len(models)) or not models:
        problems.append(
            _(
                "--judge_endpoint has {addresses} addresses and --judge_model {models} models; give one address for "
                "all models, or one for each"
            ).format(addresses=len(urls), models=len(models))
        )
    problems += [
        _("--judge_model {model} is named twice; ratings are kept by the model's name").format(model=model)
        for model in dict.fromkeys(models)
        if models.count(model) > 1
    ]
    if problems:
        raise UserError(problems)
    addresses = list(urls) * len(models) if len(urls) == 1 else urls
    variables = [key_variable(number, len(urls)) for number in range(len(models))]
    return [
        Judge(make(url, model, variable), options)
        for url, model, variable in zip(addresses, models, variables, strict=True)
    ]


def key_variable(number: int, addresses: int) -> str:
    """Return the environment variable of a judge's key: one for one address, numbered from 1 for several."""
    return "JUDGE_API_KEY" if addresses == 1 else f"JUDGE_API_KEY_{number + 1}"
