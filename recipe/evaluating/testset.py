"""What an evaluation compares: upper lines and known lower lines, the training file, chance, lines made elsewhere."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import starmap
from typing import NamedTuple

from recipe.couplet.form import mark_positions
from recipe.errors import UserError, notice
from recipe.formats.couplet import Couplet, spelled_out
from recipe.language import _, enumerated
from recipe.metrics.material import TrainingFile
from recipe.rows.cleaning import RejectedRowError, counted, in_words
from recipe.rows.delimited import delimited_records
from recipe.rows.diagnosis import SEPARATOR_FLAG
from recipe.rows.reading import (
    Row,
    Source,
    checked_text,
    chosen_columns,
    other_couplet_columns,
    read_rows,
    shown_row,
    why_rejected,
)
from recipe.settings import EvaluationSettings
from recipe.stored_files import content_ending
from recipe.text_files import open_text, rows_file_problem

UPPER_COLUMN, LOWER_COLUMN = "upper", "lower"


@dataclass(frozen=True)
class TestSet:
    """Different upper lines in the order of the file, each with all its different lower lines.

    Attributes:
        uppers: shape (upper lines,).
        references: the known lower lines of each.
        rows: the upper line of each row of the file, repeated ones included.
        rejected: rows that could not be read as a couplet, by reason.
        cleaned: rows that something was taken out of beside white space, by its kind.
    """

    uppers: list[str]
    references: list[list[str]]
    rows: list[str]
    rejected: dict[str, int]
    cleaned: dict[str, int] = field(default_factory=dict)

    @cached_property
    def first_references(self) -> list[str]:
        """One known lower line for each upper line: the first of the file."""
        return [lines[0] for lines in self.references]


def read_test_set(settings: EvaluationSettings) -> TestSet:
    """Read the test file, at most `max_upper_lines` different upper lines of it.

    Raises:
        UserError: no test file, a file that cannot be read, or no couplet in it.
    """
    if not settings.test_file:
        raise UserError(_("no test file: give --test_file FILE, whose couplets are the references"))
    rejected, cleaned = Counter[str](), Counter[str]()
    references: dict[str, dict[str, None]] = {}
    rows = []
    first: dict[str, Row] = {}
    for upper, lower in _read_couplets(settings.test_file, settings, rejected, cleaned, first):
        if upper not in references and len(references) == settings.max_upper_lines:
            continue
        references.setdefault(upper, {})[lower] = None
        rows.append(upper)
    if not references:
        found = counted(rejected) or _("no rows at all")
        raise UserError(
            _("{files}: holds no couplet to compare with ({found})").format(
                files=enumerated(settings.test_file), found=found
            )
            + why_rejected(_source(settings.test_file, settings), first, rejected)
        )
    return TestSet(list(references), [list(lines) for lines in references.values()], rows, rejected, cleaned)


def check_training_file(settings: EvaluationSettings) -> None:
    """Read the training file through, if one is named, and keep nothing of it.

    Raises:
        UserError: as `read_training_file`.
    """
    if settings.train_file and not any(
        1 for _ in _read_couplets(settings.train_file, settings, Counter(), Counter(), {})
    ):
        raise UserError(_no_training_couplet(settings))


def read_training_file(settings: EvaluationSettings) -> TrainingFile | None:
    """Read the training file, or return None where none is named.

    Raises:
        UserError: a file that cannot be read, or no couplet in it.
    """
    if not settings.train_file:
        return None
    rejected = Counter[str]()
    couplets = list(_read_couplets(settings.train_file, settings, rejected, Counter(), {}))
    if not couplets:
        raise UserError(_no_training_couplet(settings))
    if rejected:
        notice(
            _("rows of the training file that are no couplet and were left out: {found}").format(
                found=counted(rejected)
            )
        )
    return TrainingFile([upper for upper, _ in couplets], [lower for _, lower in couplets])


def _no_training_couplet(settings: EvaluationSettings) -> str:
    return _("{files}: holds no couplet; is it the training file?").format(files=enumerated(settings.train_file))


def _read_couplets(
    files: Sequence[str],
    settings: EvaluationSettings,
    rejected: Counter[str],
    cleaned: Counter[str],
    first: dict[str, Row],
) -> Iterator[tuple[str, str]]:
    """Yield the couplets of the files.

    Args:
        rejected: counts the rows that are none, by reason.
        cleaned: counts what is taken out of the others.
        first: is given the first row of each reason.
    """
    refuse_missing(files)
    # An evaluation leaves out no couplet for its shape: lines of unequal length are the file's own business.
    text_format = Couplet(spelled_out(settings.separator), keeps_unequal=True)
    for row in read_rows(_source(files, settings)):
        try:
            text, opening_length, _key, removed = checked_text(row, text_format)
        except RejectedRowError as rejection:
            rejected[rejection.reason] += 1
            first.setdefault(rejection.reason, shown_row(row, rejection.reason))
        else:
            cleaned.update(removed)
            yield text_format.split(text, opening_length)


def _source(files: Sequence[str], settings: EvaluationSettings) -> Source:
    columns = chosen_columns(settings.text_column, settings.upper_column, settings.lower_column)
    return Source(
        tuple(files),
        columns,
        settings.encoding,
        other_columns=other_couplet_columns(settings.text_column, columns),
        separator=spelled_out(settings.separator) if len(columns) == 1 else "",
        advised_settings=(SEPARATOR_FLAG,),
    )


def refuse_missing(files: Iterable[str]) -> None:
    """Refuse files of which nothing can be read.

    Raises:
        UserError: all that do not exist or are empty.
    """
    if problems := [problem for file in files if (problem := rows_file_problem(file))]:
        raise UserError(problems)


class Predictions(NamedTuple):
    """Lines that another system wrote.

    Attributes:
        runs: each a lower line for every upper line of the test set.
        cleaned: of how many lines something was taken out beside white space, by its kind.
    """

    runs: list[list[str]]
    cleaned: Counter[str]


def read_predictions(
    setting: str, files: Sequence[str], test_set: TestSet, settings: EvaluationSettings
) -> Predictions:
    """Return one or more runs, each a lower line for every upper line of the test set, from somebody's output.

    A pair of text files, a TSV (with or without a header), CSV, JSON Lines or Parquet file with the columns `upper` and
    `lower` is matched by upper line; a single text file of lower lines is matched by the rows of the test file. Where
    every upper line has several answers the first ones make the first run, and so on.

    Args:
        setting: the flag that names the files, to begin every message with.

    Raises:
        UserError: files that do not exist or cannot be read, numbers of lines that differ, upper lines without answer.
    """
    try:
        return _read_predictions(files, test_set, settings)
    except UserError as error:
        raise UserError([f"{setting} {problem}" for problem in error.problems]) from None


def _read_predictions(files: Sequence[str], test_set: TestSet, settings: EvaluationSettings) -> Predictions:
    refuse_missing(files)
    if len(files) > 2:
        raise UserError(
            _("takes one file, or a text file of upper and one of lower lines; found {count}").format(count=len(files))
        )
    name = " ".join(files)
    if len(files) == 1 and content_ending(files[0]) == ".txt":
        pairs = _pair_with_rows(files[0], test_set, settings)
    else:
        pairs = _read_prediction_pairs(files, settings)
    if all("".join(upper.split()) == "".join(lower.split()) for upper, lower in pairs):
        raise UserError(
            _("{name}: every lower line is its upper line; name the file of the lines that answer them").format(
                name=name
            )
        )
    found: dict[str, list[str]] = {upper: [] for upper in test_set.uppers}
    text_format, cleaned = Couplet(spelled_out(settings.separator)), Counter[str]()
    for upper, lower in starmap(text_format.read_pair, pairs):
        if upper.text in found:
            found[upper.text].append(lower.text)
            cleaned.update(lower.removed)
    _refuse_whole_couplets(name, found)
    missing = [upper for upper, lines in found.items() if not lines]
    if missing:
        raise UserError(
            _(
                "{name}: {count:,} of {total:,} upper lines of the test file have no lower line here (the first: "
                "{first}); every one needs an answer"
            ).format(name=name, count=len(missing), total=len(found), first=missing[0])
        )
    runs = min(len(lines) for lines in found.values())
    return Predictions([[found[upper][run] for upper in test_set.uppers] for run in range(runs)], cleaned)


def _refuse_whole_couplets(name: str, found: Mapping[str, Sequence[str]]) -> None:
    """Refuse a file of whole couplets in the place of lower lines; a few such lines are a system's own mistakes."""
    lines = [(upper, lower) for upper, lowers in found.items() for lower in lowers]
    whole = [lower for upper, lower in lines if len(lower) > len(upper) and lower.startswith(upper)]
    if 2 * len(whole) > len(lines):
        raise UserError(
            _(
                "{name}: {count:,} of {total:,} lines begin with their upper line (the first: {first}); give lower "
                "lines alone, or a file with the columns upper and lower"
            ).format(name=name, count=len(whole), total=len(lines), first=whole[0])
        )


