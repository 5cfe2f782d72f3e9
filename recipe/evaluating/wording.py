"""Figures in words, and tables of words, for every report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from recipe.evaluating.results import Cell


class Table(NamedTuple):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


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


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless the number is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
