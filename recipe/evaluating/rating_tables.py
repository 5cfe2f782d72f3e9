"""What raters said, as tables for the reports and as lines for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recipe.evaluating.results import SYSTEMS, Cell, RatersPanel, RatingResults
from recipe.evaluating.wording import Table, format_interval, format_value

RATERS = {"person": "People", "model": "Models as judges"}


class ShownTable(NamedTuple):
    """A table with its title and what its figures mean."""

    title: str
    explanation: str
    table: Table


class ShownPanel(NamedTuple):
    """Everything that one kind of raters said."""

    title: str
    tables: list[ShownTable]
    notes: list[str]


class ShownRatings(NamedTuple):
    """The section of the report."""

    introduction: str
    panels: list[ShownPanel]
    notes: list[str]


def rating_tables(results: RatingResults) -> ShownRatings:
    """Return the section of ratings in words."""
    introduction = (
        f"{results['ratings']:,} ratings from {', '.join(results['files'])}. Brackets hold 95% intervals from "
        "bootstrap draws: of items and raters for means, win rates and strengths, of items for agreement."
    )
    panels = [
        ShownPanel(RATERS[kind], [table for table in _tables(panel) if table.table.rows], panel["notes"])
        for kind, panel in results["panels"].items()
    ]
    return ShownRatings(introduction, panels, results["notes"])


def rating_summary(results: RatingResults) -> str:
    """Return the main figures of the ratings as lines to print: means, win rates of pairs, agreement, warnings."""
    lines = []
    for kind, panel in results["panels"].items():
        lines.append(f"Ratings by {RATERS[kind].lower()} ({len(panel['raters'])}):")
        lines += [f"  {row['dimension']}, {_name(row)}: {_cell(row['mean'])}" for row in panel["means"]]
        lines += [
            f"  {_pair(row)}, win rate: {_cell(row['rate'])}" for row in panel["wins"] if row["source"] == "pairs"
        ]
        for row in panel["agreement"]:
            level = "nominal" if row["ordinal"] is None else "ordinal"
            lines.append(f"  {row['dimension']}, Krippendorff's alpha ({level}): {_cell(row[level])}")
        lines += [f"  {note}" for note in panel["notes"]]
    return "\n".join([*lines, *results["notes"]])


def _tables(panel: RatersPanel) -> list[ShownTable]:
    return [
        ShownTable(
            "Means",
            "In points of the scale, higher is better.",
            _table(panel["means"], "System", _name, ("Ratings", "ratings"), ("Items", "items"), ("Mean", "mean")),
        ),
        ShownTable(
            "Differences",
            "First minus second, and how many items it takes to find such a difference in 80% of all studies at the 5% "
            "level, with these raters.",
            _table(panel["differences"], "Systems", _pair, ("Difference", "difference"), ("Items", "sample")),
        ),
        ShownTable(
            "Win rates",
            "Share of comparisons that the first wins; a tie, or both bad, is half a win. From pairs that were asked, "
            "or from the two scores that one rater gave.",
            _table(
                panel["wins"],
                "Systems",
                _pair,
                ("From", "source"),
                ("Wins", "wins"),
                ("Losses", "losses"),
                ("Ties", "ties"),
                ("Both bad", "both_bad"),
                ("Rate", "rate"),
                ("Items", "sample"),
            ),
        ),
        ShownTable(
            "Strengths",
            "Natural logarithm of the Bradley-Terry strength; the mean of all systems is 0.",
            _table(panel["strengths"], "System", _name, ("From", "source"), ("Strength", "strength")),
        ),
        ShownTable(
            "Agreement",
            "Krippendorff's alpha: 1 is full agreement, 0 what chance gives. Equal, within one point: shares of pairs "
            "of ratings.",
            _table(
                panel["agreement"],
                "Asked for",
                lambda row: row["kind"],
                ("Answers", "units"),
                ("Nominal", "nominal"),
                ("Ordinal", "ordinal"),
                ("Equal", "equal"),
                ("Within one point", "within_one"),
            ),
        ),
        ShownTable(
            "Raters in pairs",
            "Cohen's kappa: quadratic weights for points, none for choices.",
            _table(panel["kappas"], "Raters", _pair, ("Answers", "units"), ("Kappa", "kappa")),
        ),
        ShownTable("Raters", "Attention checks are answers broken on purpose.", _rater_table(panel["raters"])),
    ]


def _table(rows: Sequence[Mapping[str, Any]], whose: str, name: Any, *columns: tuple[str, str]) -> Table:
    header = (whose, "Dimension", *(title for title, _ in columns))
    return Table(header, [(name(row), row["dimension"], *(_shown(row[key]) for _, key in columns)) for row in rows])


def _rater_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("Rater", "Ratings", "Mean", "Checks noticed", "Passed")
    return Table(
        header,
        [
            (
                row["rater"],
                f"{row['ratings']:,}",
                format_value(row["mean"]),
                f"{row['noticed']} of {row['checks']}",
                "no" if row["failed"] else "yes",
            )
            for row in rows
        ],
    )


def _name(row: Mapping[str, Any]) -> str:
    return SYSTEMS.get(row["system"], row["system"])


def _pair(row: Mapping[str, Any]) -> str:
    return " / ".join(SYSTEMS.get(row[key], row[key]) for key in ("first", "second"))


def _cell(cell: Cell) -> str:
    return f"{format_value(cell['value'])} {format_interval(cell)}".strip()


def _shown(value: Any) -> str:
    """Return a text, a count, a share, an interval or a sample size as it stands in a table."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping) and "needed" in value:
        needed = "no difference to find" if value["needed"] is None else f"{value['needed']:,} needed"
        return f"{value['items']:,} rated, {needed}"
    return _cell(value) if isinstance(value, Mapping) else format_value(value)  # type: ignore[arg-type]
