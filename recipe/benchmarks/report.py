"""The report of a benchmark run, from its results alone: Markdown, one self-contained HTML page, lines to print."""

from __future__ import annotations

from typing import Any, TypedDict

from recipe.benchmarks.names import CLOZE_ENDING
from recipe.benchmarks.table import Row
from recipe.evaluating.results import Cell
from recipe.evaluating.wording import Table, format_interval, format_value
from recipe.language import N_, _, enumerated
from recipe.templating import render

HEADER = (
    N_("Benchmark"),
    N_("Measure"),
    N_("Split, questions, shots"),
    N_("Figure, 95% interval"),
    N_("Chance"),
    N_("Baseline, difference"),
    N_("Ties, [UNK]"),
    N_("Note"),
)
CHANGE_HEADER = (N_("What"), N_("Before"), N_("After"), N_("Change, 95% interval"), N_("Reading"))
NO_FIGURE = "—"
READING = N_(
    "Figures are per cent. Brackets hold 95% intervals: Wilson's for shares of questions, 1,000 "
    "bootstrap draws of questions for all else and for differences, which are paired. Chance: a random "
    "answer. — is no figure, and the note says why: options that the model cannot tell apart, questions "
    "that it cannot read, one answer to everything."
)


class BenchmarkResults(TypedDict):
    """What `results.json` holds.

    Attributes:
        limit: questions of each task that were asked at most; None for all.
        notes: what a reader has to know of the whole run.
    """

    model: str
    baseline: str | None
    rows: list[Row]
    limit: int | None
    settings: dict[str, Any]
    versions: dict[str, str]
    notes: list[str]


def markdown_report(results: BenchmarkResults) -> str:
    """Return the whole report as Markdown."""
    return render("benchmark.md", **_contents(results))


def html_report(results: BenchmarkResults) -> str:
    """Return the whole report as one HTML page without any other file, script or request."""
    return render("benchmark.html", **_contents(results))


def summary(results: BenchmarkResults) -> str:
    """Return the table as plain text, without the columns that a screen has no room for."""
    lines = []
    for row in results["rows"]:
        shown = _cells(row)
        parts = [
            _("{title}, {measure}: {figure}").format(title=_title(row), measure=_(row["measure"]), figure=shown[3])
        ]
        parts += [_("chance {value}").format(value=shown[4])] if row["chance"] is not None else []
        parts += [_("baseline {value}").format(value=shown[5])] if results["baseline"] else []
        lines.append(_("{figures} ({shots})").format(figures=_("; ").join(parts), shots=shown[2]))
        lines += [f"  {reason}" for reason in row["reasons"]]
    return "\n".join(lines)


def _contents(results: BenchmarkResults) -> dict[str, Any]:
    facts = [(_("Model"), results["model"]), (_("Baseline"), results["baseline"] or _("none"))]
    if results["limit"] is not None:
        trial = _("only the first {count:,} of each task: a trial, not a result").format(count=results["limit"])
        facts.append((_("Questions"), trial))
    settings = [(name, str(value)) for name, value in results["settings"].items()]
    return {
        "name": results["model"],
        "facts": facts,
        "reading": _(READING),
        "figures": Table([_(title) for title in HEADER], [_cells(row) for row in results["rows"]]),
        "changes": _changes(results),
        "failures": [
            (_title(row), Table((_("Task"), _("Not run")), list(row["failures"].items())))
            for row in results["rows"]
            if row["failures"]
        ],
        "notes": results["notes"],
        "settings": Table((_("Setting"), _("Value")), settings),
        "versions": Table((_("Package"), _("Version")), list(results["versions"].items())),
    }


def _cells(row: Row) -> list[str]:
    """Return a row of the table in words, in the order of `HEADER`."""
    title = _title(row)
    if row["tasks"] != row["known_tasks"]:
        title = _("{title} ({count} of {total} tasks)").format(
            title=title, count=row["tasks"], total=row["known_tasks"]
        )
    if row["tasks"]:
        title = _("{title}, version {version}").format(title=title, version=row["version"])
    shots = f"{row['split']}, {row['questions']:,}, {row['shots']}" if row["tasks"] else NO_FIGURE
    unread = [] if row["tied"] is None else [_("{share:.0%} tied").format(share=row["tied"])]
    unread.append(f"{row['unknown']:.1%} [UNK]")
    return [
        title,
        _(row["measure"]),
        shots,
        _figure(row["figure"]),
        NO_FIGURE if row["chance"] is None else format_value(row["chance"], "%"),
        _beside(row),
        enumerated(unread) if row["tasks"] else NO_FIGURE,
        _("; ").join([*row["reasons"], *row["notes"]]),
    ]


def _title(row: Row) -> str:
    """Return the title of a row; that of a cloze variant is made of its benchmark's."""
    benchmark = row["title"].removesuffix(CLOZE_ENDING)
    if benchmark != row["title"]:
        return _("{benchmark}, cloze variant").format(benchmark=_(benchmark))
    return _(benchmark)


def _figure(cell: Cell | None) -> str:
    return NO_FIGURE if cell is None else f"{format_value(cell['value'], '%')} {format_interval(cell)}".strip()


def _beside(row: Row) -> str:
    if row["difference"] is None:
        return _figure(row["baseline"])
    sign = "+" if (row["difference"]["value"] or 0) > 0 else ""
    return f"{_figure(row['baseline'])}, {sign}{_figure(row['difference'])}"


def _changes(results: BenchmarkResults) -> Table | None:
    """Return what fine-tuning changed, where there is a model from before it; None where nothing can be compared."""
    rows = []
    for row in results["rows"]:
        change = row["difference"]
        if change is not None:
            name = _("{title}, {measure}").format(title=_title(row), measure=_(row["measure"]))
            rows.append((name, _figure(row["baseline"]), _figure(row["figure"]), _figure(change), _reading(change)))
    return Table([_(title) for title in CHANGE_HEADER], rows) if rows else None


def _reading(change: Cell) -> str:
    low, high = change.get("low"), change.get("high")
    assert low is not None and high is not None
    return _("higher") if low > 0 else _("lower") if high < 0 else _("no difference shown")
