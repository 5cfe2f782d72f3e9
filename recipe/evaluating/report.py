"""The report of an evaluation, from its results alone: Markdown, one self-contained HTML page, and a summary to print.

Here the results become words, tables and plots; how they are laid out stands in `recipe/templates/`, and
`recipe.templating` escapes every text that comes from data (couplets, file names, labels, notes).
"""

from __future__ import annotations

from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, tostring

from markupsafe import Markup

from recipe.evaluating.plots import bars, between_chance_and_references, histogram
from recipe.evaluating.rating_plots import rating_plots
from recipe.evaluating.rating_tables import rating_tables
from recipe.evaluating.results import (
    CHANCE,
    COLUMNS,
    MODEL,
    REFERENCES,
    SYSTEMS,
    Cell,
    Description,
    Efficiency,
    Results,
    ServedDescription,
    SystemDescription,
)
from recipe.evaluating.wording import Table, format_interval, format_value
from recipe.metrics.figure import Better, Group
from recipe.templating import render

ARROWS = {Better.HIGHER: "↑", Better.LOWER: "↓", Better.LIKE_REFERENCES: "≈", Better.NEITHER: ""}


class ShownCell(NamedTuple):
    """A cell in words: the value, and what stands below it; no value where the column has no such figure."""

    column: str
    value: str | None
    details: list[str]


class ShownFigure(NamedTuple):
    """A row of a table of figures, or a headline figure."""

    definition: Description
    arrow: str
    cells: list[ShownCell]


class ShownGroup(NamedTuple):
    """A table of figures."""

    title: str
    explanation: str
    figures: list[ShownFigure]


def markdown_report(results: Results) -> str:
    """Return the whole report as Markdown."""
    return render("report.md", **_contents(results))


def html_report(results: Results) -> str:
    """Return the whole report as one HTML page without any other file, script or request."""
    return render("report.html", **_contents(results), **_plots(results))


def summary(results: Results) -> str:
    """Return the main figures as a plain-text table, and below it what the vocabularies of the models lack."""
    columns = columns_of(results)
    rows = [["", *columns.values()]]
    for figure in _figures(results):
        if figure["is_main"]:
            cells = results["figures"][figure["key"]]
            rows.append([figure["label"], *(_plain_cell(cells.get(column), figure["unit"]) for column in columns)])
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*table, *_vocabulary_lines(results)])


def _vocabulary_lines(results: Results) -> list[str]:
    systems = {"model": results["system"], "baseline": results["baseline"]}
    return [
        f"characters outside the {name}'s vocabulary: {_outside_vocabulary_text(system, results)}"
        for name, system in systems.items()
        if system and system["outside_vocabulary"] and system["outside_vocabulary"]["characters"]
    ]


# --- single figures in words ------------------------------------------------------------------------------------------


def columns_of(results: Results) -> dict[str, str]:
    """Return the columns that hold at least one figure, with their titles, in the order of the tables."""
    used = {column for row in results["figures"].values() for column in row}
    return {column: title for column, title in COLUMNS.items() if column in used}


def _plain_cell(cell: Cell | None, unit: str) -> str:
    if cell is None:
        return "–"
    counted = f" on {cell['upper_lines']:,}" if "upper_lines" in cell else ""
    return f"{format_value(cell['value'], unit)} {format_interval(cell)}".strip() + counted


def _shown_cell(column: str, cell: Cell | None, unit: str) -> ShownCell:
    """Return the figure, its interval, the lowest and highest seed, on how many upper lines."""
    if cell is None:
        return ShownCell(column, None, [])
    details = [format_interval(cell)] if format_interval(cell) else []
    if "runs" in cell:
        low, high = (format_value(bound, unit) for bound in (min(cell["runs"]), max(cell["runs"])))
        details.append(f"seeds {low} to {high}")
    if "upper_lines" in cell:
        details.append(f"on {cell['upper_lines']:,} upper lines")
    return ShownCell(column, format_value(cell["value"], unit), details)


def _figures(results: Results) -> list[Description]:
    """Return the definition of every figure in the order of the tables.

    Raises:
        LookupError: a figure without definition; it would be printed without saying what it is, or not at all.
    """
    defined = [figure for figure in results["descriptions"] if figure["key"] in results["figures"]]
    if undefined := results["figures"].keys() - {figure["key"] for figure in defined}:
        raise LookupError(f"figures without definition: {', '.join(sorted(undefined))}")
    return defined


# --- what both forms of the report show -------------------------------------------------------------------------------


