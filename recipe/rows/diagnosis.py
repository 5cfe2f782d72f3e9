"""Why a file gives no row as it was asked for: the column is called otherwise, something else separates, no header."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from recipe.couplet.form import is_chinese_character, is_punctuation
from recipe.language import N_, _, enumerated

SAMPLE_ROWS = 20
TEXT_FLAG, UPPER_FLAG, LOWER_FLAG = "--text_column", "--upper_column", "--lower_column"
SEPARATOR_FLAG = "--separator"
COUPLET_FLAGS = (TEXT_FLAG, UPPER_FLAG, LOWER_FLAG)
_SHOWN_NAMES, _SHOWN_CHARS = 20, 40
_DELIMITER_NAMES = {
    ",": N_("a comma (,)"),
    "\t": N_("a tab"),
    ";": N_("a semicolon (;)"),
    "|": N_("a vertical bar (|)"),
}
_SHORTEST_ROW = 4  # Chinese characters; names of columns in Chinese are shorter (上联, 内容)
_MOST = 0.5  # of a column's cells have to look alike for it to be suggested


class Sample(NamedTuple):
    """The names of a file's columns and its first rows, cells in their order."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def column(self, name: str) -> list[Any]:
        position = self.names.index(name)
        return [row[position] for row in self.rows if position < len(row)]


def missing_columns(
    file: str, columns: Sequence[str], flags: Sequence[str], separator: str, sample: Sample, delimiter: str = ""
) -> list[str]:
    """Return what is wrong with each of the wanted columns that the sample has not, or not once.

    Args:
        flags: the settings that choose the columns: of one text, and, where there are two more, of a pair. None are
            given where the columns have fixed names.
        separator: what stands between the lines of a couplet in one column; "" if the texts are no couplets.
        delimiter: what stands between the cells of the file; "" in a file without a header line.
    """
    shown = enumerated(name[:_SHOWN_CHARS] for name in sample.names[:_SHOWN_NAMES])
    flag_of = dict(zip(columns, flags[:1] if len(columns) == 1 else flags[1:], strict=False))
    problems = []
    for column in columns:
        if (count := list(sample.names).count(column)) == 1:
            continue
        cause = "" if count else _cause(column, flag_of.get(column, ""), sample, delimiter)
        cause = cause or _suggestion(flags, separator, sample) or _advice(columns, flags)
        problem = (
            _("{file}: has {count} columns named {column!r}; its header is: {header}. {advice}")
            if count
            else _("{file}: has no column named {column!r}; its header is: {header}. {advice}")
        )
        problems.append(problem.format(file=file, count=count, column=column, header=shown, advice=cause))
    return problems


def _advice(columns: Sequence[str], flags: Sequence[str]) -> str:
    if not flags:
        return _("Rename its columns in the file; these names are expected: {names}").format(names=enumerated(columns))
    if not flags[1:]:
        return _("Name the right one with {flag}").format(flag=flags[0])
    text, upper, lower = flags
    return _("Name the right one with {text}, or the right two with {upper} and {lower}").format(
        text=text, upper=upper, lower=lower
    )


def _cause(column: str, flag: str, sample: Sample, delimiter: str) -> str:
    """Return what the header itself shows, "" if nothing."""
    names = sample.names
    if any("\0" in name for name in names):
        return _("It holds zero bytes, so it is probably UTF-16 and not UTF-8: try --encoding utf-16-le")
    if delimiter and names and names[0].casefold().startswith("sep="):
        return _("Its first line (sep=) is a note for Excel, not the header; delete that line")
    if delimiter and (other := _other_delimiter(names, delimiter)):
        advice = {
            "\t": _("Its columns are separated by {found}, in place of {expected}; rename it to end in .tsv"),
            ",": _("Its columns are separated by {found}, in place of {expected}; rename it to end in .csv"),
        }.get(other, _("Its columns are separated by {found}, in place of {expected}; save it with commas"))
        return advice.format(found=_(_DELIMITER_NAMES[other]), expected=_(_DELIMITER_NAMES[delimiter]))
    for name in names:
        if name != column and name.strip() == column:
            return _("The header has {name!r}, with spaces around the name; remove them").format(name=name)
        if flag and name.strip().casefold() == column.casefold():
            return _("The name differs in upper and lower case: give {flag} {name}").format(
                flag=flag, name=_quoted(name)
            )
    if delimiter and any(_is_row(name) for name in names):
        return _("It seems to have no header: insert a line with the column names ({column}) above {row!r}").format(
            column=column, row=names[0]
        )
    return ""


