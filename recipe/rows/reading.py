"""Rows out of files: CSV, TSV, JSON Lines, Parquet, and the public data set's pair of text files.

Readers stream, number the rows as an editor or a spreadsheet would, and turn every fault of a whole file into a
`UserError`. A fault of one row travels in `Row.fault`, so that rows read = rows kept + rows rejected.
"""

from __future__ import annotations

import csv
import itertools
import json
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.formats.base import Text, TextFormat
from recipe.formats.registry import FORMATS
from recipe.rows.cleaning import RejectedRowError
from recipe.settings import DataSettings
from recipe.text_files import open_text, rows_file_problem

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_ENDINGS = (".jsonl", ".json", ".ndjson")
FORMAT_ENDINGS = (*DELIMITERS, *JSON_ENDINGS, ".parquet")


class Row(NamedTuple):
    """One row as read: where it stands, its cells in the order of the wanted columns, or why there are none."""

    file: str
    number: int
    cells: tuple[Any, ...]
    fault: str = ""


@dataclass(frozen=True)
class Source:
    """Where rows come from: files with columns, or a pair of text files whose lines answer each other.

    Attributes:
        column_settings: the flags that choose the columns, for the message about a column that is not there; empty
            where none does, since the columns have names of their own.
    """

    files: tuple[str, ...]
    columns: tuple[str, ...]
    encoding: str
    is_line_pair: bool = False
    column_settings: str = "--text_column, or with --upper_column and --lower_column"


def training_source(data: DataSettings) -> Source:
    """Return the source of the training rows that the settings name.

    Raises:
        UserError: settings that contradict each other, or name no file; all of them at once.
    """
    problems = FORMATS[data.text_format].problems(data)
    for one, other in (("upper_column", "lower_column"), ("upper_file", "lower_file")):
        if (getattr(data, one) is None) != (getattr(data, other) is None):
            problems.append(f"--{one} and --{other} go together; only one of them is set")
    if data.train_file and data.upper_file:
        problems.append("--train_file and --upper_file both name training rows; give one of them")
    if not data.train_file and not data.upper_file:
        problems.append("no training rows: give --train_file FILE, or --upper_file and --lower_file")
    problems += [problem for file in _all_files(data) if (problem := rows_file_problem(file))]
    if problems:
        raise UserError(problems)
    if data.upper_file and data.lower_file:
        return Source((data.upper_file, data.lower_file), ("upper line", "lower line"), data.encoding, True)
    return Source(tuple(data.train_file), _columns(data), data.encoding)


def validation_source(data: DataSettings) -> Source | None:
    """Return the source of the user's own held-out rows, or None where they are split off the training rows."""
    return Source(tuple(data.validation_file), _columns(data), data.encoding) if data.validation_file else None


def _columns(data: DataSettings) -> tuple[str, ...]:
    if data.upper_column is not None and data.lower_column is not None:
        return (data.upper_column, data.lower_column)
    return (data.text_column,)


def _all_files(data: DataSettings) -> list[str]:
    return [*data.train_file, *data.validation_file, *filter(None, (data.upper_file, data.lower_file))]


def read_rows(source: Source) -> Iterator[Row]:
    """Yield every row of every file of `source`, in order.

    Raises:
        UserError: a file that cannot be read as what it claims to be, lacks a column, or changed while it was read.
    """
    if source.is_line_pair:
        yield from _read_line_pair(source)
        return
    for file in source.files:
        with _unchanged(file):
            yield from _read_file(file, source)


def checked_text(row: Row, text_format: TextFormat) -> Text:
    """Return the text of a row as read.

    Raises:
        RejectedRowError: the file's fault, or what the format finds.
    """
    if row.fault:
        raise RejectedRowError(row.fault)
    return text_format.check(row.cells)


