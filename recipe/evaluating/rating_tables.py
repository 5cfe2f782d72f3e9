"""What raters said, as tables for the reports and as lines for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recipe.evaluating.results import SYSTEMS, Cell, Description, RatersPanel, RatingResults
from recipe.evaluating.wording import Table, counted, format_interval, format_value

RATERS = {"person": "People", "model": "Models as judges"}
JUDGES_TITLE, FIGURES_TITLE = "How far the judges can be believed", "Which figure may be believed"
MOST_COMMENTS = 100  # in a report; `results.json` holds all


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


def rating_tables(results: RatingResults, descriptions: Sequence[Description] = ()) -> ShownRatings:
    """Return the section of ratings in words.

    Args:
        descriptions: definitions of the automatic figures that the ratings were compared with.
    """
    sources = [*results["files"], *(f"the judge {report['judge']}" for report in results["judges"])]
    introduction = (
        f"{counted(results['ratings'], 'rating')} from {', '.join(sources)}. Brackets hold 95% intervals from "
        "bootstrap draws: of items and raters for means, win rates and strengths, of items for everything else."
    )
    panels = [
        ShownPanel(RATERS[kind], [*_tables(panel), _comment_table(panel)], panel["notes"])
        for kind, panel in results["panels"].items()
    ]
    panels.append(ShownPanel(JUDGES_TITLE, _judge_tables(results), []))
    panels.append(ShownPanel(FIGURES_TITLE, _correlation_tables(results, descriptions), []))
    shown = [panel._replace(tables=[table for table in panel.tables if table.table.rows]) for panel in panels]
    return ShownRatings(introduction, [panel for panel in shown if panel.tables], results["notes"])


def rating_summary(results: RatingResults) -> str:
    """Return the main figures of the ratings as lines to print: means, win rates, agreement, biases, warnings."""
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
    for report in results["judges"]:
        tokens = f"{report['prompt_tokens']:,} tokens in, {report['completion_tokens']:,} out"
        lines.append(f"{report['judge']}: {counted(report['paid'], 'new call')}; {tokens}, cached ones included")
    for row in results["biases"]["position"]:
        lines.append(f"{row['judge']}, share of verdicts that changed with the order: {_cell(row['changed'])}")
    for row in results["biases"]["with_people"]:
        lines.append(f"{row['judge']}, agreement with people on {row['dimension']} (kappa): {_cell(row['kappa'])}")
    return "\n".join([*lines, *results["notes"]])


def _judge_tables(results: RatingResults) -> list[ShownTable]:
    biases = results["biases"]
    return [
        ShownTable(
            "Agreement with people",
            "On what both rated. Kappa: Cohen's, of the judge with a person drawn at random, quadratic weights for "
            "points. People: the same of two people. Alpha: Krippendorff's, of the judge and the people together.",
            _table(
                biases["with_people"],
                "Judge",
                _judge,
                ("Asked for", "kind"),
                ("Rated by both", "units"),
                ("Kappa", "kappa"),
                ("People", "people"),
                ("Alpha", "alpha"),
                ("Enough", "is_low"),
            ),
        ),
        ShownTable(
            "Position",
            "Each pair is asked twice, the second time with the answers swapped; a verdict that changes counts as a "
            "tie. First: share of the choices that went to the answer shown first; 0.5 is no bias.",
            Table(
                ("Judge", "Pairs", "Changed with the order", "First"),
                [
                    (row["judge"], f"{row['pairs']:,}", _cell(row["changed"]), _cell(row["first"]))
                    for row in biases["position"]
                ],
            ),
        ),
        ShownTable(
            "Length",
            "Share of the decided comparisons of answers of different lengths that the longer one won, and the same "
            "share of people on these pairs of answers.",
            _table(
                biases["length"],
                "Judge",
                _judge,
                ("From", "source"),
                ("Comparisons", "comparisons"),
                ("Longer", "longer"),
                ("People", "people"),
            ),
        ),
        ShownTable(
            "Own answers",
            "How often answers by the judge itself won against other systems, a tie counting half, according to the "
            "judge and according to others on the same pairs of answers.",
            _table(
                biases["own"],
                "Judge",
                lambda row: f"{row['judge']} on {_name(row)}",
                ("From", "source"),
                ("Comparisons", "comparisons"),
                ("Judge", "own"),
                ("Others", "others"),
                ("Who they are", "compared_with"),
            ),
        ),
        ShownTable(
            "Questions",
            "Malformed answers were asked for again, at most twice. Prompts: the first digits of the SHA-256 of each.",
            Table(
                ("Judge", "Asked", "New calls", "Malformed", "Unreadable", "Refused", "Left", "Tokens", "Prompts"),
                [_report_row(report) for report in results["judges"]],
            ),
        ),
    ]


def _report_row(report: Mapping[str, Any]) -> tuple[str, ...]:
    counts = [report[name] for name in ("asked", "paid", "malformed", "unreadable")]
    counts += [len(report["refused"]), report["left"], report["prompt_tokens"] + report["completion_tokens"]]
    prompts = ", ".join(f"{name} {digest[:8]}" for name, digest in report["prompts"].items())
    return (f"{report['judge']} at {report['url']}", *(f"{count:,}" for count in counts), prompts)


def _judge(row: Mapping[str, Any]) -> str:
    return row["judge"]


def _correlation_tables(results: RatingResults, descriptions: Sequence[Description]) -> list[ShownTable]:
    labels = {figure["key"]: figure["label"] for figure in descriptions}
    rows = results["correlations"]
    whose = RATERS[rows[0]["panel"]].lower() if rows else ""
    header = ("Figure", "Dimension", "Answers", "Spearman's correlation")
    return [
        ShownTable(
            dimension,
            f"Spearman's rank correlation of every figure of single lines with the mean rating by {whose}, over the "
            "answers that have both: 1 orders them as the raters do, 0 says nothing. A dash: the figure is the same "
            "for all of them. Figures of whole corpora have no value for a line.",
            Table(
                header,
                [
                    (
                        labels.get(row["figure"], row["figure"]),
                        dimension,
                        f"{row['answers']:,}",
                        _cell(row["correlation"]),
                    )
                    for row in sorted(rows, key=_strength)
                    if row["dimension"] == dimension
                ],
            ),
        )
        for dimension in dict.fromkeys(row["dimension"] for row in rows)
    ]


def _strength(row: Mapping[str, Any]) -> float:
    return -abs(row["correlation"]["value"] or 0.0)


def _comment_table(panel: RatersPanel) -> ShownTable:
    comments = panel["comments"]
    more = f" The first {MOST_COMMENTS} of {len(comments):,}." if len(comments) > MOST_COMMENTS else ""
    return ShownTable(
        "Comments",
        f"What raters wrote of their own.{more}",
        Table(
            ("Prompt", "Answer", "System", "Rater", "Comment"),
            [
                (
                    row["item"],
                    " / ".join(row["answers"]) or "–",
                    " / ".join(SYSTEMS.get(name, name) for name in row["systems"]) or "attention check",
                    row["rater"],
                    row["text"],
                )
                for row in comments[:MOST_COMMENTS]
            ],
        ),
    )


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
    if isinstance(value, bool):
        return "no" if value else "yes"  # of what is lacking
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping) and "needed" in value:
        needed = "no difference to find" if value["needed"] is None else f"{value['needed']:,} needed"
        return f"{value['items']:,} rated, {needed}"
    return _cell(value) if isinstance(value, Mapping) else format_value(value)  # type: ignore[arg-type]