def _other_delimiter(names: Sequence[str], delimiter: str) -> str:
    return next(
        (other for other in _DELIMITER_NAMES if other != delimiter and any(other in name for name in names)), ""
    )


def _is_row(name: str) -> bool:
    return sum(map(is_chinese_character, name)) >= _SHORTEST_ROW


def _suggestion(flags: Sequence[str], separator: str, sample: Sample) -> str:
    """Return which columns hold what is looked for, by what stands in them; "" if that cannot be told."""
    if not flags:
        return ""
    texts = [name for name in dict.fromkeys(sample.names) if _mostly(_is_text, sample.column(name))]
    if separator.strip():
        whole = [name for name in texts if _mostly(lambda cell: separator in str(cell), sample.column(name))]
        if len(whole) == 1:
            return _one_column(flags[0], whole[0])
    if len(texts) == 2 and len(flags) > 1 and _answer_each_other(*map(sample.column, texts)):
        return _("Name the two columns: {upper_flag} {upper} {lower_flag} {lower}").format(
            upper_flag=flags[1], upper=_quoted(texts[0]), lower_flag=flags[2], lower=_quoted(texts[1])
        )
    return _one_column(flags[0], texts[0]) if len(texts) == 1 else ""


def _one_column(flag: str, name: str) -> str:
    return _("Name the column: {flag} {name}").format(flag=flag, name=_quoted(name))


def _answer_each_other(uppers: Sequence[Any], lowers: Sequence[Any]) -> bool:
    same = [
        len("".join(upper.split())) == len("".join(lower.split())) for upper, lower in zip(uppers, lowers, strict=False)
    ]
    return bool(same) and sum(same) > _MOST * len(same)


def _mostly(holds: Callable[[Any], bool], cells: Sequence[Any]) -> bool:
    return bool(cells) and sum(map(holds, cells)) > _MOST * len(cells)


def _is_text(cell: Any) -> bool:
    text = "".join(map(str, cell)) if isinstance(cell, list) else cell
    return isinstance(text, str) and any(map(is_chinese_character, text))


def rejection_advice(
    text: str, columns: Sequence[str], flags: Sequence[str], separator: str, separator_flag: str, sample: Sample
) -> str:
    """Return what to do where every row is without the separator, of which `text` is one; "" if nothing shows.

    Args:
        separator_flag: the setting that names another separator; "" where the rows have to have this one.

    The other arguments are those of `missing_columns`.
    """
    if not _is_text(text):
        kept = [position for position, name in enumerate(sample.names) if name not in columns]
        rows = [[row[position] for position in kept if position < len(row)] for row in sample.rows]
        return _suggestion(flags, separator, Sample([sample.names[position] for position in kept], rows))
    middle = middle_of(text)
    if not separator_flag:
        advice = (
            _("It has {middle!r} in the middle; write {separator!r} between the two lines of each couplet")
            if middle
            else _("It has no {separator!r} in it; write {separator!r} between the two lines of each couplet")
        )
        return advice.format(middle=middle, separator=separator)
    if middle:
        between = "=" if middle.startswith("--") else " "  # what looks like a flag is one, unless it stands behind "="
        return _("It has {middle!r} in the middle: try {setting}").format(
            middle=middle, setting=f"{separator_flag}{between}{_quoted(middle)}"
        )
    return _("It has no {separator!r} in it; say with {flag} what separates the two lines").format(
        separator=separator, flag=separator_flag
    )


def middle_of(text: str) -> str:
    """Return the marks or white space in the exact middle of a text, or its only ones; "" if there are none.

    A mark at its end does not count.
    """
    text = text.strip()
    while text and is_punctuation(text[-1]):
        text = text[:-1]
    start, end = len(text) // 2, (len(text) + 1) // 2
    while start > 0 and is_punctuation(text[start - 1]) and end < len(text) and is_punctuation(text[end]):
        start, end = start - 1, end + 1
    found = text[start:end]
    if not found or not all(map(is_punctuation, found)):
        runs = "".join(char if is_punctuation(char) else "\n" for char in text).split("\n")
        found = next(iter(runs)) if len(runs := [run for run in runs if run]) == 1 else ""
    return found.strip() or found[:1]


def _quoted(word: str) -> str:
    """Return a word as a shell takes it; Chinese characters and marks need no quotation marks there."""
    return word if not word.isascii() and not any(map(str.isspace, word)) else shlex.quote(word)
