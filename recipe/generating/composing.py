"""`--compose`: whole couplets whose upper lines begin with a theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from recipe.couplet.form import is_chinese_character
from recipe.couplet.plan import NO_NEED
from recipe.couplet.tones import Tone, ToneSystem
from recipe.errors import UserError
from recipe.generating.banned_words import FORBIDDEN
from recipe.generating.form_holding import HeldPlannedForm
from recipe.generating.generator import SAMPLING_ROUNDS, Answer, Generator, generating
from recipe.generating.tables import FormTables
from recipe.model.tokenization import encode_prompt, unknown_characters

# The tones by which upper lines end.
_TONES = ToneSystem.MODERN


class UpperLineLogitsProcessor(LogitsProcessor):
    """Lets `generate` go on from a line's first characters to a whole upper line that ends in an oblique tone (仄).

    No character comes twice. Generation has to be stopped after `line_length` characters by `max_new_tokens`.
    """

    def __init__(self, tables: FormTables, line_length: int, system: ToneSystem) -> None:
        self._bias = tables.answer_bias
        is_oblique = tables.tone_tables()[system] == Tone.OBLIQUE  # for certain: of any length there are enough
        self._last_bias = self._bias.masked_fill(~is_oblique, FORBIDDEN)
        self._line_length = line_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary); `input_ids` are `[CLS]` and the line so far."""
        is_last = input_ids.shape[1] == self._line_length
        bias = self._last_bias if is_last else self._bias
        return (scores + bias.to(scores.device)).scatter(1, input_ids, FORBIDDEN)


class Composer:
    """Writes couplets of lines of one length with a generator of couplets."""

    def __init__(self, generator: Generator, line_length: int) -> None:
        """Check that the generator can.

        Raises:
            UserError: it does not hold the couplet's form, or lines are too long for the model or its vocabulary.
        """
        form = generator.form
        if form is None:
            raise UserError("--compose needs the form; it cannot be combined with --continue_freely")
        if not isinstance(form, HeldPlannedForm):
            kind = generator.text_format.name
            raise UserError(f"--compose writes couplets; this model writes texts of another kind: {kind}")
        if problems := _length_problems(form.tables, line_length, generator.model.config.max_position_embeddings):
            raise UserError(problems)
        self._generator, self._tables, self.line_length = generator, form.tables, line_length

    def refusals(self, themes: Sequence[str]) -> list[str]:
        """Return why themes cannot be begun with: a reason for each one that cannot, without decoding anything."""
        reasons = []
        for theme in themes:
            if len(theme) >= self.line_length or not all(map(is_chinese_character, theme)):
                reasons.append(
                    f"--compose {theme}: must be Chinese characters, fewer than --line_length {self.line_length}"
                )
            elif unknown := unknown_characters(self._generator.tokenizer, theme):
                reasons.append(f"--compose {theme}: the model does not know {' '.join(unknown)}")
        return reasons

    def compose(self, theme: str) -> list[Answer]:
        """Write whole couplets: upper lines that begin with `theme` and end in an oblique tone, and their lower lines.

        At most as many as sequences are asked for; an upper line with a banned word is dropped.

        Raises:
            UserError: a theme that `refusals` names.
        """
        if reasons := self.refusals([theme]):
            raise UserError(reasons)
        generator = self._generator
        uppers = [upper for upper in generator.prepare(self._upper_lines(theme)) if upper.refusal is None]
        couplets = dict(generator.answer_each(uppers[: generator.settings.num_return_sequences]))
        return [answers[0] for _, answers in sorted(couplets.items())]

    def _upper_lines(self, theme: str) -> list[str]:
        """Sample distinct upper lines, a few more than are asked for."""
        generator = self._generator
        prompt = torch.tensor([encode_prompt(generator.tokenizer, theme)], device=generator.model.device)
        config = generator.generation_config(self.line_length - len(theme), is_sampled=True)
        config.update(num_return_sequences=SAMPLING_ROUNDS * generator.settings.num_return_sequences, num_beams=1)
        generate: Any = generator.model.generate
        with generating(generator.model, config):
            form = UpperLineLogitsProcessor(self._tables, self.line_length, _TONES)
            output = generate(prompt, attention_mask=torch.ones_like(prompt), logits_processor=[form])
        rests = generator.tokenizer.batch_decode(output.sequences[:, prompt.shape[1] :], skip_special_tokens=True)
        return list(dict.fromkeys(theme + rest for rest in rests))


def _length_problems(tables: FormTables, line_length: int, longest: int) -> list[str]:
    """Return why no couplet with lines of `line_length` characters can be composed."""
    needed = 2 * line_length + 3  # [CLS], the separator and the end token
    if needed > longest:
        return [f"--line_length {line_length}: a couplet takes {needed} tokens; the model has room for {longest}"]
    # No character comes twice. The last one of the upper line is drawn when all others may have been oblique.
    different, oblique = (len(tables.allowed(_TONES, need)) for need in (NO_NEED, Tone.OBLIQUE))
    if 2 * line_length > different or line_length > oblique:
        return [
            f"--line_length {line_length}: a couplet takes {2 * line_length} different characters and an oblique tone "
            f"at the end; the vocabulary has {different}, {oblique} of them oblique"
        ]
    return []
