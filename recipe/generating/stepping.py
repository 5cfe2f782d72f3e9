"""Decoding that cannot leave a form that goes step by step: what may come next is asked of the form, row by row.

The couplet's form is known before anything is written, and is held by tables (`recipe.generating.processor`); a form in
which a choice decides later ones, as a rhyme does, cannot be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from recipe.couplet.form import is_chinese_character
from recipe.errors import UserError
from recipe.formats.base import SteppedForm
from recipe.generating.banned_words import FORBIDDEN
from recipe.generating.processor import LEAST_DEMANDED
from recipe.generating.tables import character_tokens
from recipe.language import _


class SteppedTables:
    """A form over a vocabulary, without the banned words.

    Attributes:
        size: width of the model's logits.
        eos_id: the token that ends an answer.
        token_of: characters and the form's marks, and their ids.
        character_of: the same, the other way round.
        choices: the form over the characters that may be written.
    """

    def __init__(
        self,
        form: SteppedForm,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary_size: int,
        banned_words: Sequence[str],
    ) -> None:
        """Make the tables; `vocabulary_size` is the model's `config.vocab_size`.

        Raises:
            UserError: the tokenizer is not one in which one character is one token, or lacks a mark of the form; or
                banned words that only a mark of the form would complete.
        """
        self.size = vocabulary_size
        self.token_of, self.eos_id = character_tokens(tokenizer, vocabulary_size)
        vocabulary = tokenizer.get_vocab()
        if missing := [mark for mark in form.marks if mark not in vocabulary]:
            raise UserError(
                _("the model's vocabulary has no token for {characters}, which its texts need").format(
                    characters=" ".join(missing)
                )
            )
        self._words = [word for word in dict.fromkeys(banned_words) if word]
        if marked := [word for word in self._words if set(word) & set(form.marks)]:
            raise UserError(
                _(
                    "--banned_words: {word} holds one of the marks {marks}, which the form puts by itself; leave such "
                    "words out of the list"
                ).format(word=marked[0], marks=form.marks)
            )
        characters = frozenset(self.token_of) - {word for word in self._words if len(word) == 1}
        self._banned_after: dict[str, set[str]] = defaultdict(set)
        for word in self._words:
            if len(word) > 1 and all(map(is_chinese_character, word)):
                self._banned_after[word[:-1]].add(word[-1])
        self._prefix_lengths = sorted({len(prefix) for prefix in self._banned_after})
        unbanned = characters - {char for ends in self._banned_after.values() for char in ends}
        self.choices = form.over(characters, unbanned)
        self.token_of |= {mark: vocabulary[mark] for mark in form.marks}
        self.character_of = {token: char for char, token in self.token_of.items()}
        self.allowed = cache(self._find_allowed)

    def refusal(self, prompt: str) -> str | None:
        """Return why no answer to `prompt` can be promised; None if every way of decoding reaches its end."""
        if found := [word for word in self._words if word in prompt]:
            return _("{prompt!r} contains the banned word {word!r}").format(prompt=prompt, word=found[0])
        return self.choices.refusal(prompt)

    def _find_allowed(self, characters: frozenset[str]) -> torch.Tensor:
        """Return (size,) which tokens are one of `characters`."""
        allowed = torch.zeros(self.size, dtype=torch.bool)
        allowed[[self.token_of[char] for char in characters]] = True
        return allowed

    def next_tokens(self, prompt: str, tokens: Sequence[int]) -> torch.Tensor:
        """Return (size,) which tokens may follow an answer's `tokens`; after its end nothing but end tokens."""
        if self.eos_id in tokens:
            written, choice = "", None
        else:
            written = self.text_of(tokens)
            choice = self.choices.next(prompt, written)
        allowed = self.allowed(choice.characters if choice else frozenset()).clone()
        if choice is None or choice.may_end:
            allowed[self.eos_id] = True
        taken = set(choice.but_not if choice else ()).union(
            *(self._banned_after.get(written[-length:], ()) for length in self._prefix_lengths)
        )
        allowed[[self.token_of[char] for char in taken if char in self.token_of]] = False
        return allowed

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return an answer as text, up to its end token.

        Raises:
            ValueError: it holds what the form forbids, as sampling among beams may write.
        """
        characters = []
        for token in tokens:
            if token == self.eos_id:
                break
            if token not in self.character_of:
                raise ValueError(f"an answer holds token {token}, which the form forbids: do not sample beams")
            characters.append(self.character_of[token])
        return "".join(characters)


class SteppedLogitsProcessor(LogitsProcessor):
    """Lets `generate` write nothing but answers that keep the form.

    The rows of the logits are the prompts, each one repeated equally often (by beams or returned sequences).

    Attributes:
        steps: number of tokens to generate, the end token included: give it to `generate` as `max_new_tokens`.
    """

    def __init__(self, tables: SteppedTables, prompts: Sequence[str], prompt_length: int) -> None:
        """Hold the answers to `prompts`, none of which `tables.refusal` may name.

        Args:
            prompt_length: tokens of a row of the prompts, left padding included.
        """
        self._tables, self._prompts, self._prompt_length = tables, list(prompts), prompt_length
        self.steps = max(tables.choices.most_characters(prompt) for prompt in prompts) + 1

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary) with minus infinity for every token that would leave the form."""
        copies = len(scores) // len(self._prompts)
        answers = input_ids[:, self._prompt_length :].tolist()
        allowed = [self._tables.next_tokens(self._prompts[row // copies], tokens) for row, tokens in enumerate(answers)]
        # A score of minus infinity from elsewhere (n-gram blocking) could leave a row without any token.
        kept = scores.clamp(min=LEAST_DEMANDED)
        return kept.masked_fill(~torch.stack(allowed).to(scores.device), FORBIDDEN)

    def answers(self, sequences: torch.Tensor) -> list[str]:
        """Read the answers out of what `generate` returned, prompts included.

        Raises:
            ValueError: answers that hold what no score allowed (see `SteppedTables.text_of`).
        """
        return [self._tables.text_of(tokens) for tokens in sequences[:, self._prompt_length :].tolist()]
