r"""Records of CSV and TSV files, numbered by their first line.

Lines end where `recipe.text_files.open_text` has them end; a lone \r inside one is white space. In CSV a quoted cell
may hold line ends, so that one quotation mark too many swallows what follows it: that is refused, with its line. In TSV
one line is one record, and a quotation mark is a character like others, unless a cell begins and ends with one.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from recipe.errors import UserError
from recipe.language import _

DELIMITERS = {".csv": ",", ".tsv": "\t"}
# A cell of more lines is no short text; it bounds what is held in memory behind a quotation mark that never closes.
_MOST_LINES = 10_000
_ROWS_IN_A_CELL = 3  # from so many lines on that look like rows a cell is taken for swallowed rows
_CELL = re.compile(r'(?:(?P<quoted>"(?:[^"]|"")*+")|[^",\n][^,\n]*|)(?:[,\n]|$)')


class Record(NamedTuple):
    """The cells of a record, none for an empty line, and the number of its first line, from 1."""

    line: int
    cells: list[str]


def delimited_records(lines: Iterable[str], file: str, ending: str, separator: str) -> Iterator[Record]:
    """Yield the records of a file of `ending` from its lines.

    Args:
        separator: what stands inside every row that is in one column, "" if that is not known: by it, and by the number
            of their commas, lines of a cell are known that look like rows.

    Raises:
        UserError: a quotation mark that does not close, or not where a cell ends.
    """
    if ending == ".tsv":
        return (Record(number, _tab_cells(line)) for number, line in enumerate(lines, start=1))
    return _csv_records(lines, file, separator)


def _tab_cells(line: str) -> list[str]:
    content = line.rstrip("\r\n")
    return [_unquoted(cell) for cell in content.split("\t")] if content else []


def _unquoted(cell: str) -> str:
    """Return what a cell says that a spreadsheet has put into quotation marks; else the cell as it is."""
    inner = cell[1:-1]
    if len(cell) < 2 or not cell[0] == cell[-1] == '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"')


def _csv_records(lines: Iterable[str], file: str, separator: str) -> Iterator[Record]:
    # The default of 128 KiB stops at a long cell; ours is rejected or cut, and counted.
    csv.field_size_limit(sys.maxsize)
    taken: list[str] = []

    def take() -> Iterator[str]:
        for line in lines:
            content = line.removesuffix("\n").removesuffix("\r")
            # csv.reader refuses a lone \r outside quotation marks.
            taken.append(content.replace("\r", " ") + "\n")
            if len(taken) > _MOST_LINES:
                raise csv.Error
            yield taken[-1]

    records = csv.reader(take(), strict=True)
    number, width = 1, 0
    try:
        for cells in records:
            width = width or len(cells)
            if len(taken) >= _ROWS_IN_A_CELL and _swallows_rows(taken, width, separator):
                raise csv.Error
            if records.line_num == 2 and not any(separator in cell for cell in cells):
                separator = ""  # the rows of this file are in two columns
            yield Record(number, cells)
            number = records.line_num + 1
            taken.clear()
    except csv.Error:
        raise UserError(_unbalanced(file, number, "".join(taken))) from None


def _swallows_rows(lines: list[str], width: int, separator: str) -> bool:
    """Whether the lines of one record look like records themselves, by their number of commas and the separator."""
    if width < 2 and not separator.strip():
        return False
    like_rows = sum(line.count(",") == width - 1 and separator.strip() in line for line in lines)
    return like_rows >= _ROWS_IN_A_CELL


def _unbalanced(file: str, number: int, record: str) -> str:
    """Say at which line of a record that begins at line `number` the quotation mark stands that goes wrong."""
    position, joins_lines = 0, None
    while position < len(record) and (cell := _CELL.match(record, position)):
        if joins_lines is None and "\n" in (cell["quoted"] or ""):
            joins_lines = position
        position = cell.end()
    if position == len(record) and joins_lines is not None:
        position = joins_lines
    line = number + record.count("\n", 0, position)
    return _(
        "{file}, line {line}: a cell here opens with a quotation mark that is not closed before the next rows, or not "
        "at the end of the cell; remove it, or put the whole cell into quotation marks and double those inside it"
    ).format(file=file, line=line)
