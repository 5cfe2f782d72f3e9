"""The ratings as plots: means, win rates and the correlations of automatic figures, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from markupsafe import Markup

from recipe.evaluating.plots import drawn, intervals
from recipe.evaluating.rating_tables import FIGURES_TITLE, JUDGES_TITLE, RATERS
from recipe.evaluating.results import Description, RatersPanel, RatingResults, system_name
from recipe.language import _

MOST_FIGURES = 24  # rows of a plot of correlations, the strongest ones


def rating_plots(results: RatingResults, descriptions: Sequence[Description]) -> dict[str, list[Markup]]:
    """Return the plots of each panel of the section as SVG, by the panel's title."""
    plots = {_(RATERS[kind]): _panel_plots(panel) for kind, panel in results["panels"].items()}
    plots[_(JUDGES_TITLE)] = []
    plots[_(FIGURES_TITLE)] = [
        *_figure_plots(
            results["correlations"],
            "correlation",
            _("{dimension}: Spearman's correlation with the ratings"),
            -1,
            descriptions,
        ),
        *_figure_plots(
            results["choices"],
            "share",
            _("{dimension}, pairs: share of the choices that take the higher figure"),
            0,
            descriptions,
        ),
    ]
    return {title: [drawn(plot) for plot in found] for title, found in plots.items()}


def _panel_plots(panel: RatersPanel) -> list[Element]:
    plots = []
    for dimension in dict.fromkeys(row["dimension"] for row in panel["means"]):
        rows = [row for row in panel["means"] if row["dimension"] == dimension]
        shown = [(system_name(row["system"]), row["system"], row["mean"]) for row in rows]
        plots.append(intervals(shown, _("{dimension}: mean rating").format(dimension=dimension), 1, panel["points"]))
    rates = [row for row in panel["wins"] if row["source"] == "pairs"]
    if rates:
        names = [[system_name(row[key]) for key in ("first", "second")] for row in rates]
        shown = [(" / ".join(pair), row["first"], row["rate"]) for pair, row in zip(names, rates, strict=True)]
        plots.append(intervals(shown, _("Pairs: share that the first wins, a tie being half a win"), 0, 1))
    return plots


def _figure_plots(
    rows: Sequence[Mapping[str, Any]], name: str, title: str, low: float, descriptions: Sequence[Description]
) -> list[Element]:
    """Return a plot for each dimension of how figures go along with raters, from `low` to 1, the strongest ones first.

    Args:
        name: of the cell of each row.
    """
    labels = {figure["key"]: _(figure["label"]) for figure in descriptions}
    middle = (low + 1) / 2  # no relation
    plots = []
    for dimension in dict.fromkeys(row["dimension"] for row in rows):
        known = [row for row in rows if row["dimension"] == dimension and row[name]["value"] is not None]
        strongest = sorted(known, key=lambda row: -abs(row[name]["value"] - middle))[:MOST_FIGURES]
        shown = [(labels.get(row["figure"], row["figure"]), "", row[name]) for row in strongest]
        if shown:
            plots.append(intervals(shown, title.format(dimension=dimension), low, 1))
    return plots
