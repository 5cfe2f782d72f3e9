"""Sheets written for people: a page that opens from disk, a table, a workbook, and the key for those who analyse.

The pages can be read again, to be served (`recipe.rating.desk`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.files import write_text
from recipe.language import _
from recipe.rating.dimensions import ANCHORED_POINTS, LANGUAGES, all_dimensions
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


class WrittenSheet(NamedTuple):
    """A sheet as its page holds it; of `options` only what the page says is set."""

    sheet: str
    number: int
    options: SheetOptions
    entries: list[Entry]


def page(made: SheetSet, number: int, language: str) -> str:
    """Return a sheet as one HTML page without further files; `language` is the one that it opens in."""
    written = WrittenSheet(made.key.sheet, number, made.options, made.sheets[number - 1])
    return _page(_page_data(written, language), ["rating_sheet.js"], is_served=False)


def served_page(written: WrittenSheet, language: str) -> str:
    """Return the page on which a server hands out sheets such as this one: what is asked, and no question yet."""
    data = _page_data(written._replace(number=0, entries=[]), language)
    return _page(data, ["rating_sheet.js", "rating_server.js"], is_served=True)


def _page(data: Mapping[str, Any], scripts: Sequence[str], is_served: bool) -> str:
    # Here, since only pages need it: whoever reads ratings does not wait for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = resources.files("recipe").joinpath("templates")
    script = "\n".join(templates.joinpath(name).read_text(encoding="utf-8") for name in scripts)
    environment = Environment(loader=PackageLoader("recipe"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("rating_sheet.html").render(
        number=data["number"],
        data=data,
        is_served=is_served,
        script=Markup(script),  # ours, and the only one that the page's policy lets run
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _page_data(written: WrittenSheet, language: str) -> dict[str, Any]:
    named, options = all_dimensions(), written.options
    return {
        "sheet": written.sheet,
        "number": written.number,
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
        "entries": [entry._asdict() for entry in written.entries],
    }


_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def read_page(file: Path) -> WrittenSheet:
    """Return the sheet that a page holds.

    Raises:
        UserError: a file that cannot be read, or is no page of a sheet.
    """
    try:
        found = _DATA.search(file.read_text(encoding="utf-8"))
        return _written_sheet(json.loads(found[1] if found else ""))
    except OSError as error:
        raise UserError(_("{file}: cannot be read ({error})").format(file=file, error=error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(
            _("{file}: is no rating sheet, or was changed; write the sheets again with run_evaluate.py").format(
                file=file
            )
        ) from None


def _written_sheet(data: Mapping[str, Any]) -> WrittenSheet:
    options = SheetOptions(
        kind=data["kind"],
        dimensions=tuple(dimension["key"] for dimension in data["dimensions"]),
        points=data["points"],
        labels={language: (str(prompt), str(answer)) for language, (prompt, answer) in data["labels"].items()},
    )
    entries = [Entry(**entry) for entry in data["entries"]]
    texts = [data["sheet"], *(text for entry in entries for text in entry)]
    is_sound = options.kind in ("absolute", "pair") and options.points in ANCHORED_POINTS and entries
    if not is_sound or not set(options.dimensions) <= set(all_dimensions()) or set(options.labels) != set(LANGUAGES):
        raise ValueError(_("values that no sheet has"))
    if not isinstance(data["number"], int) or not all(isinstance(text, str) for text in texts):
        raise ValueError(_("values of other types"))
    return WrittenSheet(data["sheet"], data["number"], options, entries)
