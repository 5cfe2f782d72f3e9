"""Decoding that cannot leave the couplet's form: a batched `LogitsProcessor` that carries out the plans of its lines.

It holds the form in plain `generate`, in greedy decoding, beam search and sampling:

    tables = FormTables(tokenizer, model.config.vocab_size)
    prompts = tokenizer([upper + "-" for upper in uppers], return_tensors="pt", padding=True)
    form = FormLogitsProcessor.answering(tables, uppers, prompt_length=prompts.input_ids.shape[1])
    output = model.generate(**prompts, max_new_tokens=form.steps, logits_processor=[form])
    lowers = form.answers(output)

Every mask is a function of the ids so far alone, so rows may be reordered (beam search) and repeated (several returned
sequences). n-gram blocking contradicts the form, which asks for repetitions: leave `no_repeat_ngram_size` at 0.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from recipe.couplet.plan import FormPlan, TonePolicy, plan_form
from recipe.couplet.tones import ToneSystem
from recipe.errors import UserError
from recipe.generating.banned_words import FORBIDDEN, WordBans
from recipe.generating.tables import TONE_NEEDS, FormTables

# What a token that the form demands has at least: low enough to count as improbable, high enough to be divided by a
# temperature and summed along a beam.
LEAST_DEMANDED = -1e4
# The first of a system's rows in the tone bias; one row for each need follows.
_TONE_ROWS = {system: index * len(TONE_NEEDS) for index, system in enumerate(ToneSystem)}
DEFAULT_TONE_STRENGTH = 3.0


class FormLogitsProcessor(LogitsProcessor):
    """Lets `generate` write nothing but lower lines that keep the form of their upper lines.

    The rows of the logits are the prompts, each one repeated equally often (by beams or returned sequences).

    Attributes:
        steps: number of tokens to generate, the end token included: give it to `generate` as `max_new_tokens`.
        plans: the plans of the upper lines.
    """

    def __init__(
        self,
        tables: FormTables,
        plans: Sequence[FormPlan],
        prompt_length: int,
        tones: TonePolicy = TonePolicy.PREFER,
        tone_strength: float = DEFAULT_TONE_STRENGTH,
    ) -> None:
        """Carry out `plans`, made with `tones`; none may be one that `tables.refusal` names.

        Args:
            prompt_length: tokens of a row of the prompts, left padding included.
            tone_strength: what `prefer` takes off the logit of a character for each tone it should have and has not
                (natural logarithm: 3 makes it about 20 times less likely).
        """
        self._tables = tables
        self._prompt_length = prompt_length
        self.plans = list(plans)
        self._tokens = [tables.encode_characters(plan.upper) for plan in plans]
        self._step_of = list(map(_step_of_positions, self.plans, self._tokens))
        self.steps = max(map(len, self._step_of)) + 1
        forced = self._forced_rows()
        self._forced = np.array([entry for entries in forced for entry in entries]).T
        self._forced_ends = [0, *itertools.accumulate(map(len, forced))]
        self._some_repeat = [any(source >= 0 for _, _, source in entries) for entries in forced]
        tone_rows = self._needed_tone_rows()
        self._some_tones = list(map(any, tone_rows))
        self._tone_rows = torch.from_numpy(np.array(tone_rows))
        self._bias = self._static_bias()
        self._tone_bias = tables.tone_bias(tones, tone_strength)
        self._word_bans = WordBans(tables.words, self.plans, self._step_of)
        self._laid_out_for: tuple[int, torch.device] | None = None

    @classmethod
    def answering(
        cls,
        tables: FormTables,
        uppers: Sequence[str],
        prompt_length: int,
        tones: TonePolicy = TonePolicy.PREFER,
        tone_strength: float = DEFAULT_TONE_STRENGTH,
    ) -> FormLogitsProcessor:
        """Plan the lower lines of `uppers`; the other arguments are those of the class.

        Raises:
            UserError: upper lines that cannot be answered, all of them, each with its reason.
        """
        plans = [plan_form(upper, tones) for upper in uppers]
        if reasons := [reason for plan in plans if (reason := tables.refusal(plan, tones))]:
            raise UserError(reasons)
        return cls(tables, plans, prompt_length, tones, tone_strength)

    def _forced_rows(self) -> list[list[tuple[int, int, int]]]:
        """For each step (plan, token, source) of the plans that decide it.

        They take a token (a mark, the end) or repeat an earlier step, the source; -1 stands for what they do not.
        """
        forced: list[list[tuple[int, int, int]]] = [[] for _ in range(self.steps)]
        for row, (plan, tokens, steps) in enumerate(zip(self.plans, self._tokens, self._step_of, strict=True)):
            for position, step in steps.items():
                if plan.is_mark[position]:
                    token = tokens[position]
                    assert token is not None  # a mark without a token takes no step
                    forced[step].append((row, token, -1))
                elif (source := plan.sources[position]) != position:
                    forced[step].append((row, -1, steps[source]))
                elif plan.first and position == 0:
                    forced[step].append((row, self._tables.token_of[plan.first], -1))
            for step in range(len(steps), self.steps):
                forced[step].append((row, self._tables.eos_id, -1))
        return forced

    def _needed_tone_rows(self) -> list[list[int]]:
        """For each step the row of the tone bias that each plan takes; row 0 asks for nothing."""
        rows = []
        for plan, positions in zip(self.plans, self._step_of, strict=True):
            first = _TONE_ROWS[plan.system]
            needed = [first + need if (need := plan.needs[position]) else 0 for position in positions]
            rows.append(needed + [0] * (self.steps - len(positions)))
        return list(map(list, zip(*rows, strict=True)))

    def _static_bias(self) -> torch.Tensor:
        """(plans, size): minus infinity for tokens that may stand nowhere in the plan's line."""
        bias = self._tables.answer_bias.repeat(len(self.plans), 1)
        token_of = self._tables.token_of
        taken = [
            (row, token_of[char]) for row, plan in enumerate(self.plans) for char in plan.taken if char in token_of
        ]
        if taken:
            rows, tokens = torch.from_numpy(np.array(taken)).T
            bias[rows, tokens] = FORBIDDEN
        return bias

    def _lay_out(self, copies: int, device: torch.device) -> None:
        """Move the tables to where the logits are, and repeat what a plan's rows share; once, at the first step."""
        forced = self._forced.repeat(copies, axis=1)
        forced[0] = forced[0] * copies + np.arange(forced.shape[1]) % copies
        self._rows, self._tokens_of_rows, self._sources_of_rows = torch.from_numpy(forced).to(device)
        tables = (self._bias, self._tone_bias, self._tone_rows)
        self._bias, self._tone_bias, self._tone_rows = (table.to(device) for table in tables)
        self._laid_out_for = copies, device

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary) with minus infinity for every token that would leave the form."""
        rows, size = scores.shape
        if size != self._tables.size or rows % len(self.plans):
            raise ValueError(
                f"the form was planned for {len(self.plans)} prompts and a vocabulary of {self._tables.size}; "
                f"the logits have {rows} rows of {size}"
            )
        copies = rows // len(self.plans)
        if self._laid_out_for != (copies, scores.device):
            self._lay_out(copies, scores.device)
        generated = input_ids[:, self._prompt_length :]
        step = min(generated.shape[1], self.steps - 1)  # past the end: nothing but end tokens
        forced = slice(self._forced_ends[step] * copies, self._forced_ends[step + 1] * copies)
        if forced.stop - forced.start == rows:
            free = torch.full_like(scores, FORBIDDEN)
        else:
            free = self._free_scores(step, generated, scores)
        return self._force(step, forced, generated, scores, free) if forced.stop > forced.start else free

    # The library asks `inspect.signature` of each processor in each step, half as long as ours then works; it takes a
    # ready one as it is (PEP 362).
    __call__.__signature__ = inspect.signature(__call__)  # type: ignore[attr-defined]

    def _free_scores(self, step: int, generated: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of rows that may choose at `step`: no character of the upper line, none used already."""
        bias = self._bias
        if self._some_tones[step]:
            bias = bias + self._tone_bias.index_select(0, self._tone_rows[step])
        plans, size = bias.shape
        free = (scores.view(plans, -1, size) + bias[:, None]).view(-1, size)
        free.scatter_(1, generated, FORBIDDEN)
        return self._word_bans.apply(step, generated, free)

    def _force(
        self, step: int, forced: slice, generated: torch.Tensor, scores: torch.Tensor, free: torch.Tensor
    ) -> torch.Tensor:
        """Leave one token of `free` to the rows whose plan decides this step: a mark, a repeated character or the end.

        Only these rows are touched: they are few until the last step, and `free` is nobody else's.
        """
        rows, token = self._rows[forced], self._tokens_of_rows[forced]
        if self._some_repeat[step]:
            source = self._sources_of_rows[forced]
            token = torch.where(source >= 0, generated[rows, source], token)
        # A score of minus infinity from elsewhere (n-gram blocking) would leave the row without any token.
        kept = scores[rows, token].clamp_(min=LEAST_DEMANDED)
        free.index_fill_(0, rows, FORBIDDEN)
        free[rows, token] = kept.to(free.dtype)
        return free

    def answers(self, sequences: torch.Tensor) -> list[str]:
        """Read the lower lines out of what `generate` returned, prompts included; marks are the upper lines' own.

        Raises:
            ValueError: lines that are too short, or that hold what no score allowed. Sampling among beams writes such
                lines (`do_sample` with `num_beams`): where fewer candidates than it draws are possible, it takes
                impossible ones.
        """
        copies = len(sequences) // len(self.plans)
        tokens = sequences[:, self._prompt_length :].tolist()
        if len(tokens[0]) < self.steps - 1:
            raise ValueError(f"the lines have {len(tokens[0])} of {self.steps} tokens: give max_new_tokens=form.steps")
        text_of = self._tables.character_of
        lines = []
        for row, line in enumerate(tokens):
            plan = self.plans[row // copies]
            lower = list(plan.upper)
            for position, token in zip(self._step_of[row // copies], line, strict=False):
                if not plan.is_mark[position]:
                    if token not in text_of:
                        raise ValueError(f"a line holds token {token}, which the form forbids: do not sample beams")
                    lower[position] = text_of[token]
            lines.append("".join(lower))
        return lines


def _step_of_positions(plan: FormPlan, tokens: Sequence[int | None]) -> dict[int, int]:
    """The step of decoding of each position of the line, in order; marks that the tokenizer drops take none."""
    kept = [position for position, token in enumerate(tokens) if token is not None or not plan.is_mark[position]]
    return {position: step for step, position in enumerate(kept)}
