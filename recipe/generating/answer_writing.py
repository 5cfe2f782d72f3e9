"""Answers as text, TSV, CSV or JSON Lines, on the screen or in a file that appears under its name when it is whole."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, cast

from recipe.errors import UserError

ENDINGS = {".txt": "text", ".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl"}
_COLUMNS = ("upper", "lower", "score", "tones")
# Where these lead to a regular file, the shell that opened it goes on writing there: it must not be replaced.
_STANDARD_STREAMS = ("/dev/stdout", "/dev/stderr")


class RatedLine(Protocol):
    """What is written of an answer; `recipe.generating.generator.Answer` is one."""

    @property
    def upper(self) -> str: ...
    @property
    def lower(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def tones(self) -> float: ...


def output_format(chosen: str | None, output_file: str | None) -> str:
    """The format asked for: by name, or by the ending of the output file, else text."""
    return chosen or ENDINGS.get(Path(output_file or "").suffix.lower(), "text")


def output_problem(chosen_format: str | None, output_file: str) -> str | None:
    """Why answers cannot be written to `output_file`, as far as its name tells."""
    if not output_file:
        return "--output_file names no file; leave it off to answer on the screen"
    try:
        if Path(output_file).is_dir() or output_file.endswith(os.sep):
            return f"--output_file {output_file}: is a directory; name a file in it"
    except OSError as error:  # a name that is too long, say
        return f"--output_file {output_file[:40]}: cannot be written ({error.strerror})"
    ending = Path(output_file).suffix.lower()
    if ending and ending not in ENDINGS and chosen_format is None:
        return (
            f"--output_file {output_file}: the ending {ending} says no format; end it in .txt, .tsv, .csv or .jsonl, "
            "or give --output_format"
        )
    return None


def open_standard_output() -> IO[str]:
    """Return standard output, made able to take every character.

    Into a pipe or a file goes UTF-8, whatever the terminal's encoding: it is what `--output_file` writes and what
    prompts on standard input are read as. A terminal shows what its encoding lacks as `\\U00020bb7`.

    Raises:
        UserError: it is closed.
    """
    if sys.stdout is None:
        raise UserError("standard output is closed; give --output_file FILE")
    output = cast(io.TextIOWrapper, sys.stdout)
    if output.isatty():
        output.reconfigure(errors="backslashreplace")
    else:
        output.reconfigure(encoding="utf-8")
    return output


class AnswerWriter:
    """Writes answers line by line, as a context manager.

    A file grows under the name `FILE.part` and gets its own name at the end, so that an interrupted run leaves what is
    finished, and never something that looks whole. What is no regular file (a named pipe, /dev/null) is written to
    directly, and a symbolic link stays: the file that it leads to is replaced.
    """

    def __init__(self, format: str, output_file: str | None, separator: str, shows_scores: bool) -> None:
        """Open the output.

        Args:
            separator: what stands between the lines of a couplet in text.
            shows_scores: whether text shows the score of each line; the other formats always have it.

        Raises:
            UserError: the file cannot be written.
        """
        self.written = 0  # couplets
        self._target: Path | None = None
        self.partial: Path | None = None
        self._file = self._open(output_file)
        self._separator, self._shows_scores = separator, shows_scores
        self._format = _FORMATS[format]
        self._file.write(_HEADERS[format])

    def _open(self, output_file: str | None) -> IO[str]:
        if output_file is None:
            return open_standard_output()
        path = Path(output_file)
        try:
            if output_file in _STANDARD_STREAMS or (path.exists() and not path.is_file()):
                return path.open("a", encoding="utf-8", newline="")
            self._target = Path(os.path.realpath(path))
            self.partial = self._target.with_name(self._target.name + ".part")
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            return self.partial.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise UserError(f"--output_file {output_file}: cannot be written ({error.strerror})") from None

    def write(self, answers: Sequence[RatedLine]) -> None:
        """Write the answers of one upper line."""
        for answer in answers:
            self._file.write(self._format(self, answer) + "\n")
            self.written += 1

    def flush(self) -> None:
        """Hand everything written so far to the system."""
        self._file.flush()

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

    def _text(self, answer: RatedLine) -> str:
        couplet = f"{answer.upper}{self._separator}{answer.lower}"
        return f"{couplet}  ({answer.score:.2f})" if self._shows_scores else couplet

    def _json(self, answer: RatedLine) -> str:
        return json.dumps(dict(zip(_COLUMNS, _cells(answer), strict=True)), ensure_ascii=False)


def _cells(answer: RatedLine) -> tuple[str, str, float, float]:
    return answer.upper, answer.lower, round(answer.score, 4), round(answer.tones, 4)


def _delimited(delimiter: str) -> Callable[[AnswerWriter, RatedLine], str]:
    def line(_: AnswerWriter, answer: RatedLine) -> str:
        row = io.StringIO()
        csv.writer(row, delimiter=delimiter, lineterminator="").writerow(_cells(answer))
        return row.getvalue()

    return line


_FORMATS: dict[str, Callable[[AnswerWriter, RatedLine], str]] = {
    "text": AnswerWriter._text,
    "jsonl": AnswerWriter._json,
    "tsv": _delimited("\t"),
    "csv": _delimited(","),
}
_HEADERS = {"text": "", "jsonl": "", "tsv": "\t".join(_COLUMNS) + "\n", "csv": ",".join(_COLUMNS) + "\n"}
