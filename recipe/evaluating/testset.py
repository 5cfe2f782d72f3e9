"""What an evaluation compares: upper lines and known lower lines, the training file, chance, lines made elsewhere."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from recipe.couplet.form import mark_positions
from recipe.errors import UserError
from recipe.formats.couplet import Couplet
from recipe.metrics.material import TrainingFile
from recipe.rows.cleaning import RejectedRowError
from recipe.rows.reading import Source, checked_text, read_rows
from recipe.settings import EvaluationSettings
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
        raise UserError("no test file: give --test_file FILE, whose couplets are the references")
    rejected, cleaned = Counter[str](), Counter[str]()
    references: dict[str, dict[str, None]] = {}
    rows = []
    for upper, lower in _read_couplets(settings.test_file, settings, rejected, cleaned):
        if upper not in references and len(references) == settings.max_upper_lines:
            continue
        references.setdefault(upper, {})[lower] = None
        rows.append(upper)
    if not references:
        found = "; ".join(f"{count:,} {reason}" for reason, count in rejected.items()) or "no rows at all"
        raise UserError(f"{', '.join(settings.test_file)}: holds no couplet to compare with ({found})")
    return TestSet(list(references), [list(lines) for lines in references.values()], rows, rejected, cleaned)


def check_training_file(settings: EvaluationSettings) -> None:
    """Read the training file through, if one is named, and keep nothing of it.

    Raises:
        UserError: as `read_training_file`.
    """
    if settings.train_file and not any(1 for _ in _read_couplets(settings.train_file, settings, Counter(), Counter())):
        raise UserError(_no_training_couplet(settings))


def read_training_file(settings: EvaluationSettings) -> TrainingFile | None:
    """Read the training file, or return None where none is named.

    Raises:
        UserError: a file that cannot be read, or no couplet in it.
    """
    if not settings.train_file:
        return None
    couplets = list(_read_couplets(settings.train_file, settings, Counter(), Counter()))
    if not couplets:
        raise UserError(_no_training_couplet(settings))
    return TrainingFile([upper for upper, _ in couplets], [lower for _, lower in couplets])


def _no_training_couplet(settings: EvaluationSettings) -> str:
    return f"{', '.join(settings.train_file)}: holds no couplet; is it the training file?"


def _read_couplets(
    files: Sequence[str],
    settings: EvaluationSettings,
    rejected: Counter[str],
    cleaned: Counter[str],
) -> Iterator[tuple[str, str]]:
    """Yield the couplets of the files; count the rows that are none in `rejected`, what is taken out in `cleaned`."""
    refuse_missing(files)
    columns: tuple[str, ...] = (settings.text_column,)
    if settings.upper_column is not None and settings.lower_column is not None:
        columns = (settings.upper_column, settings.lower_column)
    # An evaluation leaves out no couplet for its shape: lines of unequal length are the file's own business.
    text_format = Couplet(settings.separator, keeps_unequal=True)
    for row in read_rows(Source(tuple(files), columns, settings.encoding)):
        try:
            text, opening_length, _, removed = checked_text(row, text_format)
        except RejectedRowError as rejection:
            rejected[rejection.reason] += 1
        else:
            cleaned.update(removed)
            yield text_format.split(text, opening_length)


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
        raise UserError(f"takes one file, or a text file of upper and one of lower lines; found {len(files)}")
    name = " ".join(files)
    if len(files) == 1 and Path(files[0]).suffix.lower() == ".txt":
        pairs = _pair_with_rows(files[0], test_set, settings)
    else:
        pairs = _read_prediction_pairs(files, settings)
    found: dict[str, list[str]] = {upper: [] for upper in test_set.uppers}
    text_format, cleaned = Couplet(settings.separator), Counter[str]()
    for upper, lower in (map(text_format.read_line, pair) for pair in pairs):
        if upper.text in found:
            found[upper.text].append(lower.text)
            cleaned.update(lower.removed)
    missing = [upper for upper, lines in found.items() if not lines]
    if missing:
        raise UserError(
            f"{name}: {len(missing):,} of {len(found):,} upper lines of the test file have no lower line here "
            f"(the first: {missing[0]}); every one needs an answer"
        )
    runs = min(len(lines) for lines in found.values())
    return Predictions([[found[upper][run] for upper in test_set.uppers] for run in range(runs)], cleaned)


def _pair_with_rows(file: str, test_set: TestSet, settings: EvaluationSettings) -> list[tuple[str, str]]:
    lines = [row.cells[0] for row in read_rows(Source((file, file), ("line", "line"), settings.encoding, True))]
    if len(lines) != len(test_set.rows):
        raise UserError(
            f"{file}: has {len(lines):,} lines, the test file {len(test_set.rows):,} couplets "
            f"({sum(test_set.rejected.values()):,} rows rejected); one lower line for each of them is needed, in their "
            "order. Or name two files, of upper and of lower lines, which are matched by upper line"
        )
    return list(zip(test_set.rows, lines, strict=True))


def _read_prediction_pairs(files: Sequence[str], settings: EvaluationSettings) -> list[tuple[str, str]]:
    columns = (UPPER_COLUMN, LOWER_COLUMN)
    if len(files) == 2:
        source = Source((files[0], files[1]), columns, settings.encoding, is_line_pair=True)
    elif Path(files[0]).suffix.lower() == ".tsv" and not _has_header(files[0], settings.encoding):
        return _read_headerless(files[0], settings.encoding)
    else:
        source = Source(tuple(files), columns, settings.encoding, column_settings="")
    pairs, faults = [], []
    for row in read_rows(source):
        if row.fault or not all(_is_text(cell) for cell in row.cells):
            faults.append(f"{row.file}, row {row.number}: {row.fault or 'a cell is not text, or damaged'}")
        else:
            pairs.append((row.cells[0], row.cells[1]))
    if faults:
        more = f" (and {len(faults) - 1:,} more rows)" if len(faults) > 1 else ""
        raise UserError(faults[0] + more)
    return pairs


def _has_header(file: str, encoding: str) -> bool:
    with open_text(file, encoding) as handle:
        return {UPPER_COLUMN, LOWER_COLUMN} <= set(handle.readline().rstrip("\r\n").split("\t"))


def _read_headerless(file: str, encoding: str) -> list[tuple[str, str]]:
    # A pair of lines is read from the file twice over, so that decoding faults get the reader's message.
    rows = read_rows(Source((file, file), ("line", "line"), encoding, True))
    cells = [(row.number, row.cells[0].rstrip("\r\n").split("\t")) for row in rows]
    wrong = [(number, len(found)) for number, found in cells if len(found) != 2]
    if wrong:
        number, count = wrong[0]
        raise UserError(f"{file}, line {number}: has {count} columns; expected two, upper and lower line, tab between")
    return [(upper, lower) for _, (upper, lower) in cells]


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
