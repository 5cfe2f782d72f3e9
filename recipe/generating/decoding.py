"""Decoding that cannot leave the couplet's form: a batched `LogitsProcessor` over tables made once from the tokenizer.

It holds the form in plain `generate`, in greedy decoding, beam search and sampling:

    tables = FormTables(tokenizer, model.config.vocab_size)
    prompts = tokenizer([upper + "-" for upper in uppers], return_tensors="pt", padding=True)
    form = FormLogitsProcessor(tables, uppers, prompt_length=prompts.input_ids.shape[1])
    output = model.generate(**prompts, max_new_tokens=form.steps, logits_processor=[form])
    lowers = form.lower_lines(output)

Every mask is a function of the ids so far alone, so rows may be reordered (beam search) and repeated (several returned
sequences). n-gram blocking contradicts the form, which asks for repetitions: leave `no_repeat_ngram_size` at 0.
"""

from __future__ import annotations

import inspect
import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from recipe.couplet.form import is_chinese_character
from recipe.couplet.plan import NO_NEED, FormPlan, TonePolicy, plan_form
from recipe.couplet.tones import Tone, ToneSystem, tone_of
from recipe.errors import UserError
from recipe.generating.banned_words import WordBans, WordTables

# Any tokenizer of words or syllables merges something here; one of characters gives nine tokens.
_PROBE = "我们没有一个中国人"
_PROBED_CANDIDATES = 50
_FORBIDDEN = float("-inf")
# What a token that the form demands has at least: low enough to count as improbable, high enough to be divided by a
# temperature and summed along a beam.
_LEAST_DEMANDED = -1e4
_TONE_NEEDS = (NO_NEED, Tone.LEVEL, Tone.OBLIQUE, Tone.EITHER)
# The first of a system's rows in the tone bias; one row for each need follows.
_TONE_ROWS = {system: index * len(_TONE_NEEDS) for index, system in enumerate(ToneSystem)}
DEFAULT_TONE_STRENGTH = 3.0


class FormTables:
    """What the form needs to know about a vocabulary: which tokens may answer, their tones, the banned words.

    Attributes:
        size: width of the model's logits.
        eos_id: the token that ends a line.
        token_of: every Chinese character that is one token, and its id; banned single characters included.
        character_of: the same, the other way round.
        words: the banned words of several characters.
        answer_bias: (size,) float, 0 for tokens that may answer and minus infinity for all others.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, vocabulary_size: int, banned_words: Iterable[str] = ()
    ) -> None:
        """Make the tables; `vocabulary_size` is the model's `config.vocab_size`.

        Raises:
            UserError: the tokenizer is not one in which one character is one token.
        """
        self.size = vocabulary_size
        self.eos_id = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        self._tokenizer = tokenizer
        self.token_of = _one_character_tokens(tokenizer, vocabulary_size)
        _check_one_character_one_token(tokenizer, self.token_of, self.eos_id)
        self.character_of = {token: char for char, token in self.token_of.items()}
        self._encoded: dict[str, int | None] = dict(self.token_of)
        self._banned = tuple(dict.fromkeys(word for word in banned_words if word))
        self.words = WordTables(self._banned, self.token_of, vocabulary_size)
        self._answers = self.token_of.keys() - set(self._banned)
        self.answer_bias = self._make_answer_bias()
        self.allowed = cache(self._find_allowed)
        self.tone_tables = cache(self._make_tone_tables)
        self.tone_bias = cache(self._make_tone_bias)

    def _find_allowed(self, system: ToneSystem, need: int) -> frozenset[str]:
        """The characters that may answer where all tone bits of `need` are asked for."""
        return frozenset(char for char in self._answers if tone_of(char, system) & need == need)

    def _make_tone_tables(self) -> dict[ToneSystem, torch.Tensor]:
        """For each system the tone bits of each token, (size,) int64; 0 for tokens that never answer."""
        tables = {}
        for system in ToneSystem:
            tables[system] = torch.zeros(self.size, dtype=torch.long)
            for char in self._answers:
                tables[system][self.token_of[char]] = int(tone_of(char, system))
        return tables

    def _make_tone_bias(self, policy: TonePolicy, strength: float) -> torch.Tensor:
        """(systems x needs, size): what is added to each token's score where a system and tone bits are asked for."""
        rows = []
        for system in ToneSystem:
            for need in _TONE_NEEDS:
                missing = int(need) & ~self.tone_tables()[system]
                count = (missing & 1) + (missing >> 1)
                rows.append(
                    torch.zeros(self.size).masked_fill(count > 0, _FORBIDDEN)
                    if policy is TonePolicy.STRICT
                    else -strength * count.float()
                )
        return torch.stack(rows)

    def _make_answer_bias(self) -> torch.Tensor:
        bias = torch.full((self.size,), _FORBIDDEN)
        bias[[self.token_of[char] for char in self._answers]] = 0.0
        return bias

    def encode_characters(self, text: str) -> list[int | None]:
        """The token of each character; None for one that the tokenizer drops (whitespace, in most vocabularies)."""
        # A call of the tokenizer costs as much as a step of a small model; texts repeat their characters.
        try:
            return [self._encoded[char] for char in text]
        except KeyError:
            unseen = [char for char in dict.fromkeys(text) if char not in self._encoded]
            tokens = self._tokenizer(unseen, add_special_tokens=False).input_ids
            self._encoded |= {char: ids[0] if ids else None for char, ids in zip(unseen, tokens, strict=True)}
            return [self._encoded[char] for char in text]

    def unknown_characters(self, text: str) -> list[str]:
        """The distinct characters of `text` that the vocabulary lacks, in order."""
        tokens = zip(text, self.encode_characters(text), strict=True)
        return list(dict.fromkeys(char for char, token in tokens if token == self._tokenizer.unk_token_id))

    def refusal(self, plan: FormPlan, policy: TonePolicy) -> str | None:
        """Why `plan` cannot be promised an answer; None if every way of decoding reaches its end.

        At each fresh position, the characters that are allowed there at all must outnumber those that earlier
        positions may have used up and those that banned words may take away, counted for the worst case: then no
        choice on the way can leave a later position without a character.
        """
        if not plan.upper:
            return "an empty upper line has no answer"
        if found := [word for word in self._banned if word in plan.upper]:
            return f"{plan.upper!r} contains the banned word {found[0]!r}"
        banned_at = self.words.worst_case_bans(plan)
        needs = plan.needs if policy is TonePolicy.STRICT else (NO_NEED,) * len(plan.upper)
        fewest = min(len(self.allowed(plan.system, need)) for need in set(needs))
        if fewest - len(plan.taken) - len(plan.upper) - sum(banned_at.values()) >= 1:
            return None  # enough everywhere, without counting: the usual case
        for used_before, position in enumerate(plan.fresh_positions):
            allowed = self.allowed(plan.system, needs[position])
            left = len(allowed) - len(allowed & plan.taken)
            if left - used_before - banned_at[position] < 1:
                return (
                    f"{plan.upper!r}: position {position + 1} may be left without a character. The vocabulary has "
                    f"{left} for it{' that fit strict tones' if needs[position] else ''}, earlier positions may use up "
                    f"{used_before} of them and banned words {banned_at[position]}"
                )
        return None


