"""Answers as text, TSV, CSV or JSON Lines, on the screen or in a file that appears under its name when it is whole."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from recipe.errors import UserError

ENDINGS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl"}
_COLUMNS = ("upper", "lower", "score", "tones")


class RatedLine(Protocol):
    """What is written of an answer; `recipe.generating.generation.Answer` is one."""

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


class AnswerWriter:
    """Writes answers line by line, as a context manager.

    A file grows under the name `FILE.part` and gets its own name at the end, so that an interrupted run leaves what is
    finished, and never something that looks whole.
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
        self._target = Path(output_file) if output_file else None
        self.partial = self._target.with_name(self._target.name + ".part") if self._target else None
        self._file = self._open()
        self._separator, self._shows_scores = separator, shows_scores
        self._format = _FORMATS[format]
        self._file.write(_HEADERS[format])

    def _open(self) -> IO[str]:
        if self.partial is None:
            return sys.stdout
        try:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            return self.partial.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise UserError(f"--output_file {self._target}: cannot be written ({error.strerror})") from None

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
        if self._target is not None and self.partial is not None:
            self._file.close()
            if kind is None:
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
