"""Figures in words, and tables of words, for every report."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from recipe.evaluating.results import Cell


class Table(NamedTuple):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of texts as lines with columns of equal width on a terminal, where a Chinese character takes two."""
    widths = [max(width_of(row[number]) for row in rows) for number in range(len(rows[0]))]
    return [
        "  ".join(cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes (Unicode Standard Annex 11: wide and full-width take two)."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def format_value(value: float | None, unit: str = "") -> str:
    """Format a figure for people: two decimals below 10, one above, the unit % directly behind."""
    if value is None:
        return "–"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f}{'%' if unit == '%' else ''}"


def format_interval(cell: Cell) -> str:
    """Format the bounds of a cell's interval, or nothing where it has none."""
    low, high = cell.get("low"), cell.get("high")
    return "" if low is None or high is None else f"[{format_value(low)}, {format_value(high)}]"
