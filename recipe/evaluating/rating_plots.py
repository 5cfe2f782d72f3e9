"""The ratings as plots: means, win rates and the correlations of automatic figures, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from recipe.evaluating.plots import intervals
from recipe.evaluating.rating_tables import FIGURES_TITLE, JUDGES_TITLE, RATERS
from recipe.evaluating.results import Description, RatersPanel, RatingResults, system_name
from recipe.language import _

MOST_FIGURES = 24  # rows of a plot of correlations, the strongest ones


def rating_plots(results: RatingResults, descriptions: Sequence[Description]) -> dict[str, list[Element]]:
    """Return the plots of each panel of the section, by the panel's title."""
    plots = {_(RATERS[kind]): _panel_plots(panel) for kind, panel in results["panels"].items()}
    plots[_(JUDGES_TITLE)] = []
    plots[_(FIGURES_TITLE)] = _correlation_plots(results["correlations"], descriptions)
    return plots


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


def _correlation_plots(rows: Sequence[Mapping[str, Any]], descriptions: Sequence[Description]) -> list[Element]:
    labels = {figure["key"]: _(figure["label"]) for figure in descriptions}
    plots = []
    for dimension in dict.fromkeys(row["dimension"] for row in rows):
        known = [row for row in rows if row["dimension"] == dimension and row["correlation"]["value"] is not None]
        strongest = sorted(known, key=lambda row: -abs(row["correlation"]["value"]))[:MOST_FIGURES]
        shown = [(labels.get(row["figure"], row["figure"]), "", row["correlation"]) for row in strongest]
        if shown:
            plots.append(
                intervals(
                    shown, _("{dimension}: Spearman's correlation with the ratings").format(dimension=dimension), -1, 1
                )
            )
    return plots
