"""The report of an evaluation, from its results alone: Markdown, one self-contained HTML page, and a summary to print.

Here the results become words, tables and plots; how they are laid out stands in `recipe/templates/`, and
`recipe.templating` escapes every text that comes from data (couplets, file names, labels, notes).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from markupsafe import Markup

from recipe.evaluating.plots import bars, between_chance_and_references, drawn, histogram
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
    system_name,
)
from recipe.evaluating.wording import Table, aligned, format_interval, format_value
from recipe.language import _, enumerated, ngettext
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
            rows.append([_(figure["label"]), *(_plain_cell(cells.get(column), figure["unit"]) for column in columns)])
    return "\n".join([*aligned(rows), *_vocabulary_lines(results)])


def _vocabulary_lines(results: Results) -> list[str]:
    systems = {
        _("characters outside the model's vocabulary: {found}"): results["system"],
        _("characters outside the baseline's vocabulary: {found}"): results["baseline"],
    }
    return [
        said.format(found=_outside_vocabulary_text(system, results))
        for said, system in systems.items()
        if system and system["outside_vocabulary"] and system["outside_vocabulary"]["characters"]
    ]


# --- single figures in words ------------------------------------------------------------------------------------------


def columns_of(results: Results) -> dict[str, str]:
    """Return the columns that hold at least one figure, with their titles, in the order of the tables."""
    used = {column for row in results["figures"].values() for column in row}
    return {column: _(title) for column, title in COLUMNS.items() if column in used}


def _plain_cell(cell: Cell | None, unit: str) -> str:
    if cell is None:
        return "–"
    figure = f"{format_value(cell['value'], unit)} {format_interval(cell)}".strip()
    if "upper_lines" not in cell:
        return figure
    return _("{figure} on {count:,}").format(figure=figure, count=cell["upper_lines"])


def _shown_cell(column: str, cell: Cell | None, unit: str) -> ShownCell:
    """Return the figure, its interval, the lowest and highest seed, on how many upper lines."""
    if cell is None:
        return ShownCell(column, None, [])
    details = [format_interval(cell)] if format_interval(cell) else []
    if "runs" in cell:
        low, high = (format_value(bound, unit) for bound in (min(cell["runs"]), max(cell["runs"])))
        details.append(_("seeds {low} to {high}").format(low=low, high=high))
    if "upper_lines" in cell:
        details.append(_("on {upper_lines:,} upper lines").format(upper_lines=cell["upper_lines"]))
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
        "systems": {name: _(title) for name, title in SYSTEMS.items() if name in columns},
        "headline": _headline(results),
        "reading": _how_to_read(results),
        "groups": _groups(results),
        "separation": _separation_table(results) if results["separation"] else None,
        "length_counts": _length_counts(results),
        "lengths": _length_table(results) if results["by_length"] else None,
        "efficiency": _efficiency_tables(results),
        "samples": results["samples"],
        "sampled": [name for name in SYSTEMS if name in results["samples"][0]],
        "settings": _setting_table(results),
        "signatures": Table((_("Figure"), "sacrebleu"), list(results["signatures"].items())),
        "notes": results["notes"],
        "ratings": rating_tables(results["ratings"], results["descriptions"]) if "ratings" in results else None,
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    """Return what was evaluated, as names and values."""
    system, baseline, data = results["system"], results["baseline"], results["data"]
    facts = [
        (_("Evaluated"), system["name"]),
        (_("Baseline"), baseline["name"] if baseline else _("none")),
        (
            _("Test file"),
            _("{files} ({count:,} couplets)").format(files=enumerated(data["test_files"]), count=data["rows"]),
        ),
        (_("Upper lines"), _("{count:,} different ones").format(count=data["upper_lines"])),
        (
            _("References"),
            _("{mean:.2f} for each upper line, at most {most}").format(
                mean=data["references_mean"], most=data["references_most"]
            ),
        ),
        (_("Answers"), _runs_text(system)),
    ]
    facts += [
        (title, _outside_vocabulary_text(found, results))
        for title, found in (
            (_("Outside the model's vocabulary"), system),
            (_("Outside the baseline's vocabulary"), baseline),
        )
        if found and found["outside_vocabulary"]
    ]
    if "served" in system:
        facts.append((_("Form kept unaided"), _served_text(system["served"])))
    if "leaks" in data:
        leaks = data["leaks"]
        facts += [
            (
                _("Training file"),
                _("{files} ({count:,} couplets)").format(
                    files=enumerated(data["train_files"]), count=data["train_couplets"]
                ),
            ),
            (
                _("Leaks"),
                _("{uppers:,} test upper lines and {couplets:,} test couplets stand in it").format(
                    uppers=leaks["upper_lines"], couplets=leaks["couplets"]
                ),
            ),
        ]
    return facts


def _outside_vocabulary_text(system: SystemDescription, results: Results) -> str:
    found, upper_lines = system["outside_vocabulary"], results["data"]["upper_lines"]
    assert found is not None
    if not found["characters"]:
        return _("no character of the test file")
    uppers, lowers = (
        f"{count:,} ({100 * count / upper_lines:.0f}%)" for count in (found["upper_lines"], found["lower_lines"])
    )
    return _(
        "{uppers} upper lines hold characters that the model does not see, {lowers} first references hold some that "
        "it cannot write; {characters:,} different characters"
    ).format(uppers=uppers, lowers=lowers, characters=found["characters"])


def _served_text(served: ServedDescription) -> str:
    first, kept = (100 * served[name] / served["answers"] for name in ("kept_first", "kept"))
    if served["tries"] == 1:
        return _("{first:.1f}% of {answers:,} answers at the first try").format(first=first, answers=served["answers"])
    return _("{first:.1f}% of {answers:,} answers at the first try, {kept:.1f}% within {tries} tries").format(
        first=first, answers=served["answers"], kept=kept, tries=served["tries"]
    )


def _runs_text(system: SystemDescription) -> str:
    runs = system["runs"]
    if system["decoding"] is None:
        return ngettext("{runs} run, from a file", "{runs} runs, from a file", runs).format(runs=runs)
    if "served" in system:
        return ngettext("{runs} run of {model} at {address}", "{runs} runs of {model} at {address}", runs).format(
            runs=runs, model=system["served"]["model"], address=system["served"]["url"]
        )
    if not system["seeds"]:
        return ngettext("{runs} run, no sampling", "{runs} runs, no sampling", runs).format(runs=runs)
    seeds = enumerated(map(str, system["seeds"]))
    return ngettext("{runs} run, seed {seeds}", "{runs} runs, seeds {seeds}", runs).format(runs=runs, seeds=seeds)


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
    from_training_file = _(
        "Brackets hold 95% intervals from {samples:,} bootstrap draws of upper lines; figures without brackets are no "
        "sum over lines. “Model − baseline” is drawn pairwise on the same upper lines. References: the first lower "
        "line that the test file has for each upper line, whoever wrote it (for overlap: the first against the others, "
        "where an upper line has several). Chance: a random training line of the same shape."
    )
    from_test_file = _(
        "Brackets hold 95% intervals from {samples:,} bootstrap draws of upper lines; figures without brackets are no "
        "sum over lines. “Model − baseline” is drawn pairwise on the same upper lines. References: the first lower "
        "line that the test file has for each upper line, whoever wrote it (for overlap: the first against the others, "
        "where an upper line has several). Chance: a random test line of the same shape."
    )
    explanation = from_training_file if results["data"]["train_files"] else from_test_file
    return explanation.format(samples=results["settings"]["bootstrap_samples"])


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
            groups.append(ShownGroup(_(group.value), _(group.explanation), figures))
    return groups


def _separation_table(results: Results) -> Table:
    defined = {figure["key"]: figure for figure in results["descriptions"]}
    rows = []
    for row in results["separation"]:
        figure = defined[row["figure"]]
        values = [format_value(row[name], figure["unit"]) for name in (REFERENCES, CHANCE)]  # type: ignore[literal-required]
        rows.append((_(figure["label"]), *values, f"{row['auc']:.3f}", _("yes") if row["kept"] else _("no")))
    return Table((_("Score"), system_name(REFERENCES), system_name(CHANCE), "AUC", _("Shown above")), rows)


def _length_labels(results: Results) -> list[str]:
    bounds = [(row["shortest"], row["longest"]) for row in results["by_length"]]
    return [str(low) if low == high else f"{low}–{high}" for low, high in bounds]


def _length_counts(results: Results) -> str:
    rows = zip(_length_labels(results), results["by_length"], strict=True)
    return _("; ").join(_("{length}: {count:,}").format(length=label, count=row["upper_lines"]) for label, row in rows)


def _length_figures(results: Results) -> list[Description]:
    return [figure for figure in _figures(results) if figure["is_by_length"]]


def _length_table(results: Results) -> Table:
    figures = _length_figures(results)
    rows = []
    for label, row in zip(_length_labels(results), results["by_length"], strict=True):
        values = [format_value(row["figures"].get(figure["key"]), figure["unit"]) for figure in figures]
        rows.append((label, f"{row['upper_lines']:,}", *values))
    return Table((_("Characters"), _("Upper lines"), *(_(figure["label"]) for figure in figures)), rows)


def _efficiency_tables(results: Results) -> list[tuple[str, Table]]:
    """Return the name and the table of each system whose efficiency was measured."""
    return [
        (system["name"], Table((_("Measure"), _("Value")), _efficiency_rows(system["efficiency"])))
        for system in (results["system"], results["baseline"])
        if system and system["efficiency"]
    ]


def _efficiency_rows(efficiency: Efficiency) -> list[tuple[str, str]]:
    batch = efficiency["batch_size"]
    throughput = _("Throughput, batch {size}").format(size=batch)
    return [
        (_("Device"), _device_text(efficiency)),
        (_("Loading the model"), f"{efficiency['load_seconds']:.2f} s"),
        (throughput, _("{rate:,.1f} couplets/s").format(rate=efficiency["couplets_per_second"])),
        (throughput, _("{rate:,.0f} tokens/s").format(rate=efficiency["tokens_per_second"])),
        (_("Latency, batch 1, median"), f"{efficiency['latency_p50_ms']:,.1f} ms"),
        (_("Latency, batch 1, 95th percentile"), f"{efficiency['latency_p95_ms']:,.1f} ms"),
        (_("Peak memory of the process"), f"{efficiency['peak_memory_mib']:,.0f} MiB"),
        (_("Parameters"), f"{efficiency['parameters']:,}"),
        (_("Size of the weights in memory"), f"{efficiency['weights_mib']:,.1f} MiB"),
    ]


def _device_text(efficiency: Efficiency) -> str:
    if efficiency["processes"] > 1:
        said = ngettext(
            "{device}, {dtype}, {threads} thread in each of {processes} processes",
            "{device}, {dtype}, {threads} threads in each of {processes} processes",
            efficiency["threads"],
        )
    else:
        said = ngettext(
            "{device}, {dtype}, {threads} thread", "{device}, {dtype}, {threads} threads", efficiency["threads"]
        )
    return said.format(**efficiency)


def _setting_table(results: Results) -> Table:
    settings = {**results["settings"], **(results["system"]["decoding"] or {})}
    return Table((_("Setting"), _("Value")), [(name, str(value)) for name, value in settings.items()])


# --- plots ------------------------------------------------------------------------------------------------------------


def _plots(results: Results) -> dict[str, Any]:
    """Return the plots of the page as SVG."""
    labels = _length_labels(results)
    lengths = [
        bars(
            labels,
            [row["figures"].get(figure["key"]) for row in results["by_length"]],
            _(figure["label"]),
            figure["unit"],
        )
        for figure in _length_figures(results)
    ]
    return {
        "position_plot": _position_plot(results),
        "histogram": _histogram(results),
        "length_plots": [drawn(plot) for plot in lengths],
        "rating_plots": _rating_plots(results),
    }


def _rating_plots(results: Results) -> dict[str, list[Markup]]:
    if "ratings" not in results:
        return {}
    return rating_plots(results["ratings"], results["descriptions"])


def _position_plot(results: Results) -> Markup | None:
    rows = [
        {"label": _(figure["label"]), "cells": results["figures"][figure["key"]]}
        for figure in _figures(results)
        if figure["is_shown"] and _spans_a_scale(results["figures"][figure["key"]])
    ]
    return drawn(between_chance_and_references(rows)) if rows else None


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
    label = _(figure["label"])
    if figure["unit"]:
        axis = _("{figure} of a line ({unit}); share of lines").format(figure=label, unit=figure["unit"])
    else:
        axis = _("{figure} of a line; share of lines").format(figure=label)
    return drawn(histogram(found["edges"], found["shares"], axis))