def _read_file(file: str, source: Source) -> Iterator[Row]:
    ending = Path(file).suffix.lower()
    if ending in DELIMITERS:
        return _read_delimited(file, source, DELIMITERS[ending])
    if ending in JSON_ENDINGS:
        return _read_json_lines(file, source)
    if ending == ".parquet":
        return _read_parquet(file, source)
    raise UserError(f"{file}: cannot tell the format from its ending; expected one of {', '.join(FORMAT_ENDINGS)}")


@contextmanager
def _unchanged(file: str) -> Iterator[None]:
    before = Path(file).stat()
    yield
    after = Path(file).stat()
    # What comes through a pipe is read once and cannot change behind the reader.
    has_changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if has_changed and stat.S_ISREG(before.st_mode):
        raise UserError(f"{file}: changed while it was read; run again when nothing writes to it")


def _read_delimited(file: str, source: Source, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(
        sys.maxsize
    )  # the default of 128 KiB stops at a long cell; ours is rejected or cut, and counted
    with open_text(file, source.encoding) as handle:
        records = csv.reader(handle, delimiter=delimiter)
        header = next(records, [])
        positions = _column_positions(file, header, source)
        width = max(positions) + 1
        number = records.line_num
        for cells in records:
            number, first_line = records.line_num, number + 1
            if len(cells) < width:
                yield Row(file, first_line, (), "missing cell" if cells else "empty line")
            else:
                yield Row(file, first_line, tuple(cells[position] for position in positions))


def _column_positions(file: str, header: Sequence[str], source: Source) -> list[int]:
    problems = []
    for column in source.columns:
        count = header.count(column)
        if count != 1:
            found = "no column" if count == 0 else f"{count} columns"
            shown = ", ".join(name[:40] for name in header[:20])
            problems.append(
                f"{file}: has {found} named {column!r}; its header is: {shown}. "
                + (f"Name the right one with {source.column_settings}" if source.column_settings else _fixed(source))
            )
    if problems:
        raise UserError(problems)
    return [header.index(column) for column in source.columns]


def _fixed(source: Source) -> str:
    return f"Its columns must be called {' and '.join(source.columns)}: rename them in the file"


def _read_json_lines(file: str, source: Source) -> Iterator[Row]:
    with open_text(file, source.encoding) as handle:
        seen_columns: set[str] = set()
        any_complete = False
        for number, line in enumerate(handle, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                yield Row(file, number, (line.strip(),), "not JSON" if line.strip() else "empty line")
                continue
            if not isinstance(record, dict):
                yield Row(file, number, (line.strip(),), "not a JSON object")
                continue
            seen_columns |= record.keys() if number <= 1000 else set()
            if missing := [column for column in source.columns if column not in record]:
                yield Row(file, number, (line.strip(),), f"no key {missing[0]!r}")
            else:
                any_complete = True
                yield Row(file, number, tuple(record[column] for column in source.columns))
        if seen_columns and not any_complete:
            _column_positions(file, sorted(seen_columns), source)


def _read_parquet(file: str, source: Source) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
        _column_positions(file, parquet.schema_arrow.names, source)
        number = itertools.count(1)
        for batch in parquet.iter_batches(batch_size=10_000, columns=list(source.columns)):
            columns = [batch.column(name).to_pylist() for name in source.columns]
            for cells in zip(*columns, strict=True):
                yield Row(file, next(number), cells)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: strings that are not UTF-8
        raise UserError(f"{file}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _read_line_pair(source: Source) -> Iterator[Row]:
    upper_file, lower_file = source.files
    with (
        _unchanged(upper_file),
        _unchanged(lower_file),
        open_text(upper_file, source.encoding) as uppers,
        open_text(lower_file, source.encoding) as lowers,
    ):
        for number, (upper, lower) in enumerate(itertools.zip_longest(uppers, lowers), start=1):
            if upper is None or lower is None:
                shorter = upper_file if upper is None else lower_file
                raise UserError(
                    f"{shorter}: ends after line {number - 1}, the other file goes on; they must answer line by line"
                )
            yield Row(upper_file, number, (upper, lower))