def _one_character_tokens(tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> dict[str, int]:
    """The tokens that are one Chinese character each; not its compatibility doubles, which look just like another."""
    special = set(tokenizer.all_special_ids)
    return {
        token: index
        for token, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if len(token) == 1
        and is_chinese_character(token)
        and unicodedata.is_normalized("NFKC", token)
        and index < vocabulary_size
        and index not in special
    }


def _check_one_character_one_token(
    tokenizer: PreTrainedTokenizerBase, token_of: dict[str, int], eos_id: int | None
) -> None:
    probed = dict(list(token_of.items())[:_PROBED_CANDIDATES])
    encoded = tokenizer("".join(probed), add_special_tokens=False).input_ids
    probe = tokenizer(_PROBE, add_special_tokens=False).input_ids
    if not probed or encoded != list(probed.values()) or len(probe) != len(_PROBE) or eos_id is None:
        raise UserError(
            "the form can be held only with a tokenizer in which one Chinese character is one token and which has an "
            f"end token; this one ({type(tokenizer).__name__}) knows {len(token_of)} single characters, makes "
            f"{len(probe)} tokens of the {len(_PROBE)} characters {_PROBE}, and its end token is {eos_id}. Use a model "
            "trained by this recipe, or --continue_freely"
        )


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
        uppers: Sequence[str],
        prompt_length: int,
        tones: TonePolicy = TonePolicy.PREFER,
        tone_strength: float = DEFAULT_TONE_STRENGTH,
    ) -> None:
        """Plan the lower lines of `uppers`.

        Args:
            prompt_length: tokens of a row of the prompts, left padding included.
            tone_strength: what `prefer` takes off the logit of a character for each tone it should have and has not
                (natural logarithm: 3 makes it about 20 times less likely).

        Raises:
            UserError: upper lines that cannot be answered, all of them, each with its reason.
        """
        self._tables = tables
        self._prompt_length = prompt_length
        self.plans = [plan_form(upper, tones) for upper in uppers]
        if reasons := [reason for plan in self.plans if (reason := tables.refusal(plan, tones))]:
            raise UserError(reasons)
        self._tokens = [tables.encode_characters(upper) for upper in uppers]
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
            bias[rows, tokens] = _FORBIDDEN
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
            free = torch.full_like(scores, _FORBIDDEN)
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
        free.scatter_(1, generated, _FORBIDDEN)
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
        kept = scores[rows, token].clamp_(min=_LEAST_DEMANDED)
        free.index_fill_(0, rows, _FORBIDDEN)
        free[rows, token] = kept.to(free.dtype)
        return free

    def lower_lines(self, sequences: torch.Tensor) -> list[str]:
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


class UpperLineLogitsProcessor(LogitsProcessor):
    """Lets `generate` go on from a line's first characters to a whole upper line that ends in an oblique tone (仄).

    No character comes twice. Generation has to be stopped after `line_length` characters by `max_new_tokens`.
    """

    def __init__(self, tables: FormTables, line_length: int, system: ToneSystem) -> None:
        self._bias = tables.answer_bias
        is_oblique = tables.tone_tables()[system] == Tone.OBLIQUE  # for certain: of any length there are enough
        self._last_bias = self._bias.masked_fill(~is_oblique, _FORBIDDEN)
        self._line_length = line_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary); `input_ids` are `[CLS]` and the line so far."""
        is_last = input_ids.shape[1] == self._line_length
        bias = self._last_bias if is_last else self._bias
        return (scores + bias.to(scores.device)).scatter(1, input_ids, _FORBIDDEN)


def _step_of_positions(plan: FormPlan, tokens: Sequence[int | None]) -> dict[int, int]:
    """The step of decoding of each position of the line, in order; marks that the tokenizer drops take none."""
    kept = [position for position, token in enumerate(tokens) if token is not None or not plan.is_mark[position]]
    return {position: step for step, position in enumerate(kept)}
