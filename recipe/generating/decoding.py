"""Decoding that cannot leave the couplet's form: a batched `LogitsProcessor` over tables made once from the tokenizer.

It holds the form in plain `generate`, whatever the decoding mode (greedy, beams, sampling):

    tables = FormTables(tokenizer, model.config.vocab_size)
    prompts = tokenizer([upper + "-" for upper in uppers], return_tensors="pt", padding=True)
    form = FormLogitsProcessor(tables, uppers, prompt_length=prompts.input_ids.shape[1])
    output = model.generate(**prompts, max_new_tokens=form.steps, logits_processor=[form])
    lowers = form.lower_lines(output)

Every mask is a function of the ids so far alone, so rows may be reordered (beam search) and repeated (several returned
sequences). n-gram blocking contradicts the form, which asks for repetitions: leave `no_repeat_ngram_size` at 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

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
_TONE_NEEDS = (NO_NEED, Tone.LEVEL, Tone.OBLIQUE, Tone.EITHER)
DEFAULT_TONE_STRENGTH = 3.0


class FormTables:
    """What the form needs to know about a vocabulary: which tokens may answer, their tones, the banned words.

    Attributes:
        size: width of the model's logits.
        eos_id: the token that ends a line.
        token_of: every Chinese character that is one token, and its id; banned single characters included.
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
        self._encoded: dict[str, int | None] = dict(self.token_of)
        self._banned = tuple(dict.fromkeys(word for word in banned_words if word))
        self.words = WordTables(self._banned, self.token_of, vocabulary_size)
        self._answers = self.token_of.keys() - set(self._banned)
        self.answer_bias = self._make_answer_bias()
        self.allowed = cache(self._find_allowed)
        self.tone_tables = cache(self._make_tone_tables)
        self.tone_bias = cache(self._make_tone_bias)

    def _find_allowed(self, system: ToneSystem, need: Tone) -> frozenset[str]:
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
        if unseen := [char for char in dict.fromkeys(text) if char not in self._encoded]:
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
        for used_before, position in enumerate(plan.fresh_positions):
            need = plan.needs[position] if policy is TonePolicy.STRICT else NO_NEED
            allowed = self.allowed(plan.system, need)
            left = len(allowed) - len(allowed & plan.taken)
            if left - used_before - banned_at[position] < 1:
                return (
                    f"{plan.upper!r}: position {position + 1} may be left without a character. The vocabulary has "
                    f"{left} for it{' that fit strict tones' if need else ''}, earlier positions may use up "
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
        self._kept = list(map(_decoded_positions, self.plans, self._tokens))
        self.steps = max(map(len, self._kept)) + 1
        step_of = [{position: step for step, position in enumerate(kept)} for kept in self._kept]
        self._fixed, self._sources = self._forced_tables(step_of)
        self._is_forced = (self._fixed >= 0) | (self._sources >= 0)
        self._some_forced = self._is_forced.any(dim=0).tolist()
        self._all_forced = self._is_forced.all(dim=0).tolist()
        self._bias = self._static_bias()
        self._tone_bias = tables.tone_bias(tones, tone_strength)
        self._tone_rows = self._needed_tone_rows()
        self._some_tones = self._tone_rows.any(dim=0).tolist()
        self._word_bans = WordBans(tables.words, self.plans, step_of)

    def _forced_tables(self, step_of: Sequence[dict[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Two (plans, steps) tables: the token that a step must take, and the earlier step it must repeat; -1: none."""
        fixed = [[self._tables.eos_id] * self.steps for _ in self.plans]
        sources = [[-1] * self.steps for _ in self.plans]
        for row, (plan, kept, tokens) in enumerate(zip(self.plans, self._kept, self._tokens, strict=True)):
            for step, position in enumerate(kept):
                token = tokens[position]
                fixed[row][step] = token if plan.is_mark[position] and token is not None else -1
                if plan.sources[position] != position:
                    sources[row][step] = step_of[row][plan.sources[position]]
        return torch.tensor(fixed), torch.tensor(sources)

    def _static_bias(self) -> torch.Tensor:
        """(plans, size): minus infinity for tokens that may stand nowhere in the plan's line."""
        bias = self._tables.answer_bias.repeat(len(self.plans), 1)
        token_of = self._tables.token_of
        taken = [
            (row, token_of[char]) for row, plan in enumerate(self.plans) for char in plan.taken if char in token_of
        ]
        rows, tokens = zip(*taken, strict=True) if taken else ((), ())
        bias[list(rows), list(tokens)] = _FORBIDDEN
        return bias

    def _needed_tone_rows(self) -> torch.Tensor:
        """(plans, steps): the row of the tone bias that a step takes; row 0 asks for nothing."""
        systems = list(ToneSystem)
        rows = [[0] * self.steps for _ in self.plans]
        for row, (plan, kept) in enumerate(zip(self.plans, self._kept, strict=True)):
            for step, position in enumerate(kept):
                if need := plan.needs[position]:
                    rows[row][step] = systems.index(plan.system) * len(_TONE_NEEDS) + int(need)
        return torch.tensor(rows)

    def _move_to(self, device: torch.device) -> None:
        if self._bias.device != device:
            for name in ("_fixed", "_sources", "_is_forced", "_bias", "_tone_bias", "_tone_rows"):
                setattr(self, name, getattr(self, name).to(device))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary) with minus infinity for every token that would leave the form."""
        rows, size = scores.shape
        if size != self._tables.size or rows % len(self.plans):
            raise ValueError(
                f"the form was planned for {len(self.plans)} prompts and a vocabulary of {self._tables.size}; "
                f"the logits have {rows} rows of {size}"
            )
        self._move_to(scores.device)
        generated = input_ids[:, self._prompt_length :]
        step = min(generated.shape[1], self.steps - 1)  # past the end: nothing but end tokens
        if self._all_forced[step]:
            free = torch.full_like(scores, _FORBIDDEN)
        else:
            free = self._free_scores(step, generated, scores)
        return self._force(step, generated, scores, free) if self._some_forced[step] else free

    def _free_scores(self, step: int, generated: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of rows that may choose at `step`: no character of the upper line, none used already."""
        bias = self._bias
        if self._some_tones[step]:
            bias = bias + self._tone_bias[self._tone_rows[:, step]]
        plans, size = bias.shape
        free = (scores.view(plans, -1, size) + bias[:, None]).view(-1, size)
        free.scatter_(1, generated, _FORBIDDEN)
        return self._word_bans.apply(step, generated, free)

    def _force(self, step: int, generated: torch.Tensor, scores: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
        """Leave one token to the rows whose plan decides this step: a mark, a repeated character or the end."""
        copies = len(scores) // len(self.plans)
        fixed, source, is_forced = (
            table[:, step].repeat_interleave(copies)[:, None] for table in (self._fixed, self._sources, self._is_forced)
        )
        token = fixed.clamp(min=0)
        if generated.shape[1]:
            token = torch.where(source >= 0, generated.gather(1, source.clamp(min=0)), token)
        kept = torch.where(is_forced, scores, free).gather(1, token)
        # A score of minus infinity from elsewhere (n-gram blocking) would leave the row without any token.
        kept = torch.where(is_forced, kept.clamp(min=torch.finfo(scores.dtype).min), kept)
        return free.masked_fill(is_forced, _FORBIDDEN).scatter(1, token, kept)

    def lower_lines(self, sequences: torch.Tensor) -> list[str]:
        """Read the lower lines out of what `generate` returned, prompts included; marks are the upper lines' own."""
        copies = len(sequences) // len(self.plans)
        tokens = sequences[:, self._prompt_length :].tolist()
        if len(tokens[0]) < self.steps - 1:
            raise ValueError(f"the lines have {len(tokens[0])} of {self.steps} tokens: give max_new_tokens=form.steps")
        text_of = {token: char for char, token in self._tables.token_of.items()}
        lines = []
        for row, line in enumerate(tokens):
            plan, kept = self.plans[row // copies], self._kept[row // copies]
            written = dict(zip(kept, line, strict=False))
            lines.append(
                "".join(
                    char if plan.is_mark[position] else text_of[written[position]]
                    for position, char in enumerate(plan.upper)
                )
            )
        return lines


class UpperLineLogitsProcessor(LogitsProcessor):
    """Lets `generate` go on from a line's first characters to a whole upper line that ends in an oblique tone (仄).

    No character comes twice. Generation has to be stopped after `line_length` characters by `max_new_tokens`.
    """

    def __init__(self, tables: FormTables, line_length: int, system: ToneSystem) -> None:
        self._bias = tables.answer_bias
        is_oblique = (tables.tone_tables()[system] & Tone.OBLIQUE) > 0
        self._last_bias = self._bias.masked_fill(~is_oblique, _FORBIDDEN)
        self._line_length = line_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores` (rows, vocabulary); `input_ids` are `[CLS]` and the line so far."""
        is_last = input_ids.shape[1] == self._line_length
        bias = self._last_bias if is_last else self._bias
        return (scores + bias.to(scores.device)).scatter(1, input_ids, _FORBIDDEN)


def _decoded_positions(plan: FormPlan, tokens: Sequence[int | None]) -> list[int]:
    """The positions of the line that take a step of decoding: all but marks that the tokenizer drops."""
    return [position for position, token in enumerate(tokens) if token is not None or not plan.is_mark[position]]
