"""What the couplet's form needs to know about a vocabulary, made once from the tokenizer."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

import torch
from transformers import PreTrainedTokenizerBase

from recipe.couplet.form import is_chinese_character
from recipe.couplet.plan import NO_NEED, FormPlan, TonePolicy
from recipe.couplet.tones import Tone, ToneSystem, tone_of
from recipe.errors import UserError
from recipe.generating.banned_words import FORBIDDEN, WordTables
from recipe.language import _

# Any tokenizer of words or syllables merges something here; one of characters gives nine tokens.
_PROBE = "我们没有一个中国人"
_PROBED_CANDIDATES = 50
TONE_NEEDS = (NO_NEED, Tone.LEVEL, Tone.OBLIQUE, Tone.EITHER)


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
        self._tokenizer = tokenizer
        self.token_of, self.eos_id = character_tokens(tokenizer, vocabulary_size)
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
            for need in TONE_NEEDS:
                missing = int(need) & ~self.tone_tables()[system]
                count = (missing & 1) + (missing >> 1)
                rows.append(
                    torch.zeros(self.size).masked_fill(count > 0, FORBIDDEN)
                    if policy is TonePolicy.STRICT
                    else -strength * count.float()
                )
        return torch.stack(rows)

    def _make_answer_bias(self) -> torch.Tensor:
        bias = torch.full((self.size,), FORBIDDEN)
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

    def _can_begin(self, plan: FormPlan, policy: TonePolicy) -> bool:
        """Whether the character that the plan gives may stand at its first position."""
        need = plan.needs[0] if policy is TonePolicy.STRICT else NO_NEED
        return not plan.is_mark[0] and plan.first in self.allowed(plan.system, need) - plan.taken

    def refusal(self, plan: FormPlan, policy: TonePolicy) -> str | None:
        """Why `plan` cannot be promised an answer; None if every way of decoding reaches its end.

        At each fresh position, the characters that are allowed there at all must outnumber those that earlier
        positions may have used up and those that banned words may take away, counted for the worst case: then no
        choice on the way can leave a later position without a character.
        """
        if not plan.upper:
            return _("an empty upper line has no answer")
        if found := [word for word in self._banned if word in plan.upper]:
            return _("{line!r} contains the banned word {word!r}").format(line=plan.upper, word=found[0])
        if plan.first and not self._can_begin(plan, policy):
            return _("{line!r}: its lower line cannot begin with {character}").format(
                line=plan.upper, character=plan.first
            )
        banned_at = self.words.worst_case_bans(plan)
        needs = plan.needs if policy is TonePolicy.STRICT else (NO_NEED,) * len(plan.upper)
        fewest = min(len(self.allowed(plan.system, need)) for need in set(needs))
        if fewest - len(plan.taken) - len(plan.upper) - sum(banned_at.values()) >= 1:
            return None  # enough everywhere, without counting: the usual case
        for used_before, position in enumerate(plan.fresh_positions):
            allowed = self.allowed(plan.system, needs[position])
            left = len(allowed) - len(allowed & plan.taken)
            if left - used_before - banned_at[position] < 1:
                may_fail = (
                    _(
                        "{line!r}: position {position} may be left without a character. The vocabulary has {left} for "
                        "it that fit strict tones, earlier positions may use up {used} of them and banned words "
                        "{banned}"
                    )
                    if needs[position]
                    else _(
                        "{line!r}: position {position} may be left without a character. The vocabulary has {left} for "
                        "it, earlier positions may use up {used} of them and banned words {banned}"
                    )
                )
                return may_fail.format(
                    line=plan.upper, position=position + 1, left=left, used=used_before, banned=banned_at[position]
                )
        return None


def character_tokens(tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> tuple[dict[str, int], int]:
    """Return every Chinese character that is one token, with its id, and the token that ends a text.

    Not its compatibility doubles, which look just like another character.

    Raises:
        UserError: the tokenizer is not one in which one character is one token, or it has no end token.
    """
    special = set(tokenizer.all_special_ids)
    token_of = {
        token: index
        for token, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if len(token) == 1
        and is_chinese_character(token)
        and unicodedata.is_normalized("NFKC", token)
        and index < vocabulary_size
        and index not in special
    }
    eos_id = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    probed = dict(list(token_of.items())[:_PROBED_CANDIDATES])
    encoded = tokenizer("".join(probed), add_special_tokens=False).input_ids
    probe = tokenizer(_PROBE, add_special_tokens=False).input_ids
    if not probed or encoded != list(probed.values()) or len(probe) != len(_PROBE) or eos_id is None:
        raise UserError(
            _(
                "the form can be held only with a tokenizer in which one Chinese character is one token and which "
                "has an end token; this one ({kind}) knows {known} single characters, makes {tokens} tokens of the "
                "{length} characters {probe}, and its end token is {eos_id}. Use a model trained by this recipe, or "
                "--continue_freely"
            ).format(
                kind=type(tokenizer).__name__,
                known=len(token_of),
                tokens=len(probe),
                length=len(_PROBE),
                probe=_PROBE,
                eos_id=eos_id,
            )
        )
    return token_of, eos_id
