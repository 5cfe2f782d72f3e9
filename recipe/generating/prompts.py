"""Upper lines to answer: from the command line, a file or standard input, without loading a model."""

from __future__ import annotations

import sys
from pathlib import Path

from recipe.couplet.form import split_couplet
from recipe.errors import UserError
from recipe.rows.reading import FORMAT_ENDINGS, Source, read_rows
from recipe.settings import GenerationSettings

STANDARD_INPUT = "-"


def read_prompts(settings: GenerationSettings) -> list[str]:
    """Return the prompts that the settings name, as written but for whitespace around them; empty ones are left out.

    Raises:
        UserError: no prompt anywhere, or a file that cannot be read.
    """
    prompts = list(settings.prompt)
    if settings.prompts_file not in (None, STANDARD_INPUT):
        prompts += _read_file(settings)
    elif settings.prompts_file == STANDARD_INPUT or (not prompts and not sys.stdin.isatty()):
        prompts += _decode(sys.stdin.buffer.read(), "standard input", settings.encoding).splitlines()
    kept = [prompt.strip() for prompt in prompts if prompt.strip()]
    if broken := [prompt for prompt in kept if not _is_text(prompt)]:
        raise UserError([f"{prompt!r} is not UTF-8 text; set the terminal to UTF-8" for prompt in broken])
    if not kept:
        raise UserError(
            "no upper line to answer: give --prompt 春满神州花似锦, --prompts_file FILE, lines on standard input, or "
            "--interactive"
        )
    return kept


def upper_line(prompt: str, separator: str) -> str:
    """The upper line of a prompt: without a separator at its end, and without the lower line of a whole couplet."""
    halves = split_couplet(prompt, separator) if separator else None
    if halves is not None and len(halves[0]) == len(halves[1]) > 0:
        return halves[0]
    return prompt.removesuffix(separator) if separator else prompt


def _is_text(prompt: str) -> bool:
    """Whether `prompt` holds no lone surrogate, as which Python hands over undecodable bytes of the command line."""
    return not any("\ud800" <= char <= "\udfff" for char in prompt)


def _read_file(settings: GenerationSettings) -> list[str]:
    path = Path(str(settings.prompts_file))
    if not path.is_file():
        raise UserError(f"--prompts_file {path}: {'is a directory' if path.is_dir() else 'no such file'}")
    if path.suffix.lower() not in FORMAT_ENDINGS:
        return _decode(path.read_bytes(), str(path), settings.encoding).splitlines()
    rows = list(read_rows(Source((str(path),), (settings.prompt_column,), settings.encoding)))
    # An empty cell is an empty prompt; every other fault loses a line that somebody wants to see answered.
    faulty = [row for row in rows if row.fault and row.fault != "empty line"]
    if faulty:
        raise UserError([f"{row.file}: row {row.number}: {row.fault}" for row in faulty[:20]])
    return [str(row.cells[0]) for row in rows if row.cells and row.cells[0] is not None]


def _decode(content: bytes, name: str, encoding: str) -> str:
    # utf-8-sig drops the byte order mark that some editors put first.
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        return content.decode(codec)
    except LookupError:
        raise UserError(f"--encoding {encoding}: Python knows no such encoding; try utf-8 or gb18030") from None
    except UnicodeError as error:
        raise UserError(f"{name}: is not {encoding} ({error}); for Chinese text try --encoding gb18030") from None
