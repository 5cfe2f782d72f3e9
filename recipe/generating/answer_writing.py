"""Answers as text, TSV, CSV or JSON Lines, on the screen or in a file that appears under its name when it is whole."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, cast

from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.language import _

ENDINGS = {".txt": "text", ".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl"}
# Where these lead to a regular file, the shell that opened it goes on writing there: it must not be replaced.
_STANDARD_STREAMS = ("/dev/stdout", "/dev/stderr")


class RatedText(Protocol):
    """What is written of an answer; `recipe.generating.generator.Answer` is one."""

    @property
    def prompt(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def log_probability(self) -> float: ...
    @property
    def tones(self) -> float | None: ...


def output_kind(chosen: str | None, output_file: str | None) -> str:
    """Text, TSV, CSV or JSON Lines, as asked for: by name, or by the ending of the output file, else text."""
    return chosen or ENDINGS.get(Path(output_file or "").suffix.lower(), "text")


def output_problem(chosen_format: str | None, output_file: str) -> str | None:
    """Why answers cannot be written to `output_file`, as far as its name tells."""
    try:
        if Path(output_file).is_dir() or output_file.endswith(os.sep):
            return _("--output_file {output_file}: is a directory; name a file in it").format(output_file=output_file)
    except OSError as error:  # a name that is too long, say
        return _("--output_file {output_file}: cannot be written ({reason})").format(
            output_file=output_file[:40], reason=error.strerror
        )
    ending = Path(output_file).suffix.lower()
    if ending and ending not in ENDINGS and chosen_format is None:
        return _(
            "--output_file {output_file}: the ending {ending} says no format; end it in .txt, .tsv, .csv or "
            ".jsonl, or give --output_format"
        ).format(output_file=output_file, ending=ending)
    return None


def open_standard_output() -> IO[str]:
    """Return standard output, made able to take every character.

    Into a pipe or a file goes UTF-8, whatever the terminal's encoding: it is what `--output_file` writes and what
    prompts on standard input are read as. A terminal shows what its encoding lacks as `\\U00020bb7`.

    Raises:
        UserError: it is closed.
    """
    if sys.stdout is None:
        raise UserError(_("standard output is closed; give --output_file FILE"))
    output = cast(io.TextIOWrapper, sys.stdout)
    if output.isatty():
        output.reconfigure(errors="backslashreplace")
    else:
        output.reconfigure(encoding="utf-8")
    return output


def partial_file(output_file: str | None) -> Path | None:
    """Return the file that grows until `output_file` is whole; None where answers go to no regular file."""
    if output_file is None or output_file in _STANDARD_STREAMS:
        return None
    path = Path(output_file)
    if path.exists() and not path.is_file():
        return None
    target = Path(os.path.realpath(path))
    return target.with_name(target.name + ".part")


class AnswerWriter:
    """Writes answers line by line, as a context manager.

    A file grows under the name `FILE.part` and gets its own name at the end, so that an interrupted run leaves what is
    finished, and never something that looks whole. What is no regular file (a named pipe, /dev/null) is written to
    directly, and a symbolic link stays: the file that it leads to is replaced.
    """

    def __init__(
        self,
        kind: str,
        output_file: str | None,
        text_format: TextFormat,
        shows_likelihood: bool,
        kept_bytes: int = 0,
    ) -> None:
        """Open the output.

        Args:
            kind: what `output_kind` returned.
            text_format: says how prompt and answer are joined in text, and what their columns are called elsewhere.
            shows_likelihood: whether text shows the log-probability of each answer; the other kinds always have it.
            kept_bytes: go on behind so many bytes of what an interrupted run left behind.

        Raises:
            UserError: the file cannot be written.
        """
        self._target: Path | None = None
        self.partial: Path | None = None
        self._file = self._open(output_file, kept_bytes)
        self._join, self._shows_likelihood = text_format.join, shows_likelihood
        self._columns = (text_format.prompt_name, text_format.answer_name, "log_probability", "tones")
        self._line = _LINES[kind]
        if kind in _DELIMITERS and not kept_bytes:
            self._file.write(_DELIMITERS[kind].join(self._columns) + "\n")

    def _open(self, output_file: str | None, kept_bytes: int) -> IO[str]:
        if output_file is None:
            return open_standard_output()
        try:
            self.partial = partial_file(output_file)
            if self.partial is None:
                return Path(output_file).open("a", encoding="utf-8", newline="")
            self._target = Path(os.path.realpath(output_file))
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            if kept_bytes:
                os.truncate(self.partial, kept_bytes)
            return self.partial.open("a" if kept_bytes else "w", encoding="utf-8", newline="")
        except OSError as error:
            raise UserError(
                _("--output_file {output_file}: cannot be written ({reason})").format(
                    output_file=output_file, reason=error.strerror
                )
            ) from None

    def write(self, answers: Sequence[RatedText]) -> None:
        """Write the answers to one prompt."""
        for answer in answers:
            self._file.write(self._line(self, answer) + "\n")

    def write_all(self, found: Iterable[Sequence[RatedText]]) -> None:
        """Write the answers to several prompts, and hand them to the system."""
        for answers in found:
            self.write(answers)
        self.flush()

    def flush(self) -> None:
        """Hand everything written so far to the system."""
        self._file.flush()

    def position(self) -> int:
        """Return how many bytes of the growing file are safe on the disk; 0 where no file grows."""
        if self.partial is None:
            return 0
        self.flush()
        os.fsync(self._file.fileno())
        return self.partial.stat().st_size

    def __enter__(self) -> AnswerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        if self._file is not sys.stdout:
            self._file.close()
        if self.partial is not None and self._target is not None and kind is None:
            self.partial.replace(self._target)

    def _text(self, answer: RatedText) -> str:
        whole = self._join(answer.prompt, answer.text)
        return f"{whole}  ({answer.log_probability:.2f})" if self._shows_likelihood else whole

    def _json(self, answer: RatedText) -> str:
        return json.dumps(dict(zip(self._columns, _cells(answer), strict=True)), ensure_ascii=False)


def _cells(answer: RatedText) -> tuple[str, str, float, float | None]:
    tones = None if answer.tones is None else round(answer.tones, 4)
    return answer.prompt, answer.text, round(answer.log_probability, 4), tones


def _delimited(delimiter: str) -> Callable[[AnswerWriter, RatedText], str]:
    def line(writer: AnswerWriter, answer: RatedText) -> str:
        row = io.StringIO()
        csv.writer(row, delimiter=delimiter, lineterminator="").writerow(_cells(answer))
        return row.getvalue()

    return line


_DELIMITERS = {"tsv": "\t", "csv": ","}
_LINES: dict[str, Callable[[AnswerWriter, RatedText], str]] = {
    "text": AnswerWriter._text,
    "jsonl": AnswerWriter._json,
    **{kind: _delimited(delimiter) for kind, delimiter in _DELIMITERS.items()},
}
