"""Prompts to answer: from the command line, a file or standard input, without loading a model."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from recipe.characters import is_blank
from recipe.errors import UserError
from recipe.language import _
from recipe.rows.cleaning import in_words
from recipe.rows.json_values import EMPTY_LINE
from recipe.rows.reading import FORMAT_ENDINGS, PAIR_COLUMNS, Row, Source, read_rows
from recipe.settings import GenerationSettings
from recipe.stored_files import content_ending
from recipe.text_files import decode_text, line_end_of, open_text, path_problem, text_lines

STANDARD_INPUT = "-"
_ROWS_NAMED = 20


def read_prompts(settings: GenerationSettings) -> Iterator[str]:
    """Yield the prompts that the settings name, as written; lines with nothing to see are left out. None is held.

    A prompt is one line, wherever it comes from: a line end inside `--prompt` ends a prompt too.

    Raises:
        UserError: no prompt anywhere, or a file that cannot be read; at the end, lines that are no text.
    """
    given = [line for prompt in settings.prompt for line in text_lines(prompt)]
    read: Iterator[str] = iter(())
    if settings.prompts_file not in (None, STANDARD_INPUT):
        read = _read_file(settings)
    elif settings.prompts_file == STANDARD_INPUT or not given:
        read = _read_standard_input(settings)
    count = 0
    broken: list[str] = []
    for prompt in itertools.chain(given, read):
        if is_blank(prompt):
            continue
        count += 1
        if is_text(prompt):
            yield prompt
        elif len(broken) < _ROWS_NAMED:
            broken.append(prompt)
    if broken:
        raise UserError(
            [_("{prompt!r} is not UTF-8 text; set the terminal to UTF-8").format(prompt=prompt) for prompt in broken]
        )
    if not count:
        source = _("standard input") if settings.prompts_file == STANDARD_INPUT else settings.prompts_file
        asked = _(
            "no upper line to answer in {source}: give --prompt 春满神州花似锦, --prompts_file FILE, lines on standard "
            "input, or --interactive"
        )
        if not source:
            asked = _(
                "no upper line to answer: give --prompt 春满神州花似锦, --prompts_file FILE, lines on standard input, "
                "or --interactive"
            )
        raise UserError(asked.format(source=source))


def is_text(prompt: str) -> bool:
    """Whether `prompt` holds no lone surrogate, as which Python hands over undecodable bytes (surrogateescape)."""
    return not any("\ud800" <= char <= "\udfff" for char in prompt)


def _read_standard_input(settings: GenerationSettings) -> Iterator[str]:
    if sys.stdin is None:
        raise UserError(_("standard input is closed; give --prompt 春满神州花似锦 or --prompts_file FILE"))
    # Somebody who gives no prompt at all is told how to, not left before a terminal that waits.
    if settings.prompts_file is None and sys.stdin.isatty():
        return
    content = sys.stdin.buffer.read()
    text = decode_text(content, _("standard input"), settings.encoding)
    for line in io.StringIO(text, newline=line_end_of(content)):
        yield from text_lines(line)


def _read_file(settings: GenerationSettings) -> Iterator[str]:
    path = Path(str(settings.prompts_file))
    if problem := path_problem(str(path)):
        raise UserError(f"--prompts_file {problem}")
    if content_ending(str(path)) not in FORMAT_ENDINGS:
        with open_text(str(path), settings.encoding) as lines:
            for line in lines:
                yield from text_lines(line)
        return
    source = Source(
        (str(path),),
        (settings.prompt_column,),
        settings.encoding,
        column_settings=("--prompt_column",),
        other_columns=tuple((upper,) for upper, _lower in PAIR_COLUMNS),
    )
    faulty, count = [], 0
    for row in read_rows(source):
        if fault := _fault(row):
            count += 1
            if count <= _ROWS_NAMED:
                faulty.append(_("{file}: row {number}: {fault}").format(file=row.file, number=row.number, fault=fault))
        elif row.cells and row.cells[0] is not None:
            yield row.cells[0]
    if faulty:
        more = [_("and {count:,} more rows").format(count=count - _ROWS_NAMED)] if count > _ROWS_NAMED else []
        raise UserError([*faulty, *more])


def _fault(row: Row) -> str:
    """Why the line of `row` cannot be answered; an empty row or cell is an empty prompt, which is left out."""
    if row.fault:
        return in_words(row.fault) if row.fault != EMPTY_LINE else ""
    (cell,) = row.cells
    if cell is None or isinstance(cell, str):
        return ""
    return _("{cell} is not a text; write it in quotation marks").format(cell=str(cell)[:40])
