"""What is rated: dimensions with their questions and anchor texts in Chinese and English, and the scales.

The texts stand in `dimensions.json`; sheets for people and prompts for judges show the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from recipe.errors import UserError
from recipe.language import _, enumerated

LANGUAGES = ("zh", "en")
OVERALL = "overall"
COUPLET_DIMENSIONS = ("parallelism", "tones", "imagery", "fluency", "relevance", "safety")
DIALOGUE_DIMENSIONS = ("coherence", "consistency", "satisfaction")
# Points of a scale → the points that carry an anchor text; the five anchors of seven points are its odd ones and 4.
ANCHORED_POINTS = {5: (1, 2, 3, 4, 5), 7: (1, 2, 4, 6, 7)}


class Dimension(NamedTuple):
    """One thing to rate; every mapping is language → text, `anchors` from the worst point to the best."""

    key: str
    name: dict[str, str]
    question: dict[str, str]
    anchors: dict[str, list[str]]

    def anchored(self, points: int, language: str) -> list[tuple[int, str]]:
        """Return the points of the scale that have an anchor, with its text, from the worst to the best."""
        return list(zip(ANCHORED_POINTS[points], self.anchors[language], strict=True))


@cache
def all_dimensions() -> dict[str, Dimension]:
    """Return every dimension by its key."""
    found = json.loads(resources.files("recipe.rating").joinpath("dimensions.json").read_text(encoding="utf-8"))
    return {
        key: Dimension(
            key,
            {language: entry[language] for language in LANGUAGES},
            {language: entry[f"question_{language}"] for language in LANGUAGES},
            {language: entry[f"anchors_{language}"] for language in LANGUAGES},
        )
        for key, entry in found.items()
    }


def dimension_key(name: str) -> str | None:
    """Return the key of a dimension given by its key or by its Chinese or English name; None if there is none."""
    wanted = name.strip().casefold()
    for key, dimension in all_dimensions().items():
        if wanted == key or wanted in (dimension.name["zh"], dimension.name["en"].casefold()):
            return key
    return None


def chosen_dimensions(setting: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the named dimensions, in order.

    Raises:
        UserError: a name that no dimension has, or one that comes twice; the message begins with `setting`.
    """
    keys = [dimension_key(name) for name in names]
    problems = [
        _("{setting} {name}: no such dimension; there are {names}").format(
            setting=setting, name=name, names=enumerated(all_dimensions())
        )
        for name, key in zip(names, keys, strict=True)
        if key is None
    ]
    problems += [
        _("{setting}: {key} is named twice").format(setting=setting, key=key)
        for key in sorted({key for key in keys if key and keys.count(key) > 1})
    ]
    if problems:
        raise UserError(problems)
    return tuple(key for key in keys if key is not None)