def _contents(results: Results) -> dict[str, Any]:
    """Return everything that the templates show but plots."""
    columns = columns_of(results)
    return {
        "name": results["system"]["name"],
        "facts": _facts(results),
        "columns": columns,
        "systems": {name: title for name, title in SYSTEMS.items() if name in columns},
        "headline": _headline(results),
        "reading": _how_to_read(results),
        "groups": _groups(results),
        "separation": _separation_table(results) if results["separation"] else None,
        "lengths": _length_table(results) if results["by_length"] else None,
        "efficiency": _efficiency_tables(results),
        "samples": results["samples"],
        "sampled": [name for name in SYSTEMS if name in results["samples"][0]],
        "settings": _setting_table(results),
        "signatures": Table(("Figure", "sacrebleu"), list(results["signatures"].items())),
        "notes": results["notes"],
        "ratings": rating_tables(results["ratings"], results["descriptions"]) if "ratings" in results else None,
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    """Return what was evaluated, as names and values."""
    system, baseline, data = results["system"], results["baseline"], results["data"]
    facts = [
        ("Evaluated", system["name"]),
        ("Baseline", baseline["name"] if baseline else "none"),
        ("Test file", f"{', '.join(data['test_files'])} ({data['rows']:,} couplets)"),
        ("Upper lines", f"{data['upper_lines']:,} different ones"),
        ("References", f"{data['references_mean']:.2f} for each upper line, at most {data['references_most']}"),
        ("Answers", _runs_text(system)),
    ]
    facts += [
        (title, _outside_vocabulary_text(found, results))
        for title, found in (("Outside the model's vocabulary", system), ("Outside the baseline's", baseline))
        if found and found["outside_vocabulary"]
    ]
    if "served" in system:
        facts.append(("Form kept by itself", _served_text(system["served"])))
    if "leaks" in data:
        leaks = data["leaks"]
        facts += [
            ("Training file", f"{', '.join(data['train_files'])} ({data['train_couplets']:,} couplets)"),
            ("Leaks", f"{leaks['upper_lines']:,} test upper lines and {leaks['couplets']:,} test couplets stand in it"),
        ]
    return facts


def _outside_vocabulary_text(system: SystemDescription, results: Results) -> str:
    found, upper_lines = system["outside_vocabulary"], results["data"]["upper_lines"]
    assert found is not None
    if not found["characters"]:
        return "no character of the test file"
    uppers, lowers = (
        f"{count:,} ({100 * count / upper_lines:.0f}%)" for count in (found["upper_lines"], found["lower_lines"])
    )
    return (
        f"{uppers} upper lines hold characters that the model does not see, {lowers} first references hold some that "
        f"it cannot write; {found['characters']:,} different characters"
    )


def _served_text(served: ServedDescription) -> str:
    first, kept = (100 * served[name] / served["answers"] for name in ("kept_first", "kept"))
    within = f", {kept:.1f}% within {served['tries']} tries" if served["tries"] > 1 else ""
    return f"{first:.1f}% of {served['answers']:,} answers at the first try{within}"


def _runs_text(system: SystemDescription) -> str:
    runs = f"{system['runs']} run{'s' if system['runs'] > 1 else ''}"
    if system["decoding"] is None:
        return f"{runs}, from a file"
    if "served" in system:
        return f"{runs} of {system['served']['model']} at {system['served']['url']}"
    return f"{runs}, seeds {', '.join(map(str, system['seeds']))}" if system["seeds"] else f"{runs}, no sampling"


def _headline(results: Results) -> list[ShownFigure]:
    """Return the main figures of the model, beside those of the other systems on the same upper lines."""
    headline = []
    for figure in _figures(results):
        cells = results["figures"][figure["key"]]
        if figure["is_main"] and MODEL in cells:
            beside = [name for name in SYSTEMS if name in cells and "upper_lines" not in cells[name]]
            shown = [_shown_cell(name, cells[name], figure["unit"]) for name in beside]
            headline.append(ShownFigure(figure, ARROWS[Better(figure["better"])], shown))
    return headline


def _how_to_read(results: Results) -> str:
    samples = f"{results['settings']['bootstrap_samples']:,}"
    pool = "training" if results["data"]["train_files"] else "test"
    return (
        f"Brackets hold 95% intervals from {samples} bootstrap draws of upper lines; figures without brackets are no "
        "sum over lines. “Model − baseline” is drawn pairwise on the same upper lines. References: the first lower "
        "line that the test file has for each upper line, whoever wrote it (for overlap: the first against the others, "
        f"where an upper line has several). Chance: a random {pool} line of the same shape."
    )


def _groups(results: Results) -> list[ShownGroup]:
    columns = columns_of(results)
    shown = [figure for figure in _figures(results) if figure["is_shown"]]
    groups = []
    for group in Group:
        figures = []
        for figure in shown:
            if figure["group"] == group:
                found = results["figures"][figure["key"]]
                cells = [_shown_cell(column, found.get(column), figure["unit"]) for column in columns]
                figures.append(ShownFigure(figure, ARROWS[Better(figure["better"])], cells))
        if figures:
            groups.append(ShownGroup(group.value, group.explanation, figures))
    return groups


def _separation_table(results: Results) -> Table:
    defined = {figure["key"]: figure for figure in results["descriptions"]}
    rows = []
    for row in results["separation"]:
        figure = defined[row["figure"]]
        values = [format_value(row[name], figure["unit"]) for name in (REFERENCES, CHANCE)]  # type: ignore[literal-required]
        rows.append((figure["label"], *values, f"{row['auc']:.3f}", "yes" if row["kept"] else "no"))
    return Table(("Score", SYSTEMS[REFERENCES], SYSTEMS[CHANCE], "AUC", "Shown above"), rows)


def _length_labels(results: Results) -> list[str]:
    bounds = [(row["shortest"], row["longest"]) for row in results["by_length"]]
    return [str(low) if low == high else f"{low}–{high}" for low, high in bounds]


def _length_figures(results: Results) -> list[Description]:
    return [figure for figure in _figures(results) if figure["is_by_length"]]


def _length_table(results: Results) -> Table:
    figures = _length_figures(results)
    rows = []
    for label, row in zip(_length_labels(results), results["by_length"], strict=True):
        values = [format_value(row["figures"].get(figure["key"]), figure["unit"]) for figure in figures]
        rows.append((label, f"{row['upper_lines']:,}", *values))
    return Table(("Characters", "Upper lines", *(figure["label"] for figure in figures)), rows)


def _efficiency_tables(results: Results) -> list[tuple[str, Table]]:
    """Return the name and the table of each system whose efficiency was measured."""
    return [
        (system["name"], Table(("Measure", "Value"), _efficiency_rows(system["efficiency"])))
        for system in (results["system"], results["baseline"])
        if system and system["efficiency"]
    ]


def _efficiency_rows(efficiency: Efficiency) -> list[tuple[str, str]]:
    batch, plural = efficiency["batch_size"], "s" if efficiency["threads"] > 1 else ""
    processes = f" in each of {efficiency['processes']} processes" if efficiency["processes"] > 1 else ""
    return [
        ("Device", f"{efficiency['device']}, {efficiency['dtype']}, {efficiency['threads']} thread{plural}{processes}"),
        ("Loading the model", f"{efficiency['load_seconds']:.2f} s"),
        (f"Throughput, batch {batch}", f"{efficiency['couplets_per_second']:,.1f} couplets/s"),
        (f"Throughput, batch {batch}", f"{efficiency['tokens_per_second']:,.0f} tokens/s"),
        ("Latency, batch 1, median", f"{efficiency['latency_p50_ms']:,.1f} ms"),
        ("Latency, batch 1, 95th percentile", f"{efficiency['latency_p95_ms']:,.1f} ms"),
        ("Peak memory of the process", f"{efficiency['peak_memory_mib']:,.0f} MiB"),
        ("Parameters", f"{efficiency['parameters']:,}"),
        ("Size of the weights in memory", f"{efficiency['weights_mib']:,.1f} MiB"),
    ]


def _setting_table(results: Results) -> Table:
    settings = {**results["settings"], **(results["system"]["decoding"] or {})}
    return Table(("Setting", "Value"), [(name, str(value)) for name, value in settings.items()])


# --- plots ------------------------------------------------------------------------------------------------------------


def _plots(results: Results) -> dict[str, Any]:
    """Return the plots of the page as SVG."""
    labels = _length_labels(results)
    lengths = [
        bars(
            labels, [row["figures"].get(figure["key"]) for row in results["by_length"]], figure["label"], figure["unit"]
        )
        for figure in _length_figures(results)
    ]
    return {
        "position_plot": _position_plot(results),
        "histogram": _histogram(results),
        "length_plots": [_svg(plot) for plot in lengths],
        "rating_plots": _rating_plots(results),
    }


def _rating_plots(results: Results) -> dict[str, list[Markup]]:
    if "ratings" not in results:
        return {}
    plots = rating_plots(results["ratings"], results["descriptions"])
    return {title: [_svg(plot) for plot in found] for title, found in plots.items()}


def _position_plot(results: Results) -> Markup | None:
    rows = [
        {"label": figure["label"], "cells": results["figures"][figure["key"]]}
        for figure in _figures(results)
        if figure["is_shown"] and _spans_a_scale(results["figures"][figure["key"]])
    ]
    return _svg(between_chance_and_references(rows)) if rows else None


def _spans_a_scale(cells: dict[str, Cell]) -> bool:
    """Whether references and chance stand far enough apart (a twentieth of the larger) to place a model by them."""
    if not all(name in cells and cells[name].get("low") is not None for name in (MODEL, REFERENCES, CHANCE)):
        return False
    if "upper_lines" in cells[REFERENCES]:  # compared with one reference less, and on other upper lines
        return False
    references, chance = cells[REFERENCES]["value"], cells[CHANCE]["value"]
    if references is None or chance is None:
        return False
    return abs(references - chance) > 0.05 * max(abs(references), abs(chance))


def _histogram(results: Results) -> Markup | None:
    found = results["histogram"]
    if found is None:
        return None
    (figure,) = (figure for figure in results["descriptions"] if figure["key"] == found["figure"])
    unit = f" ({figure['unit']})" if figure["unit"] else ""
    return _svg(histogram(found["edges"], found["shares"], f"{figure['label']} of a line{unit}; share of lines"))


def _svg(plot: Element) -> Markup:
    """Return an element tree, which escapes its own texts, as markup."""
    return Markup(tostring(plot, encoding="unicode", method="html"))