def _pair_with_rows(file: str, test_set: TestSet, settings: EvaluationSettings) -> list[tuple[str, str]]:
    lines = [row.cells[0] for row in read_rows(Source((file, file), ("line", "line"), settings.encoding, True))]
    if len(lines) != len(test_set.rows):
        raise UserError(
            _(
                "{file}: has {total:,} lines, the test file {rows:,} couplets ({rejected:,} rows rejected); one "
                "lower line for each of them is needed, in their order. Or name two files, of upper and of lower "
                "lines, which are matched by upper line"
            ).format(file=file, total=len(lines), rows=len(test_set.rows), rejected=sum(test_set.rejected.values()))
        )
    return list(zip(test_set.rows, lines, strict=True))


def _read_prediction_pairs(files: Sequence[str], settings: EvaluationSettings) -> list[tuple[str, str]]:
    columns = (UPPER_COLUMN, LOWER_COLUMN)
    if len(files) == 2:
        source = Source((files[0], files[1]), columns, settings.encoding, is_line_pair=True)
    elif content_ending(files[0]) == ".tsv" and not _has_header(files[0], settings.encoding):
        return _read_headerless(files[0], settings.encoding)
    else:
        source = Source(tuple(files), columns, settings.encoding, column_settings=(), advised_settings=())
    pairs, faults = [], []
    for row in read_rows(source):
        if row.fault or not all(_is_text(cell) for cell in row.cells):
            fault = in_words(row.fault) if row.fault else _("a cell is not text, or damaged")
            faults.append(_("{file}: row {number}: {fault}").format(file=row.file, number=row.number, fault=fault))
        else:
            pairs.append((row.cells[0], row.cells[1]))
    if faults:
        first = faults[0]
        if len(faults) > 1:
            first = _("{first} (and {count:,} more rows)").format(first=first, count=len(faults) - 1)
        raise UserError(first)
    return pairs


