"""Sheets written for people: a page that opens from disk, a table, a workbook, and the key for those who analyse."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from recipe.errors import UserError
from recipe.files import write_text
from recipe.language import _
from recipe.rating.dimensions import LANGUAGES, all_dimensions
from recipe.rating.keys import read_keys, write_key
from recipe.rating.ratings import PAIR_VALUES
from recipe.rating.sheets import Entry, SheetOptions, SheetSet
from recipe.rating.tables import headings, write_csv, write_xlsx

KEY_NAME = "key.json"


def write_sheets(directory: str | Path, made: SheetSet, language: str = "zh") -> list[str]:
    """Write every sheet of a set as page, CSV and, where openpyxl is installed, XLSX; and their key.

    Returns:
        The names of the files written, in order.

    Raises:
        UserError: `directory` holds the key of other sheets, without which ratings of those could never be read.
    """
    target = Path(directory)
    _refuse_other_key(target / KEY_NAME, made.key.sheet)
    write_key(target / KEY_NAME, made.key)
    options = made.options
    heading = headings(options.kind, options.dimensions, options.points, options.labels)
    allowed = PAIR_VALUES if options.kind == "pair" else [str(point) for point in range(1, options.points + 1)]
    names = [KEY_NAME]
    for number, entries in enumerate(made.sheets, start=1):
        stem = f"sheet-{number}"
        rows = [_table_row(entry, made) for entry in entries]
        write_text(target / f"{stem}.html", page(made, number, language))
        write_csv(target / f"{stem}.csv", heading, rows)
        names += [f"{stem}.html", f"{stem}.csv"]
        try:
            write_xlsx(target / f"{stem}.xlsx", heading, rows, allowed)
        except ImportError:
            continue
        names.append(f"{stem}.xlsx")
    return names


def _refuse_other_key(file: Path, sheet: str) -> None:
    if file.exists() and sheet not in read_keys([file]):
        raise UserError(
            _(
                "{file}: is the key of other sheets; ratings of those could no longer be read. Choose another directory"
            ).format(file=file)
        )


def _table_row(entry: Entry, made: SheetSet) -> list[str]:
    options = made.options
    shown = [entry.prompt, entry.answer, *([entry.other_answer] if entry.other else [])]
    to_fill = [""] * (1 if options.kind == "pair" else len(options.dimensions))
    return [*shown, *to_fill, "", "", made.key.sheet, str(options.points), entry.item, entry.system, entry.other]


def page(made: SheetSet, number: int, language: str) -> str:
    """Return a sheet as one HTML page without further files; `language` is the one that it opens in."""
    # Here, since only pages need it: whoever reads ratings does not wait for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    script = resources.files("recipe").joinpath("templates/rating_sheet.js").read_text(encoding="utf-8")
    environment = Environment(loader=PackageLoader("recipe"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("rating_sheet.html").render(
        number=number,
        data=_page_data(made.options, made.key.sheet, number, made.sheets[number - 1], language),
        script=Markup(script),  # ours, and the only one that the page's policy lets run
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _page_data(options: SheetOptions, sheet: str, number: int, entries: list[Entry], language: str) -> dict[str, Any]:
    named = all_dimensions()
    return {
        "sheet": sheet,
        "number": number,
        "kind": options.kind,
        "points": options.points,
        "language": language,
        "labels": dict(options.labels),
        "dimensions": [
            {
                "key": key,
                "name": named[key].name,
                "question": named[key].question,
                "anchors": {language: named[key].anchored(options.points, language) for language in LANGUAGES},
            }
            for key in options.dimensions
        ],
        "entries": [entry._asdict() for entry in entries],
    }
