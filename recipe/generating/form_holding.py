"""From a text format's form, in plain Python, to what holds `generate` in it: plans, refusals, logits processors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerFast

from recipe.couplet.plan import FormPlan, TonePolicy
from recipe.errors import UserError
from recipe.formats.base import PlannedForm, SteppedForm
from recipe.generating.processor import FormLogitsProcessor
from recipe.generating.stepping import SteppedLogitsProcessor, SteppedTables
from recipe.generating.tables import FormTables
from recipe.language import _
from recipe.settings import DecodingSettings


class FormProcessor(Protocol):
    """A logits processor that holds the form of some prompts.

    Attributes:
        steps: number of tokens to generate, the end token included.
    """

    steps: int

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary) with minus infinity for every token that would leave the form."""

    def answers(self, sequences: torch.Tensor) -> list[str]:
        """Read the answers out of what `generate` returned, prompts included."""


class HeldForm(ABC):
    """A form over one vocabulary, with the banned words and the settings of one generator."""

    @abstractmethod
    def most_tokens(self, prompt: str) -> int:
        """Return how many tokens the longest answer to `prompt` has, the end token included."""

    @abstractmethod
    def plan(self, prompt: str, first: str) -> Any:
        """Return what the other methods need to know of a prompt, made once.

        Args:
            first: the character that the answer is to begin with; empty where it may choose.
        """

    @abstractmethod
    def refusal(self, plan: Any) -> str | None:
        """Return why no answer can be promised; None if every way of decoding reaches its end."""

    @abstractmethod
    def has_choice(self, plan: Any) -> bool:
        """Whether there may be more than one answer."""

    @abstractmethod
    def processor(self, plans: Sequence[Any], prompt_length: int) -> FormProcessor:
        """Return the processor for a batch of prompts that are `prompt_length` tokens long."""


class HeldPlannedForm(HeldForm):
    """A form that is known from the prompt alone; the answers have the length of their prompts."""

    def __init__(self, form: PlannedForm, tables: FormTables, settings: DecodingSettings) -> None:
        self.tables = tables
        self._form, self._tones, self._strength = form, TonePolicy(settings.tones), settings.tone_strength

    def most_tokens(self, prompt: str) -> int:
        return len(prompt) + 1

    def plan(self, prompt: str, first: str) -> FormPlan:
        plan = self._form.plan(prompt, self._tones)
        return replace(plan, first=first) if first else plan

    def refusal(self, plan: FormPlan) -> str | None:
        return self.tables.refusal(plan, self._tones)

    def has_choice(self, plan: FormPlan) -> bool:
        return bool(plan.fresh_positions)

    def processor(self, plans: Sequence[FormPlan], prompt_length: int) -> FormLogitsProcessor:
        return FormLogitsProcessor(self.tables, plans, prompt_length, self._tones, self._strength)


class HeldSteppedForm(HeldForm):
    """A form that says step by step what may come next."""

    def __init__(self, tables: SteppedTables) -> None:
        self._tables = tables

    def most_tokens(self, prompt: str) -> int:
        return self._tables.choices.most_characters(prompt) + 1

    def plan(self, prompt: str, first: str) -> str:
        if first:
            raise ValueError("a form that goes step by step does not take the first character from elsewhere")
        return prompt

    def refusal(self, plan: str) -> str | None:
        return self._tables.refusal(plan)

    def has_choice(self, plan: str) -> bool:
        return True

    def processor(self, plans: Sequence[str], prompt_length: int) -> SteppedLogitsProcessor:
        return SteppedLogitsProcessor(self._tables, plans, prompt_length)


def hold_form(
    form: PlannedForm | SteppedForm,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary_size: int,
    settings: DecodingSettings,
    banned_words: Sequence[str],
) -> HeldForm:
    """Return `form` over a vocabulary; `vocabulary_size` is the model's `config.vocab_size`.

    Raises:
        UserError: the tokenizer is not one in which one character is one token, or settings that the form cannot keep.
    """
    if isinstance(form, SteppedForm):
        if settings.tones == TonePolicy.STRICT:
            raise UserError(_("--tones strict applies to couplets; this model's format has no rules of tone"))
        return HeldSteppedForm(SteppedTables(form, tokenizer, vocabulary_size, banned_words))
    return HeldPlannedForm(form, FormTables(tokenizer, vocabulary_size, banned_words), settings)
