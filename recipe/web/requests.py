"""What visitors may ask for: lines and settings checked, every refusal a sentence in both languages."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recipe.couplet.form import is_chinese_character
from recipe.errors import UserError
from recipe.facade import decoding_settings
from recipe.formats.base import TextFormat
from recipe.generating.values import check_settings
from recipe.language import LANGUAGES, N_, _, translations
from recipe.model.tokenization import read_by, unknown_characters
from recipe.rows.cleaning import EMPTY, LOST, MARKUP, RejectedRowError, clean_line
from recipe.settings import DecodingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# A line is answered in at most so many steps; the longest couplet in use that has a name, of 大观楼, has 90.
MOST_CHARACTERS = 100
# One request may not take the machine for itself: the largest value of what multiplies the work.
MOST = {"n": 8, "best_of": 32, "num_beams": 8}
# Rows of the model in one batch: many small requests share it; a large one is bounded by the values above.
ROWS_TOGETHER = 256
# Characters of a line of a whole couplet.
LINE_LENGTHS = range(3, 17)
# Ways of writing whole couplets around given characters, by the names of `Couplets.compose`.
ACROSTIC, THEME, BEGINNING = "acrostic", "theme", "compose"
MOST_BANNED_WORDS, LONGEST_BANNED_WORD = 64, 16
# Settings of decoding that are the operator's, not a visitor's.
_NOT_ASKED = {"generation_batch_size", "continue_freely", "max_new_tokens"}

_REFUSALS = {
    "empty": N_("Write an upper line first."),
    "long": N_("The upper line has {count:,} characters; at most {most} are answered."),
    "character": N_("An upper line holds Chinese characters and punctuation; character {place} is {found}."),
    "damaged": N_("The upper line holds a line break, control characters or damaged ones."),
    "markup": N_("The upper line holds HTML; leave only its text."),
    "lost": N_("The upper line holds a mark such as [UNK] in the place of a character; type the character itself."),
    "only_marks": N_("The upper line has no Chinese character."),
    "words": N_("At most {most} banned words, of at most {longest} characters each."),
    "most": N_("{name} is at most {most}; found {found}."),
    "given": N_("Give 1 to {most} Chinese characters, fewer than a line has."),
    "acrostic": N_("An acrostic takes two different Chinese characters, one for each line."),
    "line_length": N_("A line has {least} to {most} characters; found {found}."),
    "unknown": N_("The model does not know {found} and cannot write it; try common, simplified characters."),
    "none": N_("No couplet was found; try other characters, or fewer words to avoid."),
    "busy": N_("Too many lines are waiting; try again in a moment."),
    "other": N_("This line cannot be answered: {reason}"),
}
# What cleaning says of a line, as it is said here; whatever else it says, the line is damaged.
_REJECTIONS = {EMPTY: "empty", MARKUP: "markup", LOST: "lost"}


class RefusedError(Exception):
    """What a visitor asked for is not done; says why in both languages."""

    def __init__(self, kind: str, **values: Any) -> None:
        self.sentences = {
            language: translations(language).gettext(_REFUSALS[kind]).format(**values) for language in LANGUAGES
        }
        super().__init__(self.sentences["en"])


def checked_line(typed: str, text_format: TextFormat) -> str:
    """Return the upper line that somebody typed, cleaned as training rows are.

    Raises:
        RefusedError: it is empty, too long, damaged, or holds something else than Chinese characters and punctuation.
    """
    if len(typed) > MOST_CHARACTERS:
        raise RefusedError("long", count=len(typed), most=MOST_CHARACTERS)
    try:
        line = text_format.read_prompt(typed).text
    except RejectedRowError as rejection:
        raise RefusedError(_REJECTIONS.get(rejection.reason, "damaged")) from None
    for place, char in enumerate(line, start=1):
        if not (is_chinese_character(char) or unicodedata.category(char)[0] == "P"):
            raise RefusedError("character", place=place, found=shown_character(char))
    if not any(map(is_chinese_character, line)):
        raise RefusedError("only_marks")
    return line


def checked_given(typed: str, kind: str, line_length: Any, tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the characters that somebody wants whole couplets written around, cleaned.

    Raises:
        RefusedError: they are not Chinese, too many, not the two of an acrostic or unknown to the model; or the lines
            are too short or too long.
    """
    least, most = LINE_LENGTHS[0], LINE_LENGTHS[-1]
    if type(line_length) is not int or line_length not in LINE_LENGTHS:
        raise RefusedError("line_length", least=least, most=most, found=str(line_length)[:20])
    refused = RefusedError("acrostic") if kind == ACROSTIC else RefusedError("given", most=line_length - 1)
    if len(typed) > MOST_CHARACTERS:
        raise refused
    try:
        given = clean_line(typed).text
    except RejectedRowError:
        raise refused from None
    if not 0 < len(given) < line_length or not all(map(is_chinese_character, given)):
        raise refused
    if kind == ACROSTIC and (len(given) != 2 or given[0] == given[1]):
        raise refused
    if unknown := unknown_characters(tokenizer, read_by(tokenizer, given).text):
        raise RefusedError("unknown", found=" ".join(unknown))
    return given


def shown_character(char: str) -> str:
    """Return a character as it can be printed, beside its number."""
    number = f"U+{ord(char):04X}"
    return f"{char} ({number})" if char.isprintable() else number


@dataclasses.dataclass(frozen=True)
class Wish:
    """How a line is to be answered: settings of decoding without their seed, and the seed."""

    settings: DecodingSettings
    banned_words: tuple[str, ...]
    seed: int | None


def checked_wish(options: Mapping[str, Any]) -> Wish:
    """Return the settings that options by name stand for: `n`, `banned_words`, and those of `recipe.facade.Options`.

    Raises:
        RefusedError: more than one request may take.
        UserError: unknown names and wrong types, all at once.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if operators := sorted(_NOT_ASKED & given.keys()):
        raise UserError(
            [_("{name} can only be set by whoever runs the server").format(name=name) for name in operators]
        )
    words = given.pop("banned_words", [])
    if not isinstance(words, list | tuple) or len(words) > MOST_BANNED_WORDS:
        raise RefusedError("words", most=MOST_BANNED_WORDS, longest=LONGEST_BANNED_WORD)
    if not all(isinstance(word, str) and len(word) <= LONGEST_BANNED_WORD for word in words):
        raise RefusedError("words", most=MOST_BANNED_WORDS, longest=LONGEST_BANNED_WORD)
    seed = given.pop("seed", None)
    settings = decoding_settings(given.pop("n", 1), given | ({} if seed is None else {"seed": seed}))
    wished = {"n": settings.num_return_sequences, "best_of": settings.best_of, "num_beams": settings.num_beams}
    for name, value in wished.items():
        if value is not None and value > MOST[name]:
            raise RefusedError("most", name=name, most=MOST[name], found=value)
    check_settings(settings, words)
    seedless = dataclasses.replace(settings, seed=DecodingSettings.seed, generation_batch_size=ROWS_TOGETHER)
    return Wish(seedless, tuple(word for word in words if word), None if seed is None else settings.seed)
