"""The report of an evaluation, from its results alone: Markdown, one self-contained HTML page, and a summary to print.

Every text that comes from data (couplets, file names, labels, notes) is escaped: the page is built as an element tree,
the Markdown through `escape_markdown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any
from xml.etree.ElementTree import Element, tostring

from recipe.evaluating.figures import GROUPS, Figure, catalogue_for
from recipe.evaluating.plots import bars, between_chance_and_human, element, histogram

Results = Mapping[str, Any]
Table = tuple[Sequence[str], Sequence[Sequence[str]]]

SYSTEM_COLUMNS = ("model", "baseline", "human", "chance")
COLUMN_TITLES = {
    "model": "Model",
    "baseline": "Baseline",
    "human": "Human",
    "chance": "Chance",
    "difference": "Model − baseline",
    "unseen": "Model, unseen",
}
INTERVAL_NOTE = (
    "Brackets hold 95% intervals from {samples} bootstrap draws of upper lines; figures without brackets are no sum "
    "over lines. “Model − baseline” is drawn pairwise on the same upper lines. Human: the first known lower line of "
    "each upper line (for overlap: the first against the others, where an upper line has several). Chance: a random "
    "{pool} line of the same shape."
)


def columns_of(results: Results) -> list[str]:
    """Return the columns that hold at least one figure, in the order of the tables."""
    return [column for column in COLUMN_TITLES if any(column in row for row in results["figures"].values())]


def format_value(value: float | None, unit: str = "") -> str:
    """Format a figure for people: two decimals below 10, one above, the unit % directly behind."""
    if value is None:
        return "–"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f}{'%' if unit == '%' else ''}"


def format_interval(cell: Mapping[str, Any]) -> str:
    """Format the bounds of a cell's interval, or nothing where it has none."""
    if cell.get("low") is None:
        return ""
    return f"[{format_value(cell['low'])}, {format_value(cell['high'])}]"


def summary(results: Results) -> str:
    """Return the main figures as a plain-text table."""
    columns = columns_of(results)
    rows = [["", *(COLUMN_TITLES[column] for column in columns)]]
    for figure in _figures(results):
        if figure.is_main:
            cells = results["figures"][figure.key]
            rows.append([figure.label, *(_plain_cell(cells.get(column), figure.unit) for column in columns)])
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _plain_cell(cell: Mapping[str, Any] | None, unit: str) -> str:
    if cell is None:
        return "–"
    counted = f" on {cell['upper_lines']:,}" if "upper_lines" in cell else ""
    return f"{format_value(cell['value'], unit)} {format_interval(cell)}".strip() + counted


def _details(cell: Mapping[str, Any], unit: str) -> list[str]:
    """Return what stands below a figure: its interval, the lowest and highest seed, on how many upper lines."""
    details = [format_interval(cell)] if format_interval(cell) else []
    if "runs" in cell:
        low, high = (format_value(bound, unit) for bound in (min(cell["runs"]), max(cell["runs"])))
        details.append(f"seeds {low} to {high}")
    if "upper_lines" in cell:
        details.append(f"on {cell['upper_lines']:,} upper lines")
    return details


def _figures(results: Results) -> list[Figure]:
    return catalogue_for(list(results["figures"]))


def _facts(results: Results) -> list[tuple[str, str]]:
    """Return what was evaluated, as names and values."""
    system, data = results["system"], results["data"]
    facts = [
        ("Evaluated", system["name"]),
        ("Baseline", results["baseline"]["name"] if results["baseline"] else "none"),
        ("Test file", f"{', '.join(data['test_files'])} ({data['rows']:,} couplets)"),
        ("Upper lines", f"{data['upper_lines']:,} different ones"),
        ("References", f"{data['references_mean']:.2f} for each upper line, at most {data['references_most']}"),
        ("Answers", _answers_text(system)),
    ]
    if data["train_files"]:
        leaks = data["leaks"]
        facts += [
            ("Training file", f"{', '.join(data['train_files'])} ({data['train_couplets']:,} couplets)"),
            ("Leaks", f"{leaks['upper_lines']:,} test upper lines and {leaks['couplets']:,} test couplets stand in it"),
        ]
    return facts


def _answers_text(system: Mapping[str, Any]) -> str:
    runs = f"{system['runs']} run{'s' if system['runs'] > 1 else ''}"
    if system["decoding"] is None:
        return f"{runs}, from a file"
    return f"{runs}, seeds {', '.join(map(str, system['seeds']))}" if system["seeds"] else f"{runs}, no sampling"


