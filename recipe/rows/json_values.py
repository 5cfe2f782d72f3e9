"""JSON values out of a file, one at a time: one a line, in one array, or pretty-printed one after the other."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from recipe.errors import UserError
from recipe.language import N_, _

JSON_ENDINGS = (".jsonl", ".json", ".ndjson")
EMPTY_LINE, NOT_JSON = N_("empty line"), N_("not JSON")
_CHUNK_CHARS = 1 << 16
# How far behind the end of what has been read a value may be broken because the rest of it has not been read.
_LONGEST_LITERAL = 32
_SHOWN_CHARS = 1_000


class Item(NamedTuple):
    """A value: the number of its line, or its own in an array; the value, or why there is none; its line, if any."""

    number: int
    value: Any
    fault: str = ""
    line: str = ""

    @property
    def shown(self) -> str:
        """What stands there, for those who look for it."""
        return self.line.strip() or json.dumps(self.value, ensure_ascii=False, default=str)[:_SHOWN_CHARS]


@dataclass(frozen=True)
class KeyTwice:
    """Stands for an object that has one of the wanted keys twice, of which the library would keep the last."""

    key: str


def json_items(handle: IO[str], file: str, keys: Sequence[str]) -> Iterator[Item]:
    """Yield the values of an opened file; of several equal `keys` in an object none is taken (`KeyTwice`).

    Raises:
        UserError: an array, or pretty-printed values, that end or go wrong in the middle.
    """

    def record(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        names = [name for name, _value in pairs]
        twice = [key for key in keys if names.count(key) > 1]
        return KeyTwice(twice[0]) if twice else found

    decoder = json.JSONDecoder(object_pairs_hook=record)
    head = handle.read(_CHUNK_CHARS)
    if _spreads_over_lines(head):
        return _spread_items(_Scanner(head, handle, decoder), file)
    lines = itertools.chain(io.StringIO(head + handle.readline(), newline="\n"), handle)
    return (_line_item(number, line, decoder) for number, line in enumerate(lines, start=1))


def _spreads_over_lines(head: str) -> bool:
    """Whether a file that begins with `head` is an array, or values over several lines each; else it has one a line."""
    first, _end, rest = head.lstrip().partition("\n")
    if first.startswith("["):
        return not (rest.strip() and _is_json(first))
    return first.startswith("{") and not _is_json(first) and (first.strip() == "{" or first.rstrip().endswith(","))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _line_item(number: int, line: str, decoder: json.JSONDecoder) -> Item:
    try:
        return Item(number, decoder.decode(line), line=line)
    except (ValueError, RecursionError):
        return Item(number, None, EMPTY_LINE if line.isspace() else NOT_JSON, line)


def _spread_items(scanner: _Scanner, file: str) -> Iterator[Item]:
    """Yield the elements of an array, or values that follow each other."""
    number = 0
    try:
        is_array = scanner.take("[")
        while not (scanner.take("]") if is_array else scanner.at_end()):
            if is_array and number:
                scanner.require(",")
            value = scanner.value()
            number += 1
            yield Item(number, value)
        scanner.require("")
    except (ValueError, RecursionError) as error:
        raise UserError(_broken(file, number, error)) from None


def _broken(file: str, number: int, error: Exception) -> str:
    """Say that a file goes wrong behind its value of this number; 0 is its beginning."""
    if not number:
        return _(
            "{file}: is not valid JSON at its beginning ({error}); it is cut off or damaged there, or does not hold an "
            "array of records"
        ).format(file=file, error=error)
    return _(
        "{file}: is not valid JSON after value number {number:,} ({error}); it is cut off or damaged there, or does "
        "not hold an array of records"
    ).format(file=file, number=number, error=error)


class _Scanner:
    """Takes JSON values and marks from the front of a text that is read piece by piece."""

    def __init__(self, head: str, handle: IO[str], decoder: json.JSONDecoder) -> None:
        self._text, self._at, self._handle, self._decoder = head, 0, handle, decoder

    def _read_on(self) -> bool:
        """Read as much again as is there, so that a long value is tried few times; False at the end of the file."""
        more = self._handle.read(max(_CHUNK_CHARS, len(self._text) - self._at))
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

    def _next(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def at_end(self) -> bool:
        return self._next() == ""

    def take(self, mark: str) -> bool:
        """Take `mark` if it comes next, and say whether it did."""
        is_next = self._next() == mark
        self._at += is_next
        return is_next

    def require(self, mark: str) -> None:
        """Take `mark`, or see that nothing follows if it is "".

        Raises:
            ValueError: something else comes next.
        """
        if self._next() != mark:
            found = self._text[self._at : self._at + 20]
            if not mark:
                raise ValueError(_("found {found!r} where the file should end").format(found=found))
            raise ValueError(_("found {found!r}, expected {expected!r}").format(found=found, expected=mark))
        self._at += len(mark)

    def value(self) -> Any:
        """Take a value.

        Raises:
            ValueError: there is none, or a broken one.
        """
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_string_open = error.msg.startswith("Unterminated string")
                is_broken = not is_string_open and len(self._text) - error.pos > _LONGEST_LITERAL
                if is_broken or not self._read_on():
                    raise
                continue
            if end < len(self._text):
                self._at = end
                return value
            if not self._read_on():  # which a number at the end of what was read needs: it may go on
                self._at = len(self._text)
                return value
