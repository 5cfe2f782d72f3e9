"""`--compose`, `--acrostic`, `--theme`: whole couplets that begin with some characters, or hold a word.

Nothing but the form makes a couplet of a language model's free writing, so many upper lines are drawn and the model's
own favourites are answered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import torch
from transformers import LogitsProcessor

from recipe.couplet.character_forms import Reading, in_traditional
from recipe.couplet.form import is_chinese_character
from recipe.couplet.plan import NO_NEED
from recipe.couplet.tones import Tone, ToneSystem, tone_of
from recipe.errors import UserError
from recipe.generating.banned_words import FORBIDDEN
from recipe.generating.form_holding import HeldPlannedForm
from recipe.generating.generator import Answer, Generator, generating, mean_log_probabilities
from recipe.generating.processor import LEAST_DEMANDED
from recipe.generating.tables import FormTables
from recipe.language import _
from recipe.model.tokenization import encode_prompt, read_by, unknown_characters

# The tones by which upper lines end.
_TONES = ToneSystem.MODERN
# Upper lines that are drawn for a couplet, and how many of the likeliest of them are answered for each one asked for.
_DRAWN, _ANSWERED = 128, 3


class Kind(StrEnum):
    """How a couplet is made around some characters; the value is the setting that asks for it."""

    BEGINNING = "compose"  # its upper line begins with them
    ACROSTIC = "acrostic"  # its lines begin with one of the two each (藏头)
    THEME = "theme"  # its upper line holds them, one after the other


class UpperLineLogitsProcessor(LogitsProcessor):
    """Lets `generate` write whole upper lines that end in an oblique tone (仄) and hold given characters.

    No other character comes twice. Generation has to be stopped after `line_length` characters by `max_new_tokens`.
    """

    def __init__(
        self, tables: FormTables, line_length: int, system: ToneSystem, given: Sequence[Mapping[int, str]]
    ) -> None:
        """Prepare for prompts of `[CLS]` alone, each repeated equally often.

        Args:
            given: for each prompt the characters that stand at some positions of its line.
        """
        self._bias = tables.answer_bias
        is_oblique = tables.tone_tables()[system] == Tone.OBLIQUE  # for certain: of any length there are enough
        self._last_bias = self._bias.masked_fill(~is_oblique, FORBIDDEN)
        self._line_length = line_length
        self._given = [{place: tables.token_of[char] for place, char in one.items()} for one in given]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary); `input_ids` are `[CLS]` and the line so far."""
        position = input_ids.shape[1] - 1
        bias = self._last_bias if position == self._line_length - 1 else self._bias
        free = (scores + bias.to(scores.device)).scatter(1, input_ids, FORBIDDEN)
        copies = len(scores) // len(self._given)
        for row in range(len(scores)):
            given = self._given[row // copies]
            if (token := given.get(position)) is not None:
                free[row] = FORBIDDEN
                free[row, token] = scores[row, token].clamp(min=LEAST_DEMANDED)
            else:
                free[row, list(given.values())] = FORBIDDEN
        return free


class Composer:
    """Writes couplets of lines of one length with a generator of couplets.

    Attributes:
        generator: what writes them, and how many are wanted.
        line_length: characters of a line.
    """

    def __init__(self, generator: Generator, line_length: int) -> None:
        """Check that the generator can.

        Raises:
            UserError: it does not hold the couplet's form, or lines are too long for the model or its vocabulary.
        """
        form = generator.form
        if form is None:
            raise UserError(_("whole couplets need the form; --continue_freely writes without it: leave it off"))
        if not isinstance(form, HeldPlannedForm):
            kind = generator.text_format.name
            raise UserError(
                _("only a model of couplets writes whole couplets; this one writes {kind} texts").format(kind=kind)
            )
        if problems := _length_problems(form.tables, line_length, generator.model.config.max_position_embeddings):
            raise UserError(problems)
        self.generator, self._tables, self.line_length = generator, form.tables, line_length

    def read(self, theme: str) -> Reading:
        """Return how the model sees a theme: traditional characters by their simplified forms, as in prompts."""
        return read_by(self.generator.tokenizer, theme)

    def refusals(self, themes: Sequence[str], kind: Kind = Kind.BEGINNING) -> list[str]:
        """Return why no couplet can be made around some themes: a reason for each, without decoding anything."""
        return [f"--{kind} {theme}: {reason}" for theme in themes if (reason := self._refusal(theme, kind))]

    def _refusal(self, theme: str, kind: Kind) -> str | None:
        if not 0 < len(theme) < self.line_length or not all(map(is_chinese_character, theme)):
            return _("must be Chinese characters, fewer than --line_length {line_length}").format(
                line_length=self.line_length
            )
        seen = self.read(theme).text
        if unknown := unknown_characters(self.generator.tokenizer, seen):
            return _("the model does not know {characters}").format(characters=" ".join(unknown))
        if not set(seen) <= self._tables.token_of.keys():
            return _("holds a character that stands for another one; write the usual one")
        if kind is Kind.ACROSTIC and (len(theme) != 2 or theme[0] == theme[1]):
            return _("takes two different characters, one for each line")
        if banned := [word for word in self.generator.banned_words if word in theme or word in seen]:
            return _("contains the banned word {word!r}").format(word=banned[0])
        return None

    def compose(self, theme: str, kind: Kind = Kind.BEGINNING) -> list[Answer]:
        """Write whole couplets around `theme`, the best first: their upper lines end in an oblique tone.

        At most as many as sequences are asked for; an upper line with a banned word is dropped.

        Raises:
            UserError: a theme that `refusals` names.
        """
        if reasons := self.refusals([theme], kind):
            raise UserError(reasons)
        generator, reading = self.generator, self.read(theme)
        wanted = generator.settings.num_return_sequences
        first = reading.text[1] if kind is Kind.ACROSTIC else ""
        likelihoods = self._upper_lines(self._places(reading.text, kind))
        uppers = [one for one in generator.prepare(list(likelihoods), first) if one.refusal is None]
        answered = uppers[: _ANSWERED * wanted]
        found = [answers[0] for _, answers in generator.answer_each(answered)]
        # A word of which the line's repeated first character is all cannot be kept out while it is decoded.
        kept = [one for one in found if not any(word in one.text for word in generator.banned_words)]
        best = sorted(kept, key=lambda one: -(likelihoods[one.prompt] + one.rank))[:wanted]
        return [_shown(one, theme, reading) for one in best]

    def _places(self, theme: str, kind: Kind) -> list[dict[int, str]]:
        """Return each way in which an upper line can hold what is given, as its characters by their positions."""
        if kind is Kind.ACROSTIC:
            return [{0: theme[0]}]
        last = self.line_length - len(theme) if kind is Kind.THEME else 0
        if last and not tone_of(theme[-1], _TONES) & Tone.OBLIQUE:
            last -= 1  # the line's end is oblique
        return [{start + place: char for place, char in enumerate(theme)} for start in range(last + 1)]

    def _upper_lines(self, given: Sequence[Mapping[int, str]]) -> dict[str, float]:
        """Draw distinct upper lines and return their mean log-probabilities, the likeliest first."""
        generator, length = self.generator, self.line_length
        prompt = encode_prompt(generator.tokenizer, "")
        ids = torch.tensor([prompt] * len(given), device=generator.model.device)
        config = generator.generation_config(length, is_sampled=True)
        config.update(num_return_sequences=-(-_DRAWN // len(given)), num_beams=1)
        generate: Any = generator.model.generate
        with generating(generator.model, config):
            form = UpperLineLogitsProcessor(self._tables, length, _TONES, given)
            output = generate(ids, attention_mask=torch.ones_like(ids), logits_processor=[form])
        lines = generator.tokenizer.batch_decode(output.sequences[:, len(prompt) :], skip_special_tokens=True)
        rated = zip(mean_log_probabilities(output, len(prompt), config.eos_token_id), lines, strict=True)
        return {line: rate for rate, line in sorted(rated, reverse=True)}


def _shown(couplet: Answer, theme: str, reading: Reading) -> Answer:
    """Return a couplet in the characters of its theme: traditional ones if these are, and the theme as it was typed."""
    if reading.text == theme:
        return couplet
    if reading.is_traditional:
        given = dict(zip(reading.text, theme, strict=True))
        upper = in_traditional(couplet.prompt, given=given)
        lower = in_traditional(couplet.text, set(upper), given)
    else:
        typed = str.maketrans(reading.text, theme)
        upper, lower = couplet.prompt.translate(typed), couplet.text.translate(typed)
    return dataclasses.replace(couplet, prompt=upper, text=lower)


def _length_problems(tables: FormTables, line_length: int, longest: int) -> list[str]:
    """Return why no couplet with lines of `line_length` characters can be composed."""
    needed = 2 * line_length + 3  # [CLS], the separator and the end token
    if needed > longest:
        return [
            _("--line_length {line_length}: a couplet takes {needed} tokens; the model has room for {longest}").format(
                line_length=line_length, needed=needed, longest=longest
            )
        ]
    # No character comes twice. The last one of the upper line is drawn when all others may have been oblique.
    different, oblique = (len(tables.allowed(_TONES, need)) for need in (NO_NEED, Tone.OBLIQUE))
    if 2 * line_length > different or line_length > oblique:
        return [
            _(
                "--line_length {line_length}: a couplet takes {needed} different characters and an oblique tone at "
                "the end; the vocabulary has {different}, {oblique} of them oblique"
            ).format(line_length=line_length, needed=2 * line_length, different=different, oblique=oblique)
        ]
    return []
