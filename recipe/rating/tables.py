"""Sheets as tables, CSV and XLSX: written for those who rather fill in a table than a page, and read back.

The first word of a column's heading is its name. A cell left empty is no rating. XLSX needs the extra [sheets].
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.files import atomic_open
from recipe.language import _, enumerated
from recipe.rating.dimensions import OVERALL, all_dimensions, dimension_key
from recipe.rows.delimited import delimited_records

TABLE_ENDINGS = (".csv", ".xlsx")
CHOICE_COLUMN = "choice"
_CODE_COLUMNS = ("sheet", "item", "system", "other", "points", "rater")
# What a rater may write for a choice, in any case → the value of a rating.
_CHOICES = {
    "a": "A",
    "b": "B",
    "tie": "tie",
    "平": "tie",
    "平局": "tie",
    "一样": "tie",
    "both_bad": "both_bad",
    "both bad": "both_bad",
    "都不好": "both_bad",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_XLSX_WIDTHS = {"prompt": 24, "answer": 24, "A": 24, "B": 24, "comment": 30}


class Record(NamedTuple):
    """A cell of a table as the JSON object of a rating, and the number of its row in a spreadsheet."""

    row: int
    record: dict[str, Any]


def headings(kind: str, dimensions: Sequence[str], points: int, labels: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return the headings of a sheet: what to read, what to fill in, and at the right the codes to leave alone."""
    prompt, answer = labels["zh"]
    if kind == "pair":
        asked = [
            f"prompt {prompt}",
            f"A {answer} A",
            f"B {answer} B",
            f"{CHOICE_COLUMN} 选择 (A, B, tie 平, both_bad 都不好)",
        ]
    else:
        named = all_dimensions()
        asked = [f"prompt {prompt}", f"answer {answer}"]
        asked += [f"{key} {named[key].name['zh']} (1-{points})" for key in dimensions]
    return [*asked, "comment 评语", "rater 评者", "sheet", "points", "item", "system", "other"]


def write_csv(file: str | Path, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV in UTF-8 with a byte order mark, by which spreadsheets recognise the encoding.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    with atomic_open(file) as handle:
        handle.write("\ufeff")
        writer = csv.writer(handle)
        writer.writerow(heading)
        writer.writerows([[f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell for cell in row] for row in rows])


def write_xlsx(file: str | Path, heading: Sequence[str], rows: Iterable[Sequence[str]], allowed: Sequence[str]) -> None:
    """Write a table as a workbook; the columns to fill in offer the `allowed` values. Every cell is text.

    Raises:
        ImportError: openpyxl is not installed.
    """
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    page = book.active
    for number, row in enumerate([heading, *rows], start=1):
        for column, text in enumerate(row, start=1):
            cell = page.cell(number, column, ILLEGAL_CHARACTERS_RE.sub("", text) or None)
            if cell.value is not None:
                cell.data_type = "s"  # openpyxl takes a text that begins with = for a formula
            cell.font, cell.alignment = Font(bold=number == 1), Alignment(wrap_text=True, vertical="top")
    page.freeze_panes = "A2"
    rule = DataValidation(type="list", formula1=f'"{",".join(allowed)}"', allow_blank=True, showErrorMessage=True)
    page.add_data_validation(rule)
    for column, title in enumerate(heading, start=1):
        name = title.split()[0]
        letter = get_column_letter(column)
        page.column_dimensions[letter].width = _XLSX_WIDTHS.get(name, 14)
        if name == CHOICE_COLUMN or dimension_key(name):
            rule.add(f"{letter}2:{letter}{page.max_row}")
    buffer = io.BytesIO()
    book.save(buffer)
    with atomic_open(file, "wb") as handle:
        handle.write(buffer.getvalue())


def table_records(file: Path) -> Iterator[Record]:
    """Yield each filled-in cell of a table as the JSON object of a rating.

    Without a filled column `rater` the name of the file stands for the rater.

    Raises:
        UserError: a file that is no table of ratings.
    """
    rows = _read_xlsx(file) if file.suffix.lower() == ".xlsx" else _read_csv(file)
    heading = [str(cell or "").split()[0] if str(cell or "").split() else "" for cell in next(rows, [])]
    missing = [name for name in ("item", "system") if name not in heading]
    if missing:
        found = enumerated(name[:40] for name in heading[:20] if name) or _("nothing")
        raise UserError(
            _("{file}: has no column {names}; its headings begin with: {found}").format(
                file=file, names=enumerated(missing), found=found
            )
        )
    for number, cells in enumerate(rows, start=2):
        texts = [str(cell).strip() if cell is not None else "" for cell in cells]
        if any(texts[len(heading) :]):
            raise UserError(
                _("{file}, row {number}: has more cells than the headings; put a text with commas into quotes").format(
                    file=file, number=number
                )
            )
        row = dict(zip(heading, texts, strict=False))
        if any(texts):
            yield from _records_of_row(number, row, file.stem)


def _records_of_row(number: int, row: Mapping[str, str], file_name: str) -> Iterator[Record]:
    common: dict[str, Any] = {name: row[name] for name in _CODE_COLUMNS if row.get(name)}
    common.setdefault("rater", file_name)
    if "points" in common:
        common["points"] = int(common["points"]) if common["points"].isdecimal() else common["points"]
    if comment := row.get("comment"):
        yield Record(number, common | {"kind": "comment", "comment": comment})
    if choice := row.get(CHOICE_COLUMN):
        value = _CHOICES.get(choice.casefold(), choice)
        yield Record(number, common | {"kind": "pair", "dimension": OVERALL, "value": value})
    for name, text in row.items():
        if text and (dimension := dimension_key(name)):
            yield Record(number, common | {"kind": "absolute", "dimension": dimension, "value": _number(text)})


def _number(text: str) -> float | str:
    """Return the number that a cell holds; a cell that holds none stays text, for the message about it."""
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) else text


def _read_csv(file: Path) -> Iterator[list[str]]:
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")  # what spreadsheets of Chinese systems write
        except UnicodeDecodeError as error:
            raise UserError(
                _("{file}: is neither UTF-8 nor GB18030 ({error}); save it as CSV UTF-8").format(file=file, error=error)
            ) from None
    line_end = "\n" if "\n" in text else "\r"  # the latter is Excel's "CSV (Macintosh)"
    lines = io.StringIO(text, newline=line_end)
    return iter([record.cells for record in delimited_records(lines, str(file), ".csv", "")])


def _read_xlsx(file: Path) -> Iterator[list[Any]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(
            _('{file}: to read XLSX install the extra: pip install -e ".[sheets]"; or save it as CSV').format(file=file)
        ) from None
    try:
        page = load_workbook(io.BytesIO(file.read_bytes()), read_only=True, data_only=True).active
    except Exception as error:  # whatever zip, XML or openpyxl say about a file that is no workbook
        raise UserError(
            _("{file}: cannot be read as XLSX ({kind}: {error})").format(
                file=file, kind=type(error).__name__, error=error
            )
        ) from None
    if page is None:
        raise UserError(_("{file}: has no page").format(file=file))
    return (list(cells) for cells in page.iter_rows(values_only=True))