def _has_header(file: str, encoding: str) -> bool:
    with open_text(file, encoding) as handle:
        return {UPPER_COLUMN, LOWER_COLUMN} <= set(handle.readline().rstrip("\r\n").split("\t"))


def _read_headerless(file: str, encoding: str) -> list[tuple[str, str]]:
    with open_text(file, encoding) as handle:
        records = list(delimited_records(handle, file, ".tsv", ""))
    wrong = [(number, len(found)) for number, found in records if len(found) != 2]
    if wrong:
        number, count = wrong[0]
        raise UserError(
            _("{file}, line {number}: has {count} columns; expected two, upper and lower line, tab between").format(
                file=file, number=number, count=count
            )
        )
    return [(upper, lower) for _, (upper, lower) in records]


def _is_text(cell: object) -> bool:
    """Whether a cell is text that a file can hold: JSON escapes can name half a character."""
    try:
        return isinstance(cell, str) and cell.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False


def shape_of(line: str) -> tuple[int, ...]:
    """Return the length of a line and the positions of its marks."""
    return (len(line), *mark_positions(line))


def chance_lines(test_set: TestSet, training_file: TrainingFile | None, seed: int) -> tuple[list[str], list[bool]]:
    """Draw for each upper line a random known lower line of the same shape that does not answer it.

    The lines come from the training file, or, where there is none, from the other rows of the test file. Where no line
    has the shape, any line is drawn.

    Returns:
        The lines, and whether each has the very shape of its upper line.
    """
    pool = training_file.lowers if training_file else [line for lines in test_set.references for line in lines]
    by_shape: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for line in pool:
        by_shape[shape_of(line)].append(line)
    generator = random.Random(seed)
    lines, same_shape = [], []
    for upper, known in zip(test_set.uppers, test_set.references, strict=True):
        drawn = _draw(by_shape.get(shape_of(upper), []), known, generator)
        lines.append(generator.choice(pool) if drawn is None else drawn)
        same_shape.append(drawn is not None)
    return lines, same_shape


def _draw(candidates: Sequence[str], known: Sequence[str], generator: random.Random, tries: int = 20) -> str | None:
    """Return a random candidate that is none of the known lines, or None where (nearly) all of them are."""
    drawn = (generator.choice(candidates) for _ in range(tries if candidates else 0))
    return next((line for line in drawn if line not in known), None)
