"""Plain texts: any short texts, one a row, with no form; the model writes on from any beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from recipe.formats.base import ModelCard, Text, TextFormat, TextSettings
from recipe.language import N_, _
from recipe.rows.cleaning import clean


@dataclass(frozen=True)
class Plain(TextFormat):
    """A plain text: nothing of it is given, all of it is learnt."""

    name = "plain"
    has_answer = False

    @classmethod
    def from_settings(cls, settings: TextSettings) -> Self:
        return cls()

    @classmethod
    def from_carried(cls, carried: Mapping[str, Any]) -> Self:
        return cls()

    def carried(self) -> dict[str, Any]:
        return {"text_format": self.name}

    def check(self, cells: Sequence[Any]) -> Text:
        text, removed = clean(cells[0], joins_lines=True)
        return Text(text, 0, text, removed)

    @property
    def card(self) -> ModelCard:
        return ModelCard(_("Short Chinese texts by a small GPT-2"), "chinese", _(_USAGE))


_USAGE = N_("""It continues a short text:

    from transformers import pipeline
    pipeline("text-generation", ".")("春", do_sample=True, top_k=50, top_p=0.95, temperature=0.7)""")
