"""What raters said, as tables for the reports and as lines for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recipe.evaluating.results import Cell, Description, RatersPanel, RatingResults, system_name
from recipe.evaluating.wording import Table, format_interval, format_value
from recipe.language import N_, _, enumerated, ngettext

RATERS = {"person": N_("People"), "model": N_("Models as judges")}
JUDGES_TITLE, FIGURES_TITLE = N_("How far the judges can be believed"), N_("Which figure may be believed")
# What stands in cells as `results.json` has it: where comparisons come from, the kinds of sheets, the others.
_WORDS = [N_("pairs"), N_("scores"), N_("absolute"), N_("pair"), N_("people"), N_("other judges")]
WORDS = {word: word for word in _WORDS}
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
    judges = (_("the judge {name}").format(name=report["judge"]) for report in results["judges"])
    introduction = ngettext(
        "{count:,} rating from {sources}. Brackets hold 95% intervals from bootstrap draws: of items and raters for "
        "means, win rates and strengths, of items for everything else.",
        "{count:,} ratings from {sources}. Brackets hold 95% intervals from bootstrap draws: of items and raters for "
        "means, win rates and strengths, of items for everything else.",
        results["ratings"],
    ).format(count=results["ratings"], sources=enumerated([*results["files"], *judges]))
    panels = [
        ShownPanel(_(RATERS[kind]), [*_tables(panel), _comment_table(panel)], panel["notes"])
        for kind, panel in results["panels"].items()
    ]
    panels.append(ShownPanel(_(JUDGES_TITLE), _judge_tables(results), []))
    compared = [*_correlation_tables(results, descriptions), *_choice_tables(results, descriptions)]
    panels.append(ShownPanel(_(FIGURES_TITLE), compared, []))
    shown = [panel._replace(tables=[table for table in panel.tables if table.table.rows]) for panel in panels]
    return ShownRatings(introduction, [panel for panel in shown if panel.tables], results["notes"])


def rating_summary(results: RatingResults) -> str:
    """Return the main figures of the ratings as lines to print: means, win rates, agreement, biases, warnings."""
    lines = []
    for kind, panel in results["panels"].items():
        title = _("Ratings by people ({count}):") if kind == "person" else _("Ratings by models as judges ({count}):")
        lines.append(title.format(count=len(panel["raters"])))
        lines += [f"  {row['dimension']}, {_name(row)}: {_cell(row['mean'])}" for row in panel["means"]]
        lines += [
            "  " + _("{pair}, win rate: {rate}").format(pair=_pair(row), rate=_cell(row["rate"]))
            for row in panel["wins"]
            if row["source"] == "pairs"
        ]
        for row in panel["agreement"]:
            if row["ordinal"] is None:
                said, alpha = _("{dimension}, Krippendorff's alpha (nominal): {alpha}"), row["nominal"]
            else:
                said, alpha = _("{dimension}, Krippendorff's alpha (ordinal): {alpha}"), row["ordinal"]
            lines.append("  " + said.format(dimension=row["dimension"], alpha=_cell(alpha)))
        lines += [f"  {note}" for note in panel["notes"]]
    for report in results["judges"]:
        calls = ngettext(
            "{judge}: {count:,} new call; {read:,} tokens in, {written:,} out, cached ones included",
            "{judge}: {count:,} new calls; {read:,} tokens in, {written:,} out, cached ones included",
            report["paid"],
        )
        read, written = report["prompt_tokens"], report["completion_tokens"]
        lines.append(calls.format(judge=report["judge"], count=report["paid"], read=read, written=written))
    for row in results["biases"]["position"]:
        lines.append(
            _("{judge}, share of verdicts that changed with the order: {share}").format(
                judge=row["judge"], share=_cell(row["changed"])
            )
        )
    for row in results["biases"]["with_people"]:
        lines.append(
            _("{judge}, agreement with people on {dimension} (kappa): {kappa}").format(
                judge=row["judge"], dimension=row["dimension"], kappa=_cell(row["kappa"])
            )
        )
    return "\n".join([*lines, *results["notes"]])


def _judge_tables(results: RatingResults) -> list[ShownTable]:
    biases = results["biases"]
    return [
        ShownTable(
            _("Agreement with people"),
            _(
                "On what both rated. Kappa: Cohen's, of the judge with a person drawn at random, quadratic weights "
                "for points. People: the same of two people. Alpha: Krippendorff's, of the judge and the people "
                "together."
            ),
            _table(
                biases["with_people"],
                _("Judge"),
                _judge,
                (_("Asked for"), "kind"),
                (_("Rated by both"), "units"),
                (_("Kappa"), "kappa"),
                (_("People"), "people"),
                (_("Alpha"), "alpha"),
                (_("Enough"), "is_low"),
            ),
        ),
        ShownTable(
            _("Position"),
            _(
                "Each pair is asked twice, the second time with the answers swapped; a verdict that changes counts "
                "as a tie. First: share of the choices that went to the answer shown first; 0.5 is no bias."
            ),
            Table(
                (_("Judge"), _("Pairs"), _("Changed with the order"), _("First")),
                [
                    (row["judge"], f"{row['pairs']:,}", _cell(row["changed"]), _cell(row["first"]))
                    for row in biases["position"]
                ],
            ),
        ),
        ShownTable(
            _("Length"),
            _(
                "Share of the decided comparisons of answers of different lengths that the longer one won, and the "
                "same share of people on these pairs of answers."
            ),
            _table(
                biases["length"],
                _("Judge"),
                _judge,
                (_("From"), "source"),
                (_("Comparisons"), "comparisons"),
                (_("Longer"), "longer"),
                (_("People"), "people"),
            ),
        ),
        ShownTable(
            _("Own answers"),
            _(
                "How often answers by the judge itself won against other systems, a tie counting half, according to "
                "the judge and according to others on the same pairs of answers."
            ),
            _table(
                biases["own"],
                _("Judge"),
                lambda row: _("{judge} on {system}").format(judge=row["judge"], system=_name(row)),
                (_("From"), "source"),
                (_("Comparisons"), "comparisons"),
                (_("Judge"), "own"),
                (_("Others"), "others"),
                (_("Who they are"), "compared_with"),
            ),
        ),
        ShownTable(
            _("Questions"),
            _(
                "Malformed answers were asked for again, at most twice. Prompts: the first digits of the SHA-256 of "
                "each."
            ),
            Table(
                (
                    _("Judge"),
                    _("Asked"),
                    _("New calls"),
                    _("Malformed"),
                    _("Unreadable"),
                    _("Refused"),
                    _("Left"),
                    _("Tokens"),
                    _("Prompts"),
                ),
                [_report_row(report) for report in results["judges"]],
            ),
        ),
    ]


def _report_row(report: Mapping[str, Any]) -> tuple[str, ...]:
    counts = [report[name] for name in ("asked", "paid", "malformed", "unreadable")]
    counts += [len(report["refused"]), report["left"], report["prompt_tokens"] + report["completion_tokens"]]
    prompts = enumerated(f"{name} {digest[:8]}" for name, digest in report["prompts"].items())
    return (
        _("{judge} at {address}").format(judge=report["judge"], address=report["url"]),
        *(f"{count:,}" for count in counts),
        prompts,
    )


def _judge(row: Mapping[str, Any]) -> str:
    return row["judge"]


def _correlation_tables(results: RatingResults, descriptions: Sequence[Description]) -> list[ShownTable]:
    by_people = _(
        "Spearman's rank correlation of every figure of single lines with the mean rating by people, over the answers "
        "that have both: 1 orders them as the raters do, 0 means no relation. A dash: the figure is the same for all "
        "of them. Figures of whole corpora have no value for a line."
    )
    by_judges = _(
        "Spearman's rank correlation of every figure of single lines with the mean rating by models as judges, over "
        "the answers that have both: 1 orders them as the raters do, 0 means no relation. A dash: the figure is the "
        "same for all of them. Figures of whole corpora have no value for a line."
    )
    header = (_("Figure"), _("Dimension"), _("Answers"), _("Spearman's correlation"))
    cells = ("answers", "correlation", 0.0)
    return _figure_tables(results["correlations"], "{dimension}", descriptions, (by_people, by_judges), header, cells)


def _choice_tables(results: RatingResults, descriptions: Sequence[Description]) -> list[ShownTable]:
    by_people = _(
        "Of the choices that people made between two answers, the share that took the one with the higher figure; "
        "equal figures count half, ties and pairs called bad are left out. 1: the figure chooses as people do; 0.5: a "
        "coin toss; below 0.5: people take the lower figure. Figures of whole corpora have no value for a line."
    )
    by_judges = _(
        "Of the choices that models as judges made between two answers, the share that took the one with the higher "
        "figure; equal figures count half, ties and pairs called bad are left out. 1: the figure chooses as the judges "
        "do; 0.5: a coin toss; below 0.5: they take the lower figure. Figures of whole corpora have no value for a "
        "line."
    )
    header = (_("Figure"), _("Dimension"), _("Choices"), _("Share of the higher figure"))
    title = _("{dimension}, in pairs")
    return _figure_tables(
        results["choices"], title, descriptions, (by_people, by_judges), header, ("choices", "share", 0.5)
    )


def _figure_tables(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    descriptions: Sequence[Description],
    explanations: tuple[str, str],
    header: tuple[str, ...],
    cells: tuple[str, str, float],
) -> list[ShownTable]:
    """Return a table for each dimension, the figures that tell most first.

    Args:
        title: of a table, with a place for the dimension.
        explanations: where people rated, and where judges did.
        cells: the names of the count and of the figure in a row, and the value of no relation.
    """
    labels = {figure["key"]: _(figure["label"]) for figure in descriptions}
    count, name, nothing = cells
    tables = []
    for dimension in dict.fromkeys(row["dimension"] for row in rows):
        shown = [row for row in rows if row["dimension"] == dimension]
        shown.sort(key=lambda row: -abs((row[name]["value"] if row[name]["value"] is not None else nothing) - nothing))
        lines = [
            (labels.get(row["figure"], row["figure"]), dimension, f"{row[count]:,}", _cell(row[name])) for row in shown
        ]
        explanation = explanations[0 if rows[0]["panel"] == "person" else 1]
        tables.append(ShownTable(title.format(dimension=dimension), explanation, Table(header, lines)))
    return tables


def _comment_table(panel: RatersPanel) -> ShownTable:
    comments = panel["comments"]
    explanation = _("What raters wrote of their own.")
    if len(comments) > MOST_COMMENTS:
        explanation = _("What raters wrote of their own. The first {shown} of {count:,}.").format(
            shown=MOST_COMMENTS, count=len(comments)
        )
    return ShownTable(
        _("Comments"),
        explanation,
        Table(
            (_("Prompt"), _("Answer"), _("System"), _("Rater"), _("Comment")),
            [
                (
                    row["item"],
                    " / ".join(row["answers"]) or "–",
                    " / ".join(map(system_name, row["systems"])) or _("attention check"),
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
            _("Means"),
            _("In points of the scale, higher is better."),
            _table(
                panel["means"],
                _("System"),
                _name,
                (_("Ratings"), "ratings"),
                (_("Items"), "items"),
                (_("Mean"), "mean"),
            ),
        ),
        ShownTable(
            _("Differences"),
            _(
                "First minus second, and how many items it takes to find such a difference in 80% of all studies at "
                "the 5% level, with these raters."
            ),
            _table(panel["differences"], _("Systems"), _pair, (_("Difference"), "difference"), (_("Items"), "sample")),
        ),
        ShownTable(
            _("Win rates"),
            _(
                "Share of comparisons that the first wins; a tie, or both bad, is half a win. From pairs that were "
                "asked, or from the two scores that one rater gave."
            ),
            _table(
                panel["wins"],
                _("Systems"),
                _pair,
                (_("From"), "source"),
                (_("Wins"), "wins"),
                (_("Losses"), "losses"),
                (_("Ties"), "ties"),
                (_("Both bad"), "both_bad"),
                (_("Rate"), "rate"),
                (_("Items"), "sample"),
            ),
        ),
        ShownTable(
            _("Strengths"),
            _("Natural logarithm of the Bradley-Terry strength; the mean of all systems is 0."),
            _table(panel["strengths"], _("System"), _name, (_("From"), "source"), (_("Strength"), "strength")),
        ),
        ShownTable(
            _("Agreement"),
            _(
                "Krippendorff's alpha: 1 is full agreement, 0 what chance gives. Equal, within one point: shares of "
                "pairs of ratings."
            ),
            _table(
                panel["agreement"],
                _("Asked for"),
                lambda row: _(WORDS.get(row["kind"], row["kind"])),
                (_("Answers"), "units"),
                (_("Nominal"), "nominal"),
                (_("Ordinal"), "ordinal"),
                (_("Equal"), "equal"),
                (_("Within one point"), "within_one"),
            ),
        ),
        ShownTable(
            _("Raters in pairs"),
            _("Cohen's kappa: quadratic weights for points, none for choices."),
            _table(panel["kappas"], _("Raters"), _pair, (_("Answers"), "units"), (_("Kappa"), "kappa")),
        ),
        ShownTable(_("Raters"), _("Attention checks are answers broken on purpose."), _rater_table(panel["raters"])),
    ]


def _table(rows: Sequence[Mapping[str, Any]], whose: str, name: Any, *columns: tuple[str, str]) -> Table:
    header = (whose, _("Dimension"), *(title for title, key in columns))
    return Table(header, [(name(row), row["dimension"], *(_shown(row[key]) for title, key in columns)) for row in rows])


def _rater_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = (_("Rater"), _("Ratings"), _("Mean"), _("Checks noticed"), _("Passed"))
    return Table(
        header,
        [
            (
                row["rater"],
                f"{row['ratings']:,}",
                format_value(row["mean"]),
                _("{count:,} of {total:,}").format(count=row["noticed"], total=row["checks"]),
                _("no") if row["failed"] else _("yes"),
            )
            for row in rows
        ],
    )


def _name(row: Mapping[str, Any]) -> str:
    return system_name(row["system"])


def _pair(row: Mapping[str, Any]) -> str:
    return " / ".join(system_name(row[key]) for key in ("first", "second"))


def _cell(cell: Cell) -> str:
    return f"{format_value(cell['value'])} {format_interval(cell)}".strip()


def _shown(value: Any) -> str:
    """Return a text, a count, a share, an interval or a sample size as it stands in a table."""
    if isinstance(value, str):
        return _(WORDS[value]) if value in WORDS else value
    if isinstance(value, bool):
        return _("no") if value else _("yes")  # of what is lacking
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping) and "needed" in value:
        if value["needed"] is None:
            return _("{items:,} rated, no difference to find").format(items=value["items"])
        return _("{items:,} rated, {needed:,} needed").format(items=value["items"], needed=value["needed"])
    return _cell(value) if isinstance(value, Mapping) else format_value(value)  # type: ignore[arg-type]