# --- Markdown ---------------------------------------------------------------------------------------------------------


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in a table cell too."""
    escaped = re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_report(results: Results) -> str:
    """Return the whole report as Markdown."""
    parts = ["# Couplet evaluation 对联评测", _markdown_table(("", ""), _facts(results))]
    parts += ["## Figures", escape_markdown(_interval_note(results))]
    for group, explanation in GROUPS.items():
        figures = [figure for figure in _figures(results) if figure.group == group]
        if figures:
            parts += [f"### {group}", explanation, _markdown_figures(results, figures)]
    parts += _markdown_separation(results)
    if results["by_length"]:
        parts += ["## By length of the upper line", _markdown_table(*_length_table(results))]
    for name, rows in _efficiency_tables(results):
        parts += [f"## Efficiency of {escape_markdown(name)}", _markdown_table(("", ""), rows)]
    parts += ["## Side by side", _markdown_table(*_sample_table(results))]
    parts += ["## Settings", _markdown_table(("Setting", "Value"), _setting_rows(results))]
    if results["signatures"]:
        parts += ["## Signatures", _markdown_table(("Figure", "sacrebleu"), list(results["signatures"].items()))]
    if results["notes"]:
        parts += ["## Notes", "\n".join(f"- {escape_markdown(note)}" for note in results["notes"])]
    return "\n\n".join(parts) + "\n"


def _markdown_figures(results: Results, figures: Sequence[Figure]) -> str:
    columns = columns_of(results)
    rows = []
    for figure in figures:
        cells = [results["figures"][figure.key].get(column) for column in columns]
        values = [
            "–" if cell is None else ", ".join([format_value(cell["value"], figure.unit), *_details(cell, figure.unit)])
            for cell in cells
        ]
        rows.append((figure.label, *values, figure.better, figure.definition))
    return _markdown_table(("Figure", *(COLUMN_TITLES[column] for column in columns), "Better", "Definition"), rows)


def _markdown_separation(results: Results) -> list[str]:
    if not results["separation"]:
        return []
    return ["## Do the parallelism scores tell humans from chance?", _markdown_table(*_separation_table(results))]


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header)]
    escaped = [[escape_markdown(str(cell)) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [*lines, *escaped])


# --- tables that both forms share -------------------------------------------------------------------------------------


def _interval_note(results: Results) -> str:
    pool = "training" if results["data"]["train_files"] else "test"
    return INTERVAL_NOTE.format(samples=f"{results['settings']['bootstrap_samples']:,}", pool=pool)


def _separation_table(results: Results) -> Table:
    header = ("Score", "Human", "Chance", "AUC", "Shown above")
    labels = {figure.key: figure for figure in catalogue_for([row["figure"] for row in results["separation"]])}
    rows = [
        (
            labels[row["figure"]].label,
            format_value(row["human"], labels[row["figure"]].unit),
            format_value(row["chance"], labels[row["figure"]].unit),
            f"{row['auc']:.3f}",
            "yes" if row["kept"] else "no",
        )
        for row in results["separation"]
    ]
    return header, rows


def _length_labels(results: Results) -> list[str]:
    groups = results["by_length"]
    return [
        f"{row['shortest']}" if row["shortest"] == row["longest"] else f"{row['shortest']}–{row['longest']}"
        for row in groups
    ]


def _length_figures(results: Results) -> list[Figure]:
    return catalogue_for(list({key for row in results["by_length"] for key in row}))


def _length_table(results: Results) -> Table:
    figures = _length_figures(results)
    rows = [
        (label, f"{row['upper_lines']:,}", *(format_value(row.get(figure.key), figure.unit) for figure in figures))
        for label, row in zip(_length_labels(results), results["by_length"], strict=True)
    ]
    return ("Characters", "Upper lines", *(figure.label for figure in figures)), rows


def _efficiency_tables(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the name and the table of each system whose efficiency was measured."""
    systems = [results["system"], results["baseline"]]
    return [
        (found["name"], _efficiency_rows(found["efficiency"])) for found in systems if found and found["efficiency"]
    ]


def _efficiency_rows(efficiency: Mapping[str, Any]) -> list[tuple[str, str]]:
    batch = efficiency["batch_size"]
    return [
        ("Device", f"{efficiency['device']}, {efficiency['dtype']}, {efficiency['threads']} threads"),
        ("Loading the model", f"{efficiency['load_seconds']:.2f} s"),
        (f"Throughput, batch {batch}", f"{efficiency['couplets_per_second']:,.1f} couplets/s"),
        (f"Throughput, batch {batch}", f"{efficiency['tokens_per_second']:,.0f} tokens/s"),
        ("Latency, batch 1, median", f"{efficiency['latency_p50_ms']:,.1f} ms"),
        ("Latency, batch 1, 95th percentile", f"{efficiency['latency_p95_ms']:,.1f} ms"),
        ("Peak memory of the process", f"{efficiency['peak_memory_mib']:,.0f} MiB"),
        ("Parameters", f"{efficiency['parameters']:,}"),
        ("Size of the weights in memory", f"{efficiency['weights_mib']:,.1f} MiB"),
    ]


