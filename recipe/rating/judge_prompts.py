"""Prompts for judges, from the files in `recipe/rating/prompts`, and what is read out of the judges' answers.

Answers are parsed defensively: servers accept a schema and do not obey it, models think aloud or repeat the couplet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any, TypeVar

from recipe.rating.dimensions import all_dimensions, dimension_key
from recipe.rating.ratings import PAIR_VALUES

_LONGEST_ANSWER = 20_000  # characters; more is no answer to any question of ours
_THOUGHTS_END = "</think>"  # reasoning models put their thoughts, drafts of the answer among them, before it
_WINNERS = {value.casefold(): value for value in PAIR_VALUES} | {
    "both bad": "both_bad",
    "平": "tie",
    "平局": "tie",
    "都不好": "both_bad",
}

Value = TypeVar("Value", bound=Hashable)


def prompt_text(name: str, language: str) -> str:
    """Return a prompt file as it is."""
    return resources.files("recipe.rating").joinpath(f"prompts/{name}.{language}.txt").read_text(encoding="utf-8")


def prompt_hash(name: str, language: str) -> str:
    """Return the SHA-256 of a prompt file, which belongs to every result that it led to."""
    return hashlib.sha256(prompt_text(name, language).encode()).hexdigest()


def filled(name: str, language: str, **values: str) -> str:
    """Return a prompt file with its `$names` filled in, in one pass: a `$name` inside a value stays as it is."""
    return Template(prompt_text(name, language)).substitute(values)


def quoted(text: str) -> str:
    """Return a text as a JSON string, so that its end is plain whatever it holds."""
    return json.dumps(text, ensure_ascii=False)


def dimension_list(keys: Sequence[str], points: int, language: str) -> str:
    """Return the dimensions with their anchors, as people see them, for a prompt."""
    lines = []
    for key in keys:
        dimension = all_dimensions()[key]
        lines.append(f"- {key} ({dimension.name[language]}): {dimension.question[language]}")
        lines += [f"  {point} = {text}" for point, text in dimension.anchored(points, language)]
    return "\n".join(lines)


def scores_schema(keys: Sequence[str], points: int) -> str:
    """Return the JSON schema of an answer with scores, as canonical JSON."""
    score = {"type": "integer", "minimum": 1, "maximum": points}
    scores = {
        "type": "object",
        "properties": dict.fromkeys(keys, score),
        "required": list(keys),
        "additionalProperties": False,
    }
    return _object_schema({"reason": {"type": "string"}, "scores": scores})


def winner_schema(values: Sequence[str] = PAIR_VALUES) -> str:
    """Return the JSON schema of an answer with a winner, one of `values`, as canonical JSON."""
    return _object_schema({"reason": {"type": "string"}, "winner": {"type": "string", "enum": list(values)}})


def _object_schema(properties: Mapping[str, Any]) -> str:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return json.dumps(schema, ensure_ascii=False)


def scores_in(answer: str, keys: Sequence[str], points: int) -> dict[str, int] | None:
    """Return the scores that an answer gives, or None where it gives none or several that contradict each other."""

    def read(found: Mapping[str, Any]) -> tuple[tuple[str, int], ...] | None:
        given = found.get("scores", found)
        if not isinstance(given, dict):
            return None
        named = {dimension_key(name): _point(value, points) for name, value in given.items()}
        scores = [(key, named.get(key)) for key in keys]
        return tuple((key, value) for key, value in scores if value) if all(value for _, value in scores) else None

    agreed = _only_value(answer, read)
    return dict(agreed) if agreed else None


def winner_in(answer: str) -> str | None:
    """Return the winner that an answer names, or None where it names none or several."""

    def read(found: Mapping[str, Any]) -> str | None:
        winner = found.get("winner")
        return _WINNERS.get(winner.strip().casefold()) if isinstance(winner, str) else None

    return _only_value(answer, read)


def rating_schema(points: int) -> str:
    """Return the JSON schema of an answer with one rating, as canonical JSON."""
    rating = {"type": "integer", "minimum": 1, "maximum": points}
    return _object_schema({"reason": {"type": "string"}, "rating": rating})


def rating_in(answer: str, points: int) -> int | None:
    """Return the one rating that an answer gives, 1 to `points`, or None where it gives none or several."""
    return _only_value(answer, lambda found: _point(found.get("rating"), points))


_FACTS: dict[str, Any] = {
    "statements": {"type": "array", "items": {"type": "string"}},
    "supported": {"type": "boolean"},
}


def facts_schema(key: str) -> str:
    """Return the JSON schema of an answer with `statements`, a list of texts, or with `supported`, true or false."""
    return _object_schema({key: _FACTS[key]})


def facts_in(answer: str, key: str) -> Any:
    """Return the `statements` (a tuple of texts) or `supported` (true or false) of an answer; None without them."""

    def read(found: Mapping[str, Any]) -> tuple[str, ...] | bool | None:
        value = found.get(key)
        if key == "supported":
            return value if isinstance(value, bool) else None
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            return None
        return tuple(text.strip() for text in value if text.strip())

    return _only_value(answer, read)


def _point(value: Any, points: int) -> int | None:
    """Return a point of the scale from a number or from digits in a text; None for everything else."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= points:
        return None
    return int(value) if value == int(value) else None


def _only_value(answer: str, read: Callable[[Mapping[str, Any]], Value | None]) -> Value | None:
    """Return what `read` finds in the JSON objects of an answer, if all that hold something hold the same."""
    found = {value for candidate in json_objects(answer) if (value := read(candidate)) is not None}
    return found.pop() if len(found) == 1 else None


def json_objects(answer: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects that stand in a text, whatever stands around them.

    Objects inside the strings of an object are not among them: a judge that quotes a couplet quotes no verdict.
    """
    text = answer.rpartition(_THOUGHTS_END)[2][:_LONGEST_ANSWER]
    decoder = json.JSONDecoder(strict=False)  # models put line ends into strings
    place = text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield found
        place = text.find("{", end)
