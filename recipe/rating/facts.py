"""Facts in plain texts: a judge splits a text into statements and checks each against passages that the user gives.

The procedure and the figure of Min et al. 2023, "FActScore"; passages are found by BM25 (package bm25s).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recipe.errors import UserError
from recipe.language import _
from recipe.rating.chat import Chat, Request
from recipe.rating.judge import JudgeReport, ask_until_readable
from recipe.rating.judge_prompts import facts_in, facts_schema, filled, prompt_hash, prompt_text, quoted
from recipe.text_files import read_utf8, text_lines

EXPECTED_FACTS = 10  # a text with fewer statements is penalised: the paper's gamma
PASSAGES_SHOWN = 5
_MOST_STATEMENTS = 100  # of one text; more is no answer to the question


class CheckedText(NamedTuple):
    """A text with its statements.

    Attributes:
        statements: as the judge split them.
        supported: whether the passages support each; None where the judge gave no readable answer.
    """

    name: str
    statements: list[str]
    supported: list[bool | None]


class FactScore(NamedTuple):
    """The figures of some texts.

    Attributes:
        texts: all of them; `responding`, those with at least one statement.
        statements: statements of a text, mean of the responding ones.
        precision: mean share of supported statements of the responding texts; NaN where there is none.
        penalised: the same, each text's share times exp(1 - gamma / statements) where it has fewer than gamma.
    """

    texts: int
    responding: int
    statements: float
    precision: float
    penalised: float


def fact_score(checked: Sequence[CheckedText], gamma: int = EXPECTED_FACTS) -> FactScore:
    """Return FActScore's figures; statements without a readable verdict are left out of their text."""
    shares, penalised, counts = [], [], []
    for text in checked:
        verdicts = [verdict for verdict in text.supported if verdict is not None]
        if verdicts:
            share = sum(verdicts) / len(verdicts)
            penalty = 1.0 if len(verdicts) >= gamma else math.exp(1 - gamma / len(verdicts))
            shares.append(share)
            penalised.append(share * penalty)
            counts.append(len(verdicts))
    if not shares:
        return FactScore(len(checked), 0, float("nan"), float("nan"), float("nan"))
    means = [float(np.mean(values)) for values in (counts, shares, penalised)]
    return FactScore(len(checked), len(shares), *means)


def read_passages(files: Sequence[str]) -> list[str]:
    """Return the passages of files: JSON Lines with `text` and perhaps `title`, or texts whose paragraphs they are.

    Raises:
        UserError: files that cannot be read or hold no passage, all at once.
    """
    passages: list[str] = []
    problems: list[str] = []
    for file in files:
        try:
            text = read_utf8(file)
            found = _json_passages(text) if Path(file).suffix == ".jsonl" else re.split(r"\n\s*\n", text)
        except UserError as error:
            problems += [f"--facts {problem}" for problem in error.problems]
            continue
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problems.append(
                _("--facts {file}: cannot be read as passages ({error}); it takes paragraphs, or JSON Lines").format(
                    file=file, error=error
                )
            )
            continue
        found = [passage.strip() for passage in found if passage.strip()]
        if not found:
            problems.append(_("--facts {file}: holds no passage").format(file=file))
        passages += found
    if problems:
        raise UserError(problems)
    return passages


def _json_passages(text: str) -> list[str]:
    rows = [json.loads(line) for line in text_lines(text) if line.strip()]
    found = ["\n".join(str(row[key]) for key in ("title", "text") if key == "text" or row.get(key)) for row in rows]
    return [passage.encode("utf-8", "replace").decode() for passage in found]  # half characters, from JSON escapes


def search_terms(text: str) -> list[str]:
    """Return what a text is found by: pairs of neighbouring Chinese characters, single ones, and other words."""
    terms = []
    for run in re.findall(r"[\u3400-\u9fff\U00020000-\U0003ffff]+|[a-z0-9]+", text.casefold()):
        if run[0].isascii():
            terms.append(run)
        else:
            terms += [*run, *(run[place : place + 2] for place in range(len(run) - 1))]
    return terms


class Passages:
    """Passages that can be searched.

    Raises:
        UserError: the package bm25s is not installed.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        try:
            import bm25s
        except ImportError:
            raise UserError(
                _('--facts needs the package bm25s: pip install -c constraints.txt -e ".[judge]"')
            ) from None
        self._passages = list(passages)
        terms = [search_terms(passage) for passage in passages]
        self._known = {term for found in terms for term in found}
        self._index: Any = bm25s.BM25()
        self._index.index(terms, show_progress=False)

    def best(self, query: str, count: int = PASSAGES_SHOWN) -> list[str]:
        """Return the passages that share most with a query, the best first; those that share nothing are left out."""
        # A query of which no term is known makes bm25s 0.3.16 raise.
        terms = [term for term in search_terms(query) if term in self._known]
        if not terms:
            return []
        scores = self._index.get_scores(terms)
        best = np.argsort(-scores, kind="stable")[:count]
        return [self._passages[place] for place in best if scores[place] > 0]


def check_texts(
    chat: Chat,
    texts: Mapping[str, tuple[str, str]],
    passages: Passages,
    language: str,
    max_tokens: int,
    announce: Callable[[Chat, Sequence[Request]], int],
) -> tuple[list[CheckedText], JudgeReport]:
    """Split texts into statements and check each.

    Args:
        texts: name → (what was asked, the text).
        announce: is told the requests before they are made, and returns how many calls it paid.

    Raises:
        UserError: as `Chat.ask_all`; what was answered is in the cache.
    """
    names = ("statements", "supported")
    report = JudgeReport(chat.name, chat.endpoint.public_url, language)
    report.prompts = {name: prompt_hash(name, language) for name in (*names, "again")}
    again = prompt_text("again", language)
    splits = {
        name: _request("statements", language, max_tokens, prompt=quoted(asked), answer=quoted(text))
        for name, (asked, text) in texts.items()
        if text.strip()
    }
    report.asked = len(splits)
    report.paid += announce(chat, list(splits.values()))
    found = ask_until_readable(chat, splits, lambda answer: facts_in(answer, "statements"), report, again)
    checks = {}
    for name, statements in found.items():
        for number, statement in enumerate(statements[:_MOST_STATEMENTS]):
            shown = json.dumps(passages.best(f"{texts[name][0]} {statement}"), ensure_ascii=False, indent=1)
            checks[name, number] = _request(
                "supported", language, max_tokens, passages=shown, statement=quoted(statement)
            )
    report.asked += len(checks)
    report.paid += announce(chat, list(checks.values()))
    verdicts = ask_until_readable(chat, checks, lambda answer: facts_in(answer, "supported"), report, again)
    checked = [
        CheckedText(
            name,
            list(found.get(name, ()))[:_MOST_STATEMENTS],
            [verdicts.get((name, number)) for number in range(min(len(found.get(name, ())), _MOST_STATEMENTS))],
        )
        for name in texts
    ]
    return checked, report


def _request(name: str, language: str, max_tokens: int, **values: str) -> Request:
    text = filled(name, language, **values)
    return Request((("user", text),), max_tokens, schema=facts_schema(name))
