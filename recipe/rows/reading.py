"""Rows out of files: CSV, TSV, JSON (an array, or one value a line), Parquet, and a pair of text files.

Readers stream, number the rows as an editor or a spreadsheet would, and turn every fault of a whole file into a
`UserError`. A fault of one row travels in `Row.fault`, so that rows read = rows kept + rows rejected. Each file has the
shape that its own header says: one column with whole texts, or two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from recipe.characters import is_blank
from recipe.errors import UserError
from recipe.formats.base import Text, TextFormat
from recipe.formats.couplet import NO_SEPARATOR, Couplet, spelled_out
from recipe.formats.registry import FORMATS
from recipe.language import N_, _, enumerated
from recipe.rows.cleaning import KEY_TWICE, NO_KEY, RejectedRowError
from recipe.rows.delimited import DELIMITERS, Record, delimited_records
from recipe.rows.diagnosis import (
    COUPLET_FLAGS,
    SAMPLE_ROWS,
    SEPARATOR_FLAG,
    Sample,
    missing_columns,
    rejection_advice,
)
from recipe.rows.json_values import EMPTY_LINE, JSON_ENDINGS, Item, KeyTwice, json_items
from recipe.settings import DataSettings
from recipe.stored_files import PACKED_ENDINGS, content_ending, head_of, stored
from recipe.text_files import open_text, rows_file_problem

PARQUET = ".parquet"
FORMAT_ENDINGS = (*DELIMITERS, *JSON_ENDINGS, PARQUET)
# Names of two columns that leave no doubt what they hold.
PAIR_COLUMNS = (("upper", "lower"), ("上联", "下联"))
_SHOWN_CHARS = 80  # of a row in a message
UPPER_FILE_FLAG = "--upper_file"
MORE_CELLS, MISSING_CELL = N_("more cells than the header"), N_("missing cell")
NOT_AN_OBJECT = N_("not a JSON object")


class Row(NamedTuple):
    """One row as read: where it stands, its cells in the order of the wanted columns, or why there are none.

    A row with a fault has what stands there as its only cell.
    """

    file: str
    number: int
    cells: tuple[Any, ...]
    fault: str = ""


@dataclass(frozen=True)
class Source:
    """Where rows come from: files with columns, or a pair of text files whose lines answer each other.

    Attributes:
        columns: the wanted ones.
        column_settings: the flags that choose the columns, one for whole texts and perhaps two for pairs, for the
            message about a column that is not there; none if the names are fixed.
        other_columns: what is taken where a file lacks the wanted columns and its header has these.
        separator: what stands between two lines in one column; "" where that is not known.
        advised_settings: the flags, of the command that reads, which advice on a file may name.
    """

    files: tuple[str, ...]
    columns: tuple[str, ...]
    encoding: str
    is_line_pair: bool = False
    column_settings: tuple[str, ...] = COUPLET_FLAGS
    other_columns: tuple[tuple[str, ...], ...] = ()
    separator: str = ""
    advised_settings: tuple[str, ...] = (SEPARATOR_FLAG, UPPER_FILE_FLAG)

    def columns_of(self, names: Sequence[str]) -> tuple[str, ...] | None:
        """Return which columns are taken of a file, or a record, with these names; None if it has not all of any."""
        return next((shape for shape in (self.columns, *self.other_columns) if set(shape) <= set(names)), None)

    @property
    def takes_whole_texts(self) -> bool:
        """Whether a row may be one text, which needs no name."""
        return any(len(shape) == 1 for shape in (self.columns, *self.other_columns))

    @property
    def known_columns(self) -> tuple[str, ...]:
        return tuple(itertools.chain(self.columns, *self.other_columns))


def training_source(data: DataSettings) -> Source:
    """Return the source of the training rows that the settings name.

    Raises:
        UserError: settings that contradict each other, or name no file; all of them at once.
    """
    problems = FORMATS[data.text_format].problems(data)
    for one, other in (("upper_column", "lower_column"), ("upper_file", "lower_file")):
        if (getattr(data, one) is None) != (getattr(data, other) is None):
            problems.append(
                _("--{one} and --{other} must be given together; only one of them is set").format(one=one, other=other)
            )
    if data.train_file and data.upper_file:
        problems.append(_("--train_file and --upper_file both name training rows; give one of them"))
    if not data.train_file and not data.upper_file:
        problems.append(_("no training rows: give --train_file FILE, or --upper_file and --lower_file"))
    problems += _same_twice(data)
    problems += [problem for file in dict.fromkeys(_all_files(data)) if (problem := rows_file_problem(file))]
    if problems:
        raise UserError(problems)
    if data.upper_file and data.lower_file:
        return Source((data.upper_file, data.lower_file), ("upper line", "lower line"), data.encoding, True)
    return _columns_source(data, data.train_file)


def _same_twice(data: DataSettings) -> list[str]:
    """Return which file or column is named where another one is meant."""
    problems = repeated_files(data.train_file, "--train_file") + repeated_files(
        data.validation_file, "--validation_file"
    )
    problems += same_column_twice(data.upper_column, data.lower_column)
    if data.upper_file and data.lower_file and Path(data.upper_file).resolve() == Path(data.lower_file).resolve():
        problems.append(
            _(
                "--upper_file {upper_file} and --lower_file {lower_file} are the same file; every line would answer "
                "itself"
            ).format(upper_file=data.upper_file, lower_file=data.lower_file)
        )
    return problems


def same_column_twice(upper: str | None, lower: str | None) -> list[str]:
    """Return what is wrong if one column is named for both lines."""
    if upper is None or upper != lower:
        return []
    return [
        _("--upper_column and --lower_column both name {column!r}; every line would answer itself").format(column=upper)
    ]


def validation_source(data: DataSettings) -> Source | None:
    """Return the source of the user's own held-out rows, or None where they are split off the training rows."""
    return _columns_source(data, data.validation_file) if data.validation_file else None


