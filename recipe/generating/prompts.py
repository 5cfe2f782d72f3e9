"""Prompts to answer: from the command line, a file or standard input, without loading a model."""

from __future__ import annotations

import sys
from pathlib import Path

from recipe.characters import is_blank
from recipe.errors import UserError
from recipe.rows.reading import FORMAT_ENDINGS, Row, Source, read_rows
from recipe.settings import GenerationSettings
from recipe.text_files import decode_text, path_problem, text_lines

STANDARD_INPUT = "-"
_ROWS_NAMED = 20


def read_prompts(settings: GenerationSettings) -> list[str]:
    """Return the prompts that the settings name, as written; lines with nothing to see are left out.

    A prompt is one line, wherever it comes from: a line end inside `--prompt` ends a prompt too.

    Raises:
        UserError: no prompt anywhere, or a file that cannot be read.
    """
    prompts = [line for prompt in settings.prompt for line in text_lines(prompt)]
    if settings.prompts_file not in (None, STANDARD_INPUT):
        prompts += _read_file(settings)
    elif settings.prompts_file == STANDARD_INPUT or not prompts:
        prompts += _read_standard_input(settings)
    kept = [prompt for prompt in prompts if not is_blank(prompt)]
    if broken := [prompt for prompt in kept if not is_text(prompt)]:
        raise UserError([f"{prompt!r} is not UTF-8 text; set the terminal to UTF-8" for prompt in broken])
    if not kept:
        source = "standard input" if settings.prompts_file == STANDARD_INPUT else settings.prompts_file
        raise UserError(
            f"no upper line to answer{f' in {source}' if source else ''}: give --prompt 春满神州花似锦, --prompts_file "
            "FILE, lines on standard input, or --interactive"
        )
    return kept


def is_text(prompt: str) -> bool:
    """Whether `prompt` holds no lone surrogate, as which Python hands over undecodable bytes (surrogateescape)."""
    return not any("\ud800" <= char <= "\udfff" for char in prompt)


def _read_standard_input(settings: GenerationSettings) -> list[str]:
    if sys.stdin is None:
        raise UserError("standard input is closed; give --prompt 春满神州花似锦 or --prompts_file FILE")
    # Somebody who gives no prompt at all is told how to, not left before a terminal that waits.
    if settings.prompts_file is None and sys.stdin.isatty():
        return []
    return text_lines(decode_text(sys.stdin.buffer.read(), "standard input", settings.encoding))


def _read_file(settings: GenerationSettings) -> list[str]:
    path = Path(str(settings.prompts_file))
    if problem := path_problem(str(path)):
        raise UserError(f"--prompts_file {problem}")
    if path.suffix.lower() not in FORMAT_ENDINGS:
        return text_lines(decode_text(path.read_bytes(), str(path), settings.encoding))
    columns = (settings.prompt_column,)
    rows = list(read_rows(Source((str(path),), columns, settings.encoding, column_settings="--prompt_column")))
    if faulty := [f"{row.file}: row {row.number}: {fault}" for row in rows if (fault := _fault(row))]:
        more = [f"and {len(faulty) - _ROWS_NAMED:,} more rows"] if len(faulty) > _ROWS_NAMED else []
        raise UserError(faulty[:_ROWS_NAMED] + more)
    return [row.cells[0] for row in rows if row.cells and row.cells[0] is not None]


def _fault(row: Row) -> str:
    """Why the line of `row` cannot be answered; an empty row or cell is an empty prompt, which is left out."""
    if row.fault:
        return row.fault if row.fault != "empty line" else ""
    (cell,) = row.cells
    if cell is None or isinstance(cell, str):
        return ""
    return f"{str(cell)[:40]} is not a text; write it in quotation marks"
