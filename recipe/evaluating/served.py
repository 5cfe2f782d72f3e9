"""A served model as the evaluated system: asked for each lower line in a prompt, with no hold on what it writes."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from string import Template

from recipe.couplet.form import form_violations
from recipe.errors import UserError
from recipe.evaluating.predictions import Answers
from recipe.evaluating.results import ServedDescription
from recipe.evaluating.scoring import System
from recipe.evaluating.testset import TestSet
from recipe.language import _
from recipe.rating.calls import announce, chat_with, price_of, price_problems
from recipe.rating.chat import Chat, Request
from recipe.rating.judge_prompts import prompt_text
from recipe.settings import EvaluationSettings, ServedSettings
from recipe.text_files import read_utf8

KEY_VARIABLE = "ENDPOINT_API_KEY"
_THOUGHTS_END = "</think>"  # of models that think aloud
_LABEL = re.compile(r"^(?:下联|下聯|对句|答案|[Ll]ower line|[Aa]nswer)\s*[:：]\s*")
_WRAPPING = "*#>`\"'“”‘’「」『』《》 \t"
_CLOSING = "。！？；，、.!?;,"


def endpoint_problems(settings: EvaluationSettings, served: ServedSettings) -> list[str]:
    """Return what is wrong with the settings of the served model that is evaluated."""
    if served.endpoint is None:
        own = {name: getattr(served, name) for name in vars(served) if name.startswith("endpoint")}
        if any(value != getattr(ServedSettings(), name) for name, value in own.items()):
            return [_("the --endpoint_… settings have no effect without --endpoint URL --endpoint_model NAME")]
        return []
    problems = []
    if served.endpoint_model is None:
        problems.append(_("--endpoint needs the name of the model there: --endpoint_model NAME"))
    if settings.predictions or settings.model_name_or_path:
        problems.append(
            _("--endpoint, --predictions and --model_name_or_path each say what to score; give one of them")
        )
    if settings.state_dict_file:
        problems.append(
            _("--state_dict_file replaces the weights of a model that is loaded here; --endpoint loads none")
        )
    for name in ("endpoint_tries", "endpoint_max_tokens"):
        if getattr(served, name) < 1:
            problems.append(_("--{name} {value}: must be at least 1").format(name=name, value=getattr(served, name)))
    if not 0 <= served.endpoint_temperature <= 2:
        problems.append(_("--endpoint_temperature {value}: must be 0 to 2").format(value=served.endpoint_temperature))
    problems += price_problems("--endpoint_price", served.endpoint_price)
    for check in (lambda: question_template(served), lambda: _chat(served)):
        try:
            check()
        except UserError as error:
            problems += error.problems
    return problems


def question_template(served: ServedSettings) -> str:
    """Return what a model is asked for a lower line, with `$upper` in place of the upper line.

    Raises:
        UserError: a file that cannot be read, or that has no such place.
    """
    if served.endpoint_template is None:
        return prompt_text("couplet", "zh")
    text = read_utf8(served.endpoint_template)
    if "upper" not in Template(text).get_identifiers():
        name = f"--endpoint_template {served.endpoint_template}"
        raise UserError(_("{name}: holds no $upper, where the upper line is to stand").format(name=name))
    return text


def _chat(served: ServedSettings) -> Chat:
    assert served.endpoint is not None
    return chat_with(served, served.endpoint, served.endpoint_model or "", KEY_VARIABLE)


def served_answers(settings: EvaluationSettings, served: ServedSettings, test_set: TestSet) -> Answers:
    """Ask a served model for every lower line, again where the form is broken, in as many runs as there are seeds.

    Of several tries the first that keeps the form counts, else the first of all. Answers are kept in the cache: an
    interrupted run goes on where it stopped.

    Raises:
        UserError: the server refuses the key or the model, or calls failed with all their retries.
    """
    chat, template = _chat(served), Template(question_template(served))
    draws = served.endpoint_temperature > 0
    tries = served.endpoint_tries if draws else 1
    asking = _Asking(chat, template, served)
    runs = [asking.run(test_set.uppers, run * tries, tries) for run in range(settings.seeds if draws else 1)]
    described = ServedDescription(
        url=chat.endpoint.public_url,
        model=chat.endpoint.model,
        template_sha256=hashlib.sha256(template.template.encode()).hexdigest(),
        tries=tries,
        answers=len(runs) * len(test_set.uppers),
        kept_first=asking.kept_first,
        kept=asking.kept,
        refused=asking.refused,
        paid=asking.paid,
        prompt_tokens=asking.prompt_tokens,
        completion_tokens=asking.completion_tokens,
    )
    own = {name: value for name, value in dataclasses.asdict(served).items() if name.startswith("endpoint")}
    notes = []
    if asking.refused:
        notes.append(
            _("{model}: the server would not answer {count:,} questions; those lines are empty").format(
                model=chat.name, count=asking.refused
            )
        )
    return Answers(
        System(chat.name, runs), decoding=own | {"endpoint": described["url"]}, served=described, notes=notes
    )


class _Asking:
    """Runs over the upper lines, and what was counted in them."""

    def __init__(self, chat: Chat, template: Template, served: ServedSettings) -> None:
        self.chat, self.template, self.served = chat, template, served
        self.kept_first = self.kept = self.refused = self.paid = self.prompt_tokens = self.completion_tokens = 0

    def run(self, uppers: list[str], first_attempt: int, tries: int) -> list[str]:
        """Return a lower line for each upper line, empty where there is none."""
        found: dict[str, str] = {}
        broken = list(uppers)
        for attempt in range(tries):
            lines = self._ask(broken, first_attempt + attempt)
            kept = {upper: line for upper, line in lines.items() if not form_violations(upper, line)}
            found |= {upper: line for upper, line in lines.items() if upper not in found} | kept
            self.kept += len(kept)
            if attempt == 0:
                self.kept_first += len(kept)
            broken = [upper for upper in lines if upper not in kept]
            if not broken:
                break
        return [found.get(upper, "") for upper in uppers]

    def _ask(self, uppers: list[str], attempt: int) -> dict[str, str]:
        """Return what the model answers to each upper line; those that the server refuses are left out."""
        requests = {upper: self._request(upper, attempt) for upper in uppers}
        self.paid += announce(self.chat, list(requests.values()), price_of(self.served.endpoint_price))
        outcome = self.chat.ask_all(
            list(requests.values()), _("{model}, draw {number}").format(model=self.chat.name, number=attempt + 1)
        )
        self.paid += outcome.paid
        self.refused += len(outcome.refused)
        self.prompt_tokens += sum(reply.prompt_tokens for reply in outcome.replies.values())
        self.completion_tokens += sum(reply.completion_tokens for reply in outcome.replies.values())
        return {
            upper: line_in(outcome.replies[request].text, upper)
            for upper, request in requests.items()
            if request in outcome.replies
        }

    def _request(self, upper: str, attempt: int) -> Request:
        text = self.template.safe_substitute(upper=upper)
        served = self.served
        return Request((("user", text),), served.endpoint_max_tokens, served.endpoint_temperature, attempt=attempt)


def line_in(answer: str, upper: str) -> str:
    """Return the lower line that a chat model's answer holds, without label, quotation marks and the end mark that the
    upper line lacks; empty where it holds none.

    A line with a label such as 下联： is taken before others, else the first one that is not the upper line.
    """
    lines = [line.strip(_WRAPPING) for line in answer.rpartition(_THOUGHTS_END)[2].splitlines()]
    labelled = [_LABEL.sub("", line).strip(_WRAPPING) for line in lines if _LABEL.match(line)]
    for line in [*labelled, *lines]:
        text = "".join(line.split())
        if text.startswith(upper):  # the whole couplet, written in one line
            text = text.removeprefix(upper).lstrip("-—－，,。；;/|")
        text = re.sub(r"^上联[:：].*", "", text)
        if upper and upper[-1] not in _CLOSING:
            text = text.rstrip(_CLOSING)
        if text:
            return text
    return ""
