"""A run over questions in words: tables for the report, lines for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recipe.evaluating.rating_tables import ShownTable
from recipe.evaluating.wording import Table, format_interval, format_value
from recipe.language import _, enumerated

# How the groups of turns are called in `questions.json`.
ALL, TURN = "all", "turn "


class QuestionReport(NamedTuple):
    """The report: facts as names and values, a section for each judge, notes."""

    facts: list[tuple[str, str]]
    judges: list[tuple[str, list[ShownTable]]]
    notes: list[str]


def question_tables(results: Mapping[str, Any]) -> QuestionReport:
    """Return the report of a run in words."""
    facts = [
        (
            _("Questions"),
            _("{file}: {questions:,} questions, {turns:,} turns").format(
                file=results["questions"], questions=results["count"], turns=results["turns"]
            ),
        ),
        (_("Answers"), _("{model}, in {file}").format(model=results["model"], file=results["answers"])),
        (_("Compared with"), results["compared_with"] or _("nothing")),
    ]
    judges = [(found["judge"], _tables(found)) for found in results["judges"]]
    return QuestionReport(facts, judges, results["notes"])


def question_summary(results: Mapping[str, Any]) -> str:
    """Return the main figures as lines to print."""
    counts = _("{model}: {questions:,} questions, {turns:,} turns")
    lines = [counts.format(model=results["model"], questions=results["count"], turns=results["turns"])]
    for found in results["judges"]:
        lines += [
            "  " + _("{judge}, {title}: {value}").format(judge=found["judge"], title=title, value=value)
            for title, value in _figures(found)
        ]
    return "\n".join([*lines, *results["notes"]])


def _figures(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = [
        (_("score, {group}").format(group=_group(row["group"])), _cell(row["mean"])) for row in found.get("scores", ())
    ]
    if "pairs" in found:
        pairs = found["pairs"]
        figures.append((_("win rate against {system}").format(system=pairs["compared_with"]), _cell(pairs["win_rate"])))
        if pairs["length_controlled"]:
            figures.append((_("length-controlled win rate"), _cell(pairs["length_controlled"])))
    if "facts" in found:
        facts = found["facts"]
        figures.append((_("precision of statements"), format_value(facts["precision"])))
        figures.append((_("precision with the length penalty"), format_value(facts["penalised"])))
    return figures


def _tables(found: Mapping[str, Any]) -> list[ShownTable]:
    tables = []
    if "scores" in found:
        rows = [(_group(row["group"]), f"{row['count']:,}", _cell(row["mean"])) for row in found["scores"]]
        tables.append(
            ShownTable(
                _("Scores"),
                _(
                    "From 1 to 10, each turn judged by itself with the turns before it as context. Brackets hold 95% "
                    "intervals from bootstrap draws of questions."
                ),
                Table((_("Of"), _("Turns"), _("Mean")), rows),
            )
        )
    if "pairs" in found:
        tables.append(_pair_table(found["pairs"]))
    if "facts" in found:
        tables.append(_fact_table(found["facts"]))
    report = found["report"]
    counts = ("asked", "paid", "malformed", "unreadable", "left", "prompt_tokens", "completion_tokens")
    prompts = enumerated(f"{name} {digest[:8]}" for name, digest in report["prompts"].items())
    row = (*(f"{report[name]:,}" for name in counts), prompts)
    header = (
        _("Asked"),
        _("New calls"),
        _("Malformed"),
        _("Unreadable"),
        _("Left"),
        _("Tokens in"),
        _("Tokens out"),
        _("Prompts"),
    )
    explanation = _("Prompts: the first digits of the SHA-256 of each.")
    return [*tables, ShownTable(_("Questions to the judge"), explanation, Table(header, [row]))]


def _pair_table(pairs: Mapping[str, Any]) -> ShownTable:
    rows: list[Sequence[str]] = [
        (_("Won, lost, tied"), f"{pairs['wins']:,}, {pairs['losses']:,}, {pairs['ties']:,}"),
        (_("Win rate"), _cell(pairs["win_rate"])),
    ]
    if pairs["length_controlled"]:
        rows.append((_("Length-controlled win rate"), _cell(pairs["length_controlled"])))
        rows.append((_("Effect of length (coefficient)"), format_value(pairs["length_effect"])))
    rows.append((_("Verdicts that changed with the order"), format_value(pairs["changed"])))
    rows.append((_("Choices that went to the answer shown first"), format_value(pairs["first"])))
    return ShownTable(
        _("Against {system}").format(system=pairs["compared_with"]),
        _(
            "Asked in both orders; a verdict that changes with the order is a tie, and a tie is half a win. "
            "Length-controlled: the win rate that a logistic regression on the difference in length predicts for "
            "answers of equal length."
        ),
        Table((_("Figure"), _("Value")), rows),
    )


def _fact_table(facts: Mapping[str, Any]) -> ShownTable:
    rows = [
        (
            _("Texts with statements"),
            _("{count:,} of {total:,}").format(count=facts["responding"], total=facts["texts"]),
        ),
        (_("Statements of a text"), format_value(facts["statements"])),
        (_("Precision"), format_value(facts["precision"])),
        (_("Precision with the length penalty"), format_value(facts["penalised"])),
    ]
    return ShownTable(
        _("Facts"),
        _(
            "Share of the statements of a text that the given passages support, mean of the texts that state "
            "something; a text with fewer than 10 statements is penalised by exp(1 - 10 / statements)."
        ),
        Table((_("Figure"), _("Value")), rows),
    )


def _group(name: str) -> str:
    """Return the name of a group of turns: all, one turn of each conversation, or a category of the file's own."""
    if name.startswith(TURN):
        return _("turn {number}").format(number=name.removeprefix(TURN))
    return _("all") if name == ALL else name


def _cell(cell: Mapping[str, Any]) -> str:
    return f"{format_value(cell['value'])} {format_interval(cell)}".strip()  # type: ignore[arg-type]
