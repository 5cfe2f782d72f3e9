"""The one file format of ratings, whoever gave them: JSON Lines, a rating a line.

    {"kind": "absolute", "item": "q3f", "system": "a91", "rater": "li", "dimension": "imagery", "value": 4}
    {"kind": "pair", "item": "q3f", "system": "a91", "other": "b07", "rater": "li", "value": "tie"}
    {"kind": "comment", "item": "q3f", "system": "a91", "rater": "li", "comment": "上下联题材重复"}

`system` is a system's name or, from a blind sheet, the code of an answer whose systems stand in the key file. In a pair
`system` was shown as A and `other` as B. Of several ratings of one thing by one rater the last counts; an empty comment
withdraws an earlier one. A fault of one row is counted with its row number; the other rows count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.files import atomic_open
from recipe.language import _, enumerated
from recipe.rating.dimensions import ANCHORED_POINTS, OVERALL, all_dimensions, dimension_key
from recipe.rating.tables import TABLE_ENDINGS, table_records

KINDS = ("absolute", "pair", "comment")
PAIR_VALUES = ("A", "B", "tie", "both_bad")
RATER_KINDS = ("person", "model")
DEFAULT_POINTS = 5
_SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Rating:
    """One judgement by one rater.

    Attributes:
        kind: one of `KINDS`.
        item: what was answered: the code or text of the prompt. All answers to one prompt share it.
        system: name of the rated system, or the code of the rated answer; in a pair the one shown as A.
        other: in a pair the one shown as B; else empty.
        value: absolute: 1 (worst) to `points`; pair: one of `PAIR_VALUES`; comment: None.
        points: how many points the scale of an absolute rating has.
        sheet: the blind sheet that was filled in, or empty.
        verdicts: pairs by a model: what it answered to each order, each as "A", "B", … in terms of this row's A and B.
    """

    kind: str
    item: str
    system: str
    rater: str
    dimension: str = OVERALL
    value: int | str | None = None
    other: str = ""
    comment: str = ""
    rater_kind: str = "person"
    points: int = DEFAULT_POINTS
    sheet: str = ""
    verdicts: tuple[str, ...] = ()

    @property
    def unit(self) -> tuple[str, ...]:
        """What was judged, apart from who judged it; the two orders of a pair are one unit."""
        return (self.kind, self.item, *sorted((self.system, self.other)), self.dimension)


class RowFault(NamedTuple):
    """A row that holds no rating, and why."""

    file: str
    row: int
    what: str


class RatingFiles(NamedTuple):
    """What was read: the ratings in order, the rows that hold none, and how many ratings a later one replaced."""

    ratings: list[Rating]
    faults: list[RowFault]
    replaced: int


def rating_from(record: Mapping[str, Any]) -> Rating:
    """Return the rating that a JSON object holds; keys that the format does not know are left aside.

    Raises:
        ValueError: the first thing that is wrong with it, as a sentence for people.
    """
    kind = _one_of(record, "kind", KINDS)
    texts = {name: _text(record, name) for name in ("item", "system", "rater")}
    optional = {name: _text(record, name, "") for name in ("other", "comment", "sheet")}
    dimension = dimension_key(_text(record, "dimension", OVERALL))
    if dimension is None:
        raise ValueError(
            _("unknown dimension {dimension}; there are {names}").format(
                dimension=_shown(record["dimension"]), names=enumerated(all_dimensions())
            )
        )
    points = record.get("points", DEFAULT_POINTS)
    if not isinstance(points, int) or points not in ANCHORED_POINTS:
        raise ValueError(_("points is {points}; a scale has 5 or 7").format(points=_shown(points)))
    if kind == "pair" and not optional["other"]:
        raise ValueError(_("a pair needs a second system in the key 'other'"))
    if kind == "pair" and optional["other"] == texts["system"]:
        raise ValueError(_("a pair needs two systems; both are {system}").format(system=_shown(texts["system"])))
    if kind == "comment" and "comment" not in record:
        raise ValueError(_("a comment needs a text in the key 'comment'"))
    verdicts = record.get("verdicts", [])
    if not isinstance(verdicts, list) or any(verdict not in PAIR_VALUES for verdict in verdicts):
        raise ValueError(
            _("verdicts is {verdicts}; it is a list of {names}").format(
                verdicts=_shown(verdicts), names=enumerated(PAIR_VALUES)
            )
        )
    return Rating(
        kind,
        **texts,
        **optional,
        dimension=dimension,
        value=_value(record, kind, points),
        rater_kind=_one_of(record, "rater_kind", RATER_KINDS, "person"),
        points=points,
        verdicts=tuple(verdicts),
    )


def _value(record: Mapping[str, Any], kind: str, points: int) -> int | str | None:
    if kind == "comment":
        return None
    if kind == "pair":
        return _one_of(record, "value", PAIR_VALUES)
    value = record.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(
            _("value is {value}; it takes a whole number from 1 to {points}").format(value=_shown(value), points=points)
        )
    if not 1 <= value <= points:
        raise ValueError(
            _("value is {value}, outside the scale from 1 to {points}").format(value=_shown(value), points=points)
        )
    return int(value)


def _one_of(record: Mapping[str, Any], name: str, allowed: Sequence[str], default: str | None = None) -> str:
    value = record.get(name, default)
    if value not in allowed:
        raise ValueError(
            _("{name} is {value}; it takes {names}").format(name=name, value=_shown(value), names=enumerated(allowed))
        )
    return value


def _text(record: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = record.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise ValueError(_("{name} is {value}; it takes a text").format(name=name, value=_shown(value)))
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(
            _("{name} is {value}, half of a character; the file was damaged on its way").format(
                name=name, value=_shown(value)
            )
        )
    return value.strip()


def _shown(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def read_ratings(files: Sequence[str | Path]) -> RatingFiles:
    """Read files of ratings, in order; where a rater rated the same thing twice, the later rating counts.

    Raises:
        UserError: a file that cannot be read, or one that holds no rating at all; all such files at once.
    """
    ratings: dict[tuple[Any, ...], Rating] = {}
    faults: list[RowFault] = []
    problems: list[str] = []
    read = 0
    for file in files:
        try:
            rows = list(_rows_of(Path(file)))
        except UserError as error:
            problems += error.problems
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(_("{file}: cannot be read as UTF-8 text ({error})").format(file=file, error=error))
            continue
        found = [row for row in rows if isinstance(row, Rating)]
        bad = [row for row in rows if isinstance(row, RowFault)]
        if not found:
            problems.append(
                _("{file}: holds no rating; it takes JSON Lines or a filled-in sheet").format(file=file)
                + first_faults(bad)
            )
        read += len(found)
        faults += bad
        for rating in found:
            ratings[(rating.rater, *rating.unit)] = rating
    if problems:
        raise UserError(problems)
    kept = [rating for rating in ratings.values() if rating.kind != "comment" or rating.comment]
    return RatingFiles(kept, faults, read - len(ratings))


def _rows_of(file: Path) -> Iterator[Rating | RowFault]:
    numbered = table_records(file) if file.suffix.lower() in TABLE_ENDINGS else _json_records(file)
    for row, record in numbered:
        try:
            if isinstance(record, str):
                raise ValueError(record)
            yield rating_from(record)
        except ValueError as error:
            yield RowFault(str(file), row, str(error))


def _json_records(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the number and the JSON object of each line that is not empty, or what is wrong with the line."""
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = _("is not JSON: {line}").format(line=_shown(line.strip()))
            else:
                if not isinstance(record, dict):
                    record = _("is not a JSON object: {record}").format(record=_shown(record))
            yield number, record


def first_faults(faults: Sequence[RowFault]) -> str:
    """Return the first faults for a message, and how many more there are; nothing where there is none."""
    if not faults:
        return ""
    listed = [_("row {number}: {fault}").format(number=fault.row, fault=fault.what) for fault in faults[:_SHOWN_FAULTS]]
    if len(faults) > _SHOWN_FAULTS:
        listed.append(_("and {count:,} more").format(count=len(faults) - _SHOWN_FAULTS))
    return _(" ({faults})").format(faults=_("; ").join(listed))


_DEFAULTS = {field.name: field.default for field in fields(Rating)}


def record_of(rating: Rating) -> dict[str, Any]:
    """Return a rating as a JSON object; what has its default value is left out, except the dimension."""
    record: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = getattr(rating, name)
        if value != default or (name == "dimension" and rating.kind != "comment"):
            record[name] = list(value) if isinstance(value, tuple) else value
    return record


def write_ratings(file: str | Path, ratings: Iterable[Rating]) -> None:
    """Write ratings as JSON Lines, whole or not at all."""
    with atomic_open(file) as lines:
        for rating in ratings:
            lines.write(json.dumps(record_of(rating), ensure_ascii=False) + "\n")
