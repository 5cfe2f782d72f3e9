"""A run over questions in words: tables for the report, lines for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recipe.evaluating.rating_tables import ShownTable
from recipe.evaluating.wording import Table, counted, format_interval, format_value


class QuestionReport(NamedTuple):
    """The report: facts as names and values, a section for each judge, notes."""

    facts: list[tuple[str, str]]
    judges: list[tuple[str, list[ShownTable]]]
    notes: list[str]


def question_tables(results: Mapping[str, Any]) -> QuestionReport:
    """Return the report of a run in words."""
    facts = [
        (
            "Questions",
            f"{results['questions']}: {counted(results['count'], 'question')}, {counted(results['turns'], 'turn')}",
        ),
        ("Answers", f"{results['model']}, in {results['answers']}"),
        ("Compared with", results["compared_with"] or "nothing"),
    ]
    judges = [(found["judge"], _tables(found)) for found in results["judges"]]
    return QuestionReport(facts, judges, results["notes"])


def question_summary(results: Mapping[str, Any]) -> str:
    """Return the main figures as lines to print."""
    lines = [f"{results['model']}: {counted(results['count'], 'question')}, {counted(results['turns'], 'turn')}"]
    for found in results["judges"]:
        lines += [f"  {found['judge']}, {title}: {value}" for title, value in _figures(found)]
    return "\n".join([*lines, *results["notes"]])


def _figures(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = [(f"score, {row['group']}", _cell(row["mean"])) for row in found.get("scores", ())]
    if "pairs" in found:
        pairs = found["pairs"]
        figures.append((f"win rate against {pairs['compared_with']}", _cell(pairs["win_rate"])))
        if pairs["length_controlled"]:
            figures.append(("length-controlled win rate", _cell(pairs["length_controlled"])))
    if "facts" in found:
        facts = found["facts"]
        figures.append(("precision of statements", format_value(facts["precision"])))
        figures.append(("with the length penalty", format_value(facts["penalised"])))
    return figures


def _tables(found: Mapping[str, Any]) -> list[ShownTable]:
    tables = []
    if "scores" in found:
        rows = [(row["group"], f"{row['count']:,}", _cell(row["mean"])) for row in found["scores"]]
        tables.append(
            ShownTable(
                "Scores",
                "From 1 to 10, each turn judged by itself with the turns before it as context. Brackets hold 95% "
                "intervals from bootstrap draws of questions.",
                Table(("Of", "Turns", "Mean"), rows),
            )
        )
    if "pairs" in found:
        tables.append(_pair_table(found["pairs"]))
    if "facts" in found:
        tables.append(_fact_table(found["facts"]))
    report = found["report"]
    counts = ("asked", "paid", "malformed", "unreadable", "left", "prompt_tokens", "completion_tokens")
    prompts = ", ".join(f"{name} {digest[:8]}" for name, digest in report["prompts"].items())
    row = (*(f"{report[name]:,}" for name in counts), prompts)
    header = ("Asked", "New calls", "Malformed", "Unreadable", "Left", "Tokens in", "Tokens out", "Prompts")
    explanation = "Prompts: the first digits of the SHA-256 of each."
    return [*tables, ShownTable("Questions to the judge", explanation, Table(header, [row]))]


def _pair_table(pairs: Mapping[str, Any]) -> ShownTable:
    rows: list[Sequence[str]] = [
        ("Won, lost, tied", f"{pairs['wins']:,}, {pairs['losses']:,}, {pairs['ties']:,}"),
        ("Win rate", _cell(pairs["win_rate"])),
    ]
    if pairs["length_controlled"]:
        rows.append(("Length-controlled win rate", _cell(pairs["length_controlled"])))
        rows.append(("Effect of length (coefficient)", format_value(pairs["length_effect"])))
    rows.append(("Verdicts that changed with the order", format_value(pairs["changed"])))
    rows.append(("Choices that went to the answer shown first", format_value(pairs["first"])))
    return ShownTable(
        f"Against {pairs['compared_with']}",
        "Asked in both orders; a verdict that changes with the order is a tie, and a tie is half a win. "
        "Length-controlled: the win rate that a logistic regression on the difference in length predicts for answers "
        "of equal length.",
        Table(("Figure", "Value"), rows),
    )


def _fact_table(facts: Mapping[str, Any]) -> ShownTable:
    rows = [
        ("Texts with statements", f"{facts['responding']:,} of {facts['texts']:,}"),
        ("Statements of a text", format_value(facts["statements"])),
        ("Precision", format_value(facts["precision"])),
        ("Precision with the length penalty", format_value(facts["penalised"])),
    ]
    return ShownTable(
        "Facts",
        "Share of the statements of a text that the given passages support, mean of the texts that state something; a "
        "text with fewer than 10 statements is penalised by exp(1 - 10 / statements).",
        Table(("Figure", "Value"), rows),
    )


def _cell(cell: Mapping[str, Any]) -> str:
    return f"{format_value(cell['value'])} {format_interval(cell)}".strip()  # type: ignore[arg-type]
