"""Blind sheets handed out to visitors of a page: who has which, and what they rate, appended to files at once.

A directory that `run_evaluate.py --rating_sheet` wrote gains `raters.json` (who began which sheet) and for each rater
`ratings-NAME-N.jsonl`, a file of ratings as any other. The key that may lie there is never opened.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from recipe.errors import UserError
from recipe.files import append_lines, unwritable, write_text
from recipe.language import _, enumerated
from recipe.rating.dimensions import OVERALL
from recipe.rating.ratings import Rating, rating_from, read_ratings, record_of
from recipe.rating.sheet_files import WrittenSheet, read_page
from recipe.rating.sheets import Entry

RATERS_NAME = "raters.json"
LONGEST_NAME = 40  # characters; with four bytes for each of them still the name of a file
LONGEST_COMMENT = 2000  # characters, as on the page
MOST_RATERS = 1000
# Only changes are written, and a rater who makes 20,000 is none.
MOST_BYTES = 8 * 1024 * 1024  # of one rater's file


class TakenError(UserError):
    """A name that somebody else rates under."""


class FullError(UserError):
    """More raters, or more changes by one of them, than are kept."""


@dataclass(frozen=True)
class Rater:
    """Who began a sheet.

    Attributes:
        number: of the sheet.
        proof: SHA-256 of the token that the rater's browser was given, without which nobody rates under the name.
    """

    name: str
    number: int
    proof: str


class Seat(NamedTuple):
    """What a rater gets: the sheet, the token to come back with, and what was rated before, by `entry_name`."""

    name: str
    token: str
    sheet: WrittenSheet
    answers: dict[str, dict[str, Any]]


def sheets_in(directory: str | Path) -> dict[int, WrittenSheet]:
    """Return the sheets of a directory by their numbers.

    Raises:
        UserError: everything that keeps them from being handed out; each message begins with the setting.
    """
    place, setting = Path(directory), f"--rating_sheet {directory}"
    if not place.is_dir():
        raise UserError(
            _("{setting}: is no directory; write sheets into it first: run_evaluate.py --rating_sheet").format(
                setting=setting
            )
        )
    files = sorted(place.glob("sheet-*.html"))
    if not files:
        raise UserError(
            _("{setting}: holds no sheet-1.html; name a directory that run_evaluate.py --rating_sheet wrote").format(
                setting=setting
            )
        )
    problems, found = [], {}
    for file in files:
        try:
            written = read_page(file)
        except UserError as error:
            problems += error.problems
        else:
            found[written.number] = written
    if len({written.sheet for written in found.values()}) > 1:
        problems.append(_("{setting}: holds sheets of several sets; put each set elsewhere").format(setting=setting))
    if reason := unwritable(place):
        problems.append(_("{setting}: {reason}; ratings are kept there").format(setting=setting, reason=reason))
    if problems:
        raise UserError(problems)
    return found


class Desk:
    """Hands out the sheets of a directory and takes the ratings; for one thread at a time.

    Attributes:
        sheets: by their numbers.
    """

    def __init__(self, directory: str | Path) -> None:
        """Take up what earlier visitors left.

        Raises:
            UserError: as `sheets_in`, or a list of raters that cannot be read.
        """
        self.directory = Path(directory)
        self.sheets = sheets_in(directory)
        self._raters = self._read_raters()
        self._kept: dict[str, dict[tuple[str, ...], Rating]] = {}

    @property
    def any_sheet(self) -> WrittenSheet:
        """One of the sheets: what they ask is the same, the order differs."""
        return self.sheets[min(self.sheets)]

    def begin(self, name: str, token: str = "") -> Seat:
        """Give a visitor a sheet: the one they had, or the one that the fewest have begun.

        Raises:
            UserError: a name that is none.
            TakenError: somebody else's name.
            FullError: more raters than are kept.
        """
        name = checked_name(name)
        known = self._raters.get(_stem(name))
        if known is None:
            known, token = self._added(name)
        else:
            self._check(known, token)
        sheet = self.sheets[known.number]
        return Seat(known.name, token, sheet, _answers(self._ratings_of(known), sheet))

    def save(self, name: str, token: str, answers: Sequence[Mapping[str, Any]]) -> int:
        """Append what is new among a rater's answers; returns how many ratings and comments that were.

        Args:
            answers: each with `system` and `other`, the codes of the entry, `values` (dimension → value) and, where it
                changed, `comment`.

        Raises:
            UserError: codes that are not on the rater's sheet, or values that it does not ask for; nothing is kept.
            TakenError: somebody else's name.
            FullError: more changes than are kept.
            OSError: the file cannot be written; it is as before.
        """
        rater = self._raters.get(_stem(checked_name(name)))
        if rater is None:
            raise TakenError(_("Begin again: this server has no rater of that name."))
        self._check(rater, token)
        kept = self._ratings_of(rater)
        new = [
            rating
            for rating in _ratings_from(answers, rater, self.sheets[rater.number])
            if rating != kept.get(rating.unit, _UNSAID) and not (rating.unit not in kept and _is_silent(rating))
        ]
        if new:
            file = self._file(rater)
            lines = "".join(json.dumps(_record(rating), ensure_ascii=False) + "\n" for rating in new)
            if file.exists() and file.stat().st_size + len(lines.encode()) > MOST_BYTES:
                raise FullError(_("Too many changes under this name; nothing more is kept."))
            append_lines(file, lines)
            kept |= {rating.unit: rating for rating in new}
        return len(new)

    def _added(self, name: str) -> tuple[Rater, str]:
        if len(self._raters) >= MOST_RATERS:
            raise FullError(_("No more raters are taken."))
        begun = Counter(rater.number for rater in self._raters.values())
        number = min(self.sheets, key=lambda number: (begun[number], number))
        if any(_stem(other) == _stem(name) for other in self._names_of_files()):
            raise _taken(name)
        token = secrets.token_urlsafe(18)
        rater = Rater(name, number, _proof(token))
        raters = [asdict(each) for each in (*self._raters.values(), rater)]
        content = {"sheet": self.any_sheet.sheet, "raters": raters}
        write_text(self.directory / RATERS_NAME, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        self._raters[_stem(name)] = rater
        return rater, token

    def _names_of_files(self) -> list[str]:
        """Return the names of raters who have a file here, those who filled in a page from disk among them."""
        found = (re.fullmatch(r"ratings-(.+)-\d+", file.stem) for file in self.directory.glob("ratings-*.jsonl"))
        return [match[1] for match in found if match]

    def _check(self, rater: Rater, token: str) -> None:
        if not hmac.compare_digest(rater.proof, _proof(token)):
            raise _taken(rater.name)

    def _file(self, rater: Rater) -> Path:
        return self.directory / f"ratings-{_file_name(rater.name)}-{rater.number}.jsonl"

    def _ratings_of(self, rater: Rater) -> dict[tuple[str, ...], Rating]:
        """Return what a rater has said, by the unit of each rating; read from disk once."""
        if rater.name not in self._kept:
            file = self._file(rater)
            try:
                found = read_ratings([file]).ratings if file.exists() else []
            except UserError:  # a file without a rating in it
                found = []
            self._kept[rater.name] = {rating.unit: rating for rating in found}
        return self._kept[rater.name]

    def _read_raters(self) -> dict[str, Rater]:
        file = self.directory / RATERS_NAME
        if not file.exists():
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["sheet"] != self.any_sheet.sheet:
                raise ValueError(_("raters of other sheets"))
            found = [Rater(str(each["name"]), each["number"], str(each["proof"])) for each in content["raters"]]
            if not {rater.number for rater in found} <= self.sheets.keys():
                raise ValueError(_("a sheet that is gone"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                _(
                    "{file}: cannot be read as the list of raters of these sheets ({error}); put it aside to begin a "
                    "new one, and the ratings stay"
                ).format(file=file, error=error)
            ) from None
        return {_stem(rater.name): rater for rater in found}


def checked_name(name: Any) -> str:
    """Return the name that a rater gave, in one form.

    Raises:
        UserError: it is empty, too long, or holds characters that cannot be printed.
    """
    text = unicodedata.normalize("NFC", " ".join(name.split())) if isinstance(name, str) else ""
    if not text:
        raise UserError(_("Please give a name first; a pseudonym will do."))
    if len(text) > LONGEST_NAME:
        raise UserError(_("A name has at most {most} characters.").format(most=LONGEST_NAME))
    if not text.isprintable():
        raise UserError(_("The name holds characters that cannot be printed; choose another."))
    return text


def entry_name(entry: Entry | Rating) -> str:
    """Return the name of an entry on the page: the code of its answer, or the codes of both."""
    return f"{entry.system}|{entry.other}" if entry.other else entry.system


def _taken(name: str) -> TakenError:
    return TakenError(
        _(
            "Somebody rates as {name} already. Choose another name; if it was you, go on in the browser in which you "
            "began."
        ).format(name=name)
    )


def _proof(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _file_name(name: str) -> str:
    """Return a name as a part of a file's name: letters, digits, `_` and `-`, as the page from disk makes it."""
    return re.sub(r"[^\w-]+", "_", name)