def _sample_table(results: Results) -> Table:
    columns = [column for column in SYSTEM_COLUMNS if column in results["samples"][0]]
    rows = [(row["upper"], *(row[column] for column in columns)) for row in results["samples"]]
    return ("上联 upper line", *(COLUMN_TITLES[column] for column in columns)), rows


def _setting_rows(results: Results) -> list[tuple[str, str]]:
    settings = {**results["settings"], **(results["system"]["decoding"] or {})}
    return [(name, str(value)) for name, value in settings.items()]


# --- HTML -------------------------------------------------------------------------------------------------------------


def html_report(results: Results) -> str:
    """Return the whole report as one HTML page without any other file, script or request."""
    body = element(
        "main",
        *_html_header(results),
        *_html_position_plot(results),
        *_html_groups(results),
        *_html_separation(results),
        *_html_lengths(results),
        *_html_samples(results),
        *_html_appendix(results),
    )
    page = resources.files("recipe").joinpath("templates/report.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        title=_html_text(f"Couplet evaluation: {results['system']['name']}"),
        body=tostring(body, encoding="unicode", method="html"),
    )


def _html_text(text: str) -> str:
    return tostring(element("title", text), encoding="unicode", method="html")


def _html_header(results: Results) -> list[Element]:
    cards = []
    for figure in _figures(results):
        cells = results["figures"][figure.key]
        if figure.is_main and "model" in cells:
            cards.append(_html_card(figure, cells))
    facts = element(
        "dl", *(part for name, value in _facts(results) for part in (element("dt", name), element("dd", value)))
    )
    return [
        element(
            "header",
            element("p", "对联评测", class_="seal"),
            element("h1", "Couplet evaluation"),
            element("p", results["system"]["name"], class_="name"),
            facts,
        ),
        element("section", *cards, class_="cards"),
        _legend(results),
    ]


def _html_card(figure: Figure, cells: Mapping[str, Any]) -> Element:
    beside = [
        element("span", f"{COLUMN_TITLES[name].lower()} {format_value(cells[name]['value'], figure.unit)}", class_=name)
        for name in ("baseline", "human", "chance")
        if name in cells and "upper_lines" not in cells[name]
    ]
    return element(
        "div",
        element("p", figure.label, class_="what"),
        element("p", format_value(cells["model"]["value"], figure.unit), class_="value"),
        element("p", format_interval(cells["model"]), class_="interval"),
        element("p", *beside, class_="beside"),
        class_="card",
        title=figure.definition,
    )


def _legend(results: Results) -> Element:
    names = [name for name in SYSTEM_COLUMNS if name in columns_of(results)]
    return element(
        "p", *(element("span", COLUMN_TITLES[name], class_=f"key {name}") for name in names), class_="legend"
    )


def _html_position_plot(results: Results) -> list[Element]:
    rows = []
    for figure in _figures(results):
        cells = results["figures"][figure.key]
        if _spans_a_scale(cells):
            rows.append({"label": figure.label, "cells": cells})
    if not rows:
        return []
    return [
        element(
            "section",
            element("h2", "Between chance and humans"),
            element("p", "Each figure on its own scale: 0 is the chance line, 1 what humans get.", class_="note"),
            between_chance_and_human(rows),
            class_="plot",
        )
    ]


def _spans_a_scale(cells: Mapping[str, Any]) -> bool:
    """Whether humans and chance stand far enough apart (a twentieth of the larger figure) to place a model by them."""
    if not all(name in cells and "low" in cells[name] for name in ("model", "human", "chance")):
        return False
    if "upper_lines" in cells["human"]:  # compared with one reference less, and on other upper lines
        return False
    human, chance = cells["human"]["value"], cells["chance"]["value"]
    return abs(human - chance) > 0.05 * max(abs(human), abs(chance))


