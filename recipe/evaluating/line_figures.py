"""The automatic figures of rated lines on disk: ratings come weeks after the evaluation that made the sheets.

`figures.json` lies beside the key of the sheets, and names the systems as the key does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.evaluating.results import Description, without_non_numbers
from recipe.evaluating.scoring import LineFigures
from recipe.files import write_text
from recipe.language import _

FIGURES_NAME = "figures.json"


class KeptFigures(NamedTuple):
    """Figures of single lines, and what each of them means."""

    figures: LineFigures
    descriptions: list[Description]


def write_line_figures(directory: str | Path, figures: LineFigures, descriptions: Sequence[Description]) -> None:
    """Write the figures of lines into the directory of a key, whole or not at all."""
    lines = [
        {
            "upper": upper,
            "system": system,
            "line": line,
            "figures": {key: values.get((upper, system)) for key, values in figures.values.items()},
        }
        for (upper, system), line in figures.lines.items()
    ]
    described = [figure for figure in descriptions if figure["key"] in figures.values]
    content = without_non_numbers({"descriptions": described, "lines": lines})
    write_text(Path(directory) / FIGURES_NAME, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read_line_figures(keys: Sequence[str]) -> KeptFigures | None:
    """Return the figures that lie beside some keys; None where there are none.

    Raises:
        UserError: files that hold something else; all at once.
    """
    figures = LineFigures([])
    descriptions: dict[str, Description] = {}
    problems = []
    files = dict.fromkeys(Path(key).parent / FIGURES_NAME for key in keys)
    for file in [file for file in files if file.exists()]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            described: dict[str, Description] = {figure["key"]: figure for figure in content["descriptions"]}
            needed = Description.__required_keys__
            if any(figure.keys() != needed or not isinstance(figure["label"], str) for figure in described.values()):
                raise ValueError(_("descriptions of another version"))
            for line in content["lines"]:
                _add(figures, line)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(
                _("{file}: cannot be read as the automatic figures of rated lines ({error}); put it aside").format(
                    file=file, error=error
                )
            )
        else:
            descriptions |= described
    if problems:
        raise UserError(problems)
    return KeptFigures(figures, list(descriptions.values())) if figures.lines else None


def _add(figures: LineFigures, line: dict[str, Any]) -> None:
    """Add a line; of two lines of one system for one upper line, from two evaluations, the first stays."""
    place = (str(line["upper"]), str(line["system"]))
    if place not in figures.lines:
        figures.lines[place] = str(line["line"])
        for key, value in line["figures"].items():
            if value is not None:
                figures.values.setdefault(key, {})[place] = float(value)