def _columns_source(data: DataSettings, files: Sequence[str]) -> Source:
    is_couplets = data.text_format == Couplet.name
    columns = chosen_columns(data.text_column, data.upper_column, data.lower_column)
    return Source(
        tuple(files),
        columns,
        data.encoding,
        column_settings=COUPLET_FLAGS if FORMATS[data.text_format].takes_pairs else COUPLET_FLAGS[:1],
        # Titles and poems, or other texts, do not say by their columns which of the two they are.
        other_columns=other_couplet_columns(data.text_column, columns) if is_couplets else (),
        separator=spelled_out(data.separator) if is_couplets and len(columns) == 1 else "",
    )


def chosen_columns(text: str, upper: str | None, lower: str | None) -> tuple[str, ...]:
    """Return the columns that settings name: of two for a pair both, otherwise that of whole texts."""
    return (text,) if upper is None or lower is None else (upper, lower)


def other_couplet_columns(text: str, columns: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the columns that couplets stand in without doubt, beside the chosen ones."""
    return tuple(shape for shape in ((text,), *PAIR_COLUMNS) if shape != columns)


def repeated_files(files: Sequence[str], setting: str) -> list[str]:
    """Return which files are there more than once, by whatever name, as problems of `setting`."""
    found: dict[Path, str] = {}
    problems = []
    for file in files:
        path = Path(file).resolve()
        if path in found:
            problem = (
                _("{setting} names {file} twice; name each file once")
                if found[path] == file
                else _("{setting} names {file} twice, the other time as {other}; name each file once")
            )
            problems.append(problem.format(setting=setting, file=file, other=found[path]))
        found.setdefault(path, file)
    return problems


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
    if len(row.cells) == 1 and is_list_of_lines(row.cells[0]):
        return text_format.check(text_format.cells_of_lines(row.cells[0]))
    return text_format.check(row.cells)


def _read_file(file: str, source: Source) -> Iterator[Row]:
    ending = _ending(file, source)
    if ending in DELIMITERS:
        return _read_delimited(file, source, ending)
    if ending in JSON_ENDINGS:
        return _read_json(file, source)
    if ending == PARQUET and Path(file).suffix.lower() in PACKED_ENDINGS:
        raise UserError(
            _("{file}: Parquet is compressed already and is not read out of an archive; unpack it").format(file=file)
        )
    if ending == PARQUET:
        return _read_parquet(file, source)
    raise UserError(_unknown_format(file, source))


def _unknown_format(file: str, source: Source) -> str:
    """Say which files are read, and how a list of texts becomes one of them."""
    message = (
        _(
            "{file}: cannot tell the format from its ending; expected one of {endings}, optionally packed ({packed}). "
            "If it has one row a line, put {column} into a new first line and let its name end in .csv (.tsv if the "
            "rows hold commas); for a text file of upper lines and one of lower lines use --upper_file and --lower_file"
        )
        if UPPER_FILE_FLAG in source.advised_settings
        else _(
            "{file}: cannot tell the format from its ending; expected one of {endings}, optionally packed ({packed}). "
            "If it has one row a line, put {column} into a new first line and let its name end in .csv (.tsv if the "
            "rows hold commas)"
        )
    )
    endings, packed = enumerated(FORMAT_ENDINGS), enumerated(PACKED_ENDINGS)
    return message.format(file=file, endings=endings, packed=packed, column=source.columns[0])


def _ending(file: str, source: Source) -> str:
    """Return the ending that says what is in a file; of a name without any, as a pipe has, what its beginning shows."""
    if ending := content_ending(file):
        return ending
    head = head_of(file)
    if head.startswith(b"PAR1"):
        return PARQUET
    if head.lstrip().startswith((b"{", b"[")):
        return JSON_ENDINGS[0]
    with open_text(file, source.encoding) as handle:
        header = handle.readline().strip()
    names = {ending: header.split(delimiter) for ending, delimiter in DELIMITERS.items()}
    return next((ending for ending, found in names.items() if source.columns_of(found)), "")


def shown_row(row: Row, reason: str) -> Row:
    """Return a rejected row with the reason as its fault and, as its cell, its text for a message."""
    return Row(row.file, row.number, (" ".join(map(str, row.cells)),), reason)


def why_rejected(
    source: Source, first: Mapping[str, Row], counts: Mapping[str, int], takes_other_texts: bool = False
) -> str:
    """Return, for the end of a message that every row is rejected, one such row and what to do about it.

    Args:
        first: the first row of each reason, as by `shown_row`.
        counts: how many rows there are of each.
        takes_other_texts: whether the rows may be other texts than couplets, where they are without a separator.
    """
    if not first:
        return ""
    row = first[max(first, key=lambda reason: counts[reason])]
    (text,) = row.cells
    advice = ""
    if row.fault == NO_SEPARATOR and not source.is_line_pair:
        flag = SEPARATOR_FLAG if SEPARATOR_FLAG in source.advised_settings else ""
        sample = _sample(row.file, source)
        advice = rejection_advice(text, source.columns, source.column_settings, source.separator, flag, sample)
    if not advice:
        message = _(". The first of them, {file}, row {number}: {text}")
    elif takes_other_texts:
        message = _(
            ". The first of them, {file}, row {number}: {text}. {advice}; or set --text_format plain for other texts"
        )
    else:
        message = _(". The first of them, {file}, row {number}: {text}. {advice}")
    shown = " ".join(text.split())[:_SHOWN_CHARS]
    return message.format(file=row.file, number=row.number, text=shown, advice=advice)


def _sample(file: str, source: Source) -> Sample:
    """Return the names of all columns of a file, and its first rows."""
    ending = _ending(file, source)
    if ending == PARQUET:
        import pyarrow.parquet as pq

        parquet = pq.ParquetFile(stored(file))
        batch = next(parquet.iter_batches(batch_size=SAMPLE_ROWS), None)
        columns = [column.to_pylist() for column in batch.columns] if batch else []
        return Sample(parquet.schema_arrow.names, list(zip(*columns, strict=True)))
    with open_text(file, source.encoding) as handle:
        if ending in DELIMITERS:
            names, records = _header(delimited_records(handle, file, ending, source.separator))
            return Sample(names, [record.cells for record in itertools.islice(records, SAMPLE_ROWS)])
        values = [item.value for item in itertools.islice(json_items(handle, file, ()), SAMPLE_ROWS)]
        objects = [value for value in values if isinstance(value, dict)]
        names = list(dict.fromkeys(itertools.chain(*objects)))
        return Sample(names, [[value.get(name) for name in names] for value in objects])


def _header(records: Iterator[Record]) -> tuple[list[str], Iterator[Record]]:
    """Return the names of the columns, which stand in the first line that is not empty, and the records below it."""
    header = next((record.cells for record in records if any(map(str.strip, record.cells))), [])
    return [name.removeprefix("\ufeff") for name in header], records


@contextmanager
def _unchanged(file: str) -> Iterator[None]:
    path = stored(file)
    before = path.stat()
    yield
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UserError(_("{file}: changed while it was read; run again when nothing writes to it").format(file=file))


def _read_delimited(file: str, source: Source, ending: str) -> Iterator[Row]:
    delimiter = DELIMITERS[ending]
    with open_text(file, source.encoding) as handle:
        names, records = _header(delimited_records(handle, file, ending, source.separator))
        if not names:
            raise UserError(_("{file}: is empty").format(file=file))
        positions = [names.index(column) for column in _columns_in(file, names, source, delimiter)]
        # Spreadsheets write empty cells at the end of every line, that of the header too.
        width = max(position for position, name in enumerate(names) if name.strip()) + 1
        for number, cells in records:
            if len(cells) > width and any(map(str.strip, cells[width:])):
                yield Row(file, number, (delimiter.join(cells),), MORE_CELLS)
            elif len(cells) <= max(positions):
                yield Row(
                    file, number, (delimiter.join(cells),) if cells else (), MISSING_CELL if cells else EMPTY_LINE
                )
            else:
                yield Row(file, number, tuple(cells[position] for position in positions))


def _columns_in(file: str, names: Sequence[str], source: Source, delimiter: str = "") -> tuple[str, ...]:
    """Return the columns to take of a file with these names.

    Raises:
        UserError: it has not all of them, or one twice.
    """
    columns = source.columns_of(names)
    if columns and all(names.count(column) == 1 for column in columns):
        return columns
    sample, wanted = _sample(file, source), columns or source.columns
    raise UserError(missing_columns(file, wanted, source.column_settings, source.separator, sample, delimiter))


def _read_json(file: str, source: Source) -> Iterator[Row]:
    with open_text(file, source.encoding) as handle:
        any_object = any_complete = False
        for item in json_items(handle, file, source.known_columns):
            cells, fault = _json_cells(item, source)
            any_object, any_complete = any_object or isinstance(item.value, dict), any_complete or not fault
            yield Row(file, item.number, cells or (item.shown,), fault)
        if any_object and not any_complete:
            _columns_in(file, _sample(file, source).names, source)


def _json_cells(item: Item, source: Source) -> tuple[tuple[Any, ...], str]:
    """Return the cells of a JSON value, or why there are none."""
    value = item.value
    if item.fault:
        return (), item.fault
    if isinstance(value, KeyTwice):
        return (), KEY_TWICE.format(key=repr(value.key))
    if source.takes_whole_texts and (isinstance(value, str) or is_list_of_lines(value)):
        return (value,), ""
    if not isinstance(value, dict):
        return (), NOT_AN_OBJECT
    columns = source.columns_of(list(value))
    if columns is None:
        return (), NO_KEY.format(key=repr(next(column for column in source.columns if column not in value)))
    return tuple(value[column] for column in columns), ""


def is_list_of_lines(cell: object) -> bool:
    """Whether a cell is a text in pieces, as collections of poems have it (`paragraphs`)."""
    return isinstance(cell, list) and bool(cell) and all(isinstance(line, str) for line in cell)


def _read_parquet(file: str, source: Source) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(stored(file))
        columns = _columns_in(file, parquet.schema_arrow.names, source)
        number = itertools.count(1)
        for batch in parquet.iter_batches(batch_size=10_000, columns=list(columns)):
            cells_of = [batch.column(name).to_pylist() for name in columns]
            for cells in zip(*cells_of, strict=True):
                yield Row(file, next(number), cells)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: strings that are not UTF-8
        raise UserError(
            _("{file}: cannot be read as Parquet: {reason}").format(file=file, reason=str(error).splitlines()[0])
        ) from None


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
                if is_blank(lower or upper or ""):
                    continue  # lines that an editor left at the end of one of the files
                shorter = upper_file if upper is None else lower_file
                raise UserError(
                    _(
                        "{file}: ends after line {number}, but the other file goes on; the two must answer each other "
                        "line by line"
                    ).format(file=shorter, number=number - 1)
                )
            yield Row(upper_file, number, (upper, lower))
