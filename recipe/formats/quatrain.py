"""Poems of four or eight lines (绝句, 律诗): five or seven characters a line, ， and 。 in turn, even lines that rhyme.

The model is given the first line, or, with two columns, a title; it writes the rest of the poem. The even lines end in
different characters of one rhyme of the old rhyme book (`recipe.formats.rhymes`). That is a rule for what is written,
not for what is trained on: of 229,019 poems of this shape in the public collections of Tang and Song verse 89% keep it.
Neither tones inside the lines nor the parallel couplets of 律诗 are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from recipe.couplet.form import DEFAULT_SEPARATOR, is_chinese_character, is_same_mark
from recipe.formats.base import Choice, ModelCard, SteppedChoices, SteppedForm, Text, TextFormat, TextSettings
from recipe.formats.rhymes import common_rhymes, rhymes
from recipe.language import N_, _
from recipe.rows.cleaning import Cleaned, RejectedRowError, clean_line, kinds_of

COMMA, STOP = "，。"
LINE_LENGTHS = (5, 7)
POEM_LENGTHS = (4, 8)  # lines
_MOST_RHYMES = POEM_LENGTHS[-1] // 2
_NOTHING: frozenset[str] = frozenset()

NOT_CHINESE = N_("characters other than Chinese ones and the marks ， and 。")
WRONG_SHAPE = N_("not four or eight lines of five or seven characters with ， and 。 in turn")


def poem_lines(poem: str) -> list[str] | None:
    """Return the lines of a poem without their marks; None if it has not the shape of one."""
    sentences = poem.split(STOP)
    lines = [line for sentence in sentences[:-1] for line in sentence.split(COMMA)]
    has_marks = sentences[-1] == "" and all(sentence.count(COMMA) == 1 for sentence in sentences[:-1])
    has_lengths = len(lines) in POEM_LENGTHS and len(lines[0]) in LINE_LENGTHS and len(set(map(len, lines))) == 1
    return lines if has_marks and has_lengths else None


def poem_violations(poem: str) -> list[str]:
    """Return which rules a poem breaks: its shape, its characters, the rhyme of its even lines and their difference."""
    lines = poem_lines(poem)
    if lines is None:
        return ["shape"]
    rhymed = [line[-1] for line in lines[1::2]]
    broken = {
        "foreign_character": not all(map(is_chinese_character, "".join(lines))),
        "rhyme": not common_rhymes(rhymed),
        "repeated_rhyme": len(set(rhymed)) < len(rhymed),
    }
    return [name for name, is_broken in broken.items() if is_broken]


@dataclass(frozen=True)
class PoemForm(SteppedForm):
    """The form of a poem; with titles the answer is the whole poem, otherwise what follows its first line."""

    has_titles: bool

    marks = COMMA + STOP

    def over(self, characters: frozenset[str], unbanned: frozenset[str]) -> PoemChoices:
        return PoemChoices(self.has_titles, characters, unbanned)


class PoemChoices(SteppedChoices):
    """What may come next in a poem.

    Only rhymes are begun that have a character left for every even line of the longest poem, whatever is banned.
    """

    def __init__(self, has_titles: bool, characters: frozenset[str], unbanned: frozenset[str]) -> None:
        self._has_titles, self._characters = has_titles, characters
        self._rhymes = frozenset(name for name, group in rhymes().items() if len(group & unbanned) >= _MOST_RHYMES)
        self._can_be_written = bool(unbanned and self._rhymes)
        self._or_comma = characters | {COMMA}
        self._rhyming = cache(self._find_rhyming)

    def _find_rhyming(self, names: frozenset[str]) -> frozenset[str]:
        """The characters of any of the rhymes."""
        return _NOTHING.union(*(rhymes()[name] for name in names)) & self._characters

    def most_characters(self, prompt: str) -> int:
        longest = LINE_LENGTHS[-1] if self._has_titles else len(prompt)
        return (POEM_LENGTHS[-1] - (not self._has_titles)) * (longest + 1)

    def refusal(self, prompt: str) -> str | None:
        if not self._can_be_written:
            return _(
                "the vocabulary has no rhyme with {count} characters that stay allowed whatever words are banned"
            ).format(count=_MOST_RHYMES)
        if self._has_titles:
            return None if prompt else _("the title is empty; a poem needs one")
        if len(prompt) in LINE_LENGTHS and all(map(is_chinese_character, prompt)):
            return None
        return _("{line!r}: the first line of a poem has five or seven Chinese characters").format(line=prompt)

    def next(self, prompt: str, written: str) -> Choice:
        poem = written if self._has_titles else prompt + COMMA + written
        line_length = poem.find(COMMA)
        if line_length < 0:
            return self._next_of_first_line(len(poem))
        line, place = divmod(len(poem), line_length + 1)
        if place == line_length:
            return Choice(frozenset(STOP if line % 2 else COMMA))
        if place == 0 and line in POEM_LENGTHS:
            return Choice(_NOTHING if line == POEM_LENGTHS[-1] else self._characters, may_end=True)
        if place == line_length - 1 and line % 2:
            return self._next_rhyme([poem[end] for end in range(2 * line_length, len(poem), 2 * (line_length + 1))])
        return Choice(self._characters)

    def _next_of_first_line(self, place: int) -> Choice:
        """After five characters the line may end, after seven it must."""
        if place == LINE_LENGTHS[-1]:
            return Choice(frozenset(COMMA))
        return Choice(self._or_comma if place == LINE_LENGTHS[0] else self._characters)

    def _next_rhyme(self, earlier: Sequence[str]) -> Choice:
        names = common_rhymes(earlier) & self._rhymes if earlier else self._rhymes
        return Choice(self._rhyming(names), but_not=frozenset(earlier))


@dataclass(frozen=True)
class Quatrain(TextFormat):
    """A poem.

    Attributes:
        has_titles: whether the prompt is a title; otherwise it is the first line.
        separator: what stands between a title and its poem.
    """

    has_titles: bool = False
    separator: str = DEFAULT_SEPARATOR

    name = "quatrain"
    takes_pairs = True

    @classmethod
    def from_settings(cls, settings: TextSettings) -> Self:
        has_titles = bool(settings.upper_column or settings.upper_file)
        return cls(has_titles, DEFAULT_SEPARATOR if settings.separator.isspace() else settings.separator)

    @classmethod
    def problems(cls, settings: TextSettings) -> list[str]:
        if len(settings.separator) == 1:
            return []
        return [
            _("--separator {separator!r}: must be one character, which stands between a title and its poem").format(
                separator=settings.separator
            )
        ]

    @classmethod
    def from_carried(cls, carried: Mapping[str, Any]) -> Self:
        has_titles, separator = carried.get("has_titles"), carried.get("separator")
        if not isinstance(has_titles, bool) or not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(
                _(
                    "has_titles is {has_titles!r}, expected true or false; separator is {separator!r}, expected one "
                    "character"
                ).format(has_titles=has_titles, separator=separator)
            )
        return cls(has_titles, separator)

    def carried(self) -> dict[str, Any]:
        return {"text_format": self.name, "has_titles": self.has_titles, "separator": self.separator}

    @property
    def between(self) -> str:
        return self.separator if self.has_titles else COMMA

    @property
    def form(self) -> PoemForm:
        return PoemForm(self.has_titles)

    @property
    def needed_characters(self) -> str:
        return "".join(dict.fromkeys(self.between + self.form.marks))

    @property
    def asks_for(self) -> tuple[str, str]:
        return "题目" if self.has_titles else "首句", "诗"

    def check(self, cells: Sequence[Any]) -> Text:
        cleaned = [clean_line(cell) for cell in cells]
        *title, poem = (line.text for line in cleaned)
        lines = poem_lines(poem)
        if lines is None:
            raise RejectedRowError(WRONG_SHAPE)
        if not all(map(is_chinese_character, "".join(lines))):
            raise RejectedRowError(NOT_CHINESE)
        prompt, answer = (title[0], poem) if title else (lines[0], poem[len(lines[0]) + 1 :])
        opening = self.opening(prompt)
        return Text(opening + answer, len(opening), prompt, kinds_of(cleaned))

    def read_prompt(self, typed: str) -> Cleaned:
        """Return the title without the mark after it; or the first line, of a whole poem too."""
        line, removed = clean_line(typed)
        if not self.has_titles:
            return Cleaned(line.replace(",", COMMA).split(COMMA)[0], removed)
        return Cleaned(line[:-1] if is_same_mark(line[-1], self.separator) else line, removed)

    def violations(self, prompt: str, answer: str) -> list[str]:
        return poem_violations(answer if self.has_titles else self.join(prompt, answer))

    @property
    def card(self) -> ModelCard:
        example, given = ("春晓", _("a title")) if self.has_titles else ("春满神州花似锦", _("a first line"))
        usage = _(_USAGE).format(example=example, given=given, between=self.between)
        return ModelCard(_("Poems (绝句, 律诗) by a small Chinese GPT-2"), "poetry", usage)


_USAGE = N_("""It writes poems of four or eight lines of five or seven characters. A prompt is {given}
and `{between}`:

    python run_generate.py --model_name_or_path . --prompt {example}

or, with nothing but the library (the tokenizer puts `[CLS]` first and no `[SEP]` last; generation stops by itself):

    from transformers import pipeline
    pipeline("text-generation", ".")("{example}{between}", do_sample=True, top_k=50, top_p=0.95, temperature=0.7)

**Only `run_generate.py` holds the form**: the lengths of the lines, their marks, one rhyme of the old rhyme book in the
even lines. The plain library call may break every one of these rules.
只有 `run_generate.py` 能保证句数、字数、标点和押韵；直接调用 transformers 不保证。""")