def _stem(name: str) -> str:
    """Return what two names share if their files could be one and the same on any system."""
    return unicodedata.normalize("NFKC", _file_name(name)).casefold()


_UNSAID = Rating("", "", "", "")


def _is_silent(rating: Rating) -> bool:
    return rating.kind == "comment" and not rating.comment


def _record(rating: Rating) -> dict[str, Any]:
    return record_of(rating) | ({"comment": rating.comment} if rating.kind == "comment" else {})


def _ratings_from(answers: Any, rater: Rater, written: WrittenSheet) -> list[Rating]:
    if not isinstance(answers, list) or not all(isinstance(answer, Mapping) for answer in answers):
        raise UserError(_("answers takes a list of objects"))
    entries = {entry_name(entry): entry for entry in written.entries}
    found = []
    for answer in answers:
        name = "|".join(str(answer[key]) for key in ("system", "other") if answer.get(key))
        if name not in entries:
            raise UserError(_("{name} is not on this sheet").format(name=repr(name[:60])))
        found += _ratings_of_entry(entries[name], answer, rater, written)
    return found


def _ratings_of_entry(entry: Entry, answer: Mapping[str, Any], rater: Rater, written: WrittenSheet) -> list[Rating]:
    options, values, comment = written.options, answer.get("values", {}), answer.get("comment")
    asked = (OVERALL,) if options.kind == "pair" else options.dimensions
    if not isinstance(values, Mapping) or not values.keys() <= set(asked):
        raise UserError(_("values takes an object with {names}").format(names=enumerated(asked)))
    common = {"item": entry.item, "system": entry.system, "other": entry.other}
    common |= {"rater": rater.name, "sheet": written.sheet}
    rated = common | {"kind": options.kind, "points": options.points}
    records: list[dict[str, Any]] = [
        rated | {"dimension": dimension, "value": value} for dimension, value in values.items()
    ]
    if comment is not None:
        if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
            raise UserError(_("A comment is a text of at most {most} characters.").format(most=LONGEST_COMMENT))
        records.append(common | {"kind": "comment", "comment": comment})
    try:
        return [rating_from(record) for record in records]
    except ValueError as error:
        raise UserError(str(error)) from None


def _answers(kept: Mapping[tuple[str, ...], Rating], written: WrittenSheet) -> dict[str, dict[str, Any]]:
    """Return what was rated before as the page keeps it: entry → values and comment."""
    known = {entry_name(entry) for entry in written.entries}
    answers: dict[str, dict[str, Any]] = {}
    for rating in kept.values():
        if (name := entry_name(rating)) in known:
            answer = answers.setdefault(name, {"values": {}, "comment": ""})
            if rating.kind == "comment":
                answer["comment"] = rating.comment
            else:
                answer["values"][rating.dimension] = rating.value
    return answers