def _html_groups(results: Results) -> list[Element]:
    sections = [element("h2", "Figures"), element("p", _interval_note(results), class_="note")]
    columns = columns_of(results)
    for group, explanation in GROUPS.items():
        figures = [figure for figure in _figures(results) if figure.group == group]
        if not figures:
            continue
        header = element(
            "tr", element("th", "Figure"), *(element("th", COLUMN_TITLES[column], class_=column) for column in columns)
        )
        rows = [_html_figure_row(figure, results["figures"][figure.key], columns) for figure in figures]
        sections.append(
            element(
                "section",
                element("h3", group),
                element("p", explanation, class_="note"),
                _scrolling(element("table", element("thead", header), element("tbody", *rows), class_="figures")),
            )
        )
    return sections


def _html_figure_row(figure: Figure, cells: Mapping[str, Any], columns: Sequence[str]) -> Element:
    arrow = {"higher": "↑", "lower": "↓"}.get(figure.better, "≈")
    label = element(
        "th",
        element("span", f"{figure.label} {arrow}", class_="what"),
        element("span", figure.definition, class_="definition"),
        scope="row",
        title=f"better: {figure.better}",
    )
    return element("tr", label, *(_html_cell(cells.get(column), figure.unit, column) for column in columns))


def _html_cell(cell: Mapping[str, Any] | None, unit: str, column: str) -> Element:
    if cell is None:
        return element("td", "–", class_="number none")
    details = [element("span", detail, class_="interval") for detail in _details(cell, unit)]
    value = element("span", format_value(cell["value"], unit), class_="value")
    return element("td", value, *details, class_=f"number {column}")


def _scrolling(table: Element) -> Element:
    return element("div", table, class_="scroll")


def _html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Element:
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell, class_="number") for cell in row[1:]))
        for row in rows
    ]
    head = element("thead", element("tr", *(element("th", title) for title in header)))
    return _scrolling(element("table", head, element("tbody", *body)))


def _html_separation(results: Results) -> list[Element]:
    if not results["separation"]:
        return []
    parts = [
        element("h2", "Do the parallelism scores tell humans from chance?"),
        element(
            "p",
            "AUC: how often a random human line scores above a random line of the same shape; 0.5 is a coin, 1 "
            "is always. Scores that tell them apart too seldom are dropped from the figures.",
            class_="note",
        ),
        _html_table(*_separation_table(results)),
    ]
    if results["histogram"]:
        label = "learned parallelism of a line (nats); share of lines"
        parts.append(histogram(results["histogram"]["edges"], results["histogram"]["shares"], label))
        parts.append(_legend(results))
    return [element("section", *parts, class_="plot")]


def _html_lengths(results: Results) -> list[Element]:
    if not results["by_length"]:
        return []
    labels = _length_labels(results)
    plots = [
        bars(labels, [row.get(figure.key) for row in results["by_length"]], figure.label, figure.unit)
        for figure in _length_figures(results)
    ]
    counts = ", ".join(
        f"{row['upper_lines']:,} of {label}" for label, row in zip(labels, results["by_length"], strict=True)
    )
    return [
        element(
            "section",
            element("h2", "By length of the upper line"),
            element("p", f"Characters, marks included. Upper lines: {counts}.", class_="note"),
            element("div", *plots, class_="grid"),
            class_="plot",
        )
    ]


def _html_samples(results: Results) -> list[Element]:
    header, rows = _sample_table(results)
    names = [column for column in SYSTEM_COLUMNS if column in results["samples"][0]]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", lang="zh"),
            *(element("td", line or "–", class_=name, lang="zh") for name, line in zip(names, row[1:], strict=True)),
        )
        for row in rows
    ]
    titles = [element("th", header[0]), *(element("th", COLUMN_TITLES[name], class_=name) for name in names)]
    table = element("table", element("thead", element("tr", *titles)), element("tbody", *body), class_="couplets")
    return [
        element(
            "section",
            element("h2", "Side by side"),
            element("p", "Upper lines drawn at random from the test file; the model's first run.", class_="note"),
            _scrolling(table),
        )
    ]


def _html_appendix(results: Results) -> list[Element]:
    sections = []
    for name, rows in _efficiency_tables(results):
        sections.append(element("section", element("h2", f"Efficiency of {name}"), _html_table(("", ""), rows)))
    if results["notes"]:
        notes = element("ul", *(element("li", note) for note in results["notes"]))
        sections.append(element("section", element("h2", "Notes"), notes))
    if results["signatures"]:
        rows = list(results["signatures"].items())
        sections.append(element("section", element("h2", "Signatures"), _html_table(("Figure", "sacrebleu"), rows)))
    details = element(
        "details",
        element("summary", "Settings of this evaluation"),
        _html_table(("Setting", "Value"), _setting_rows(results)),
    )
    return [*sections, details]
