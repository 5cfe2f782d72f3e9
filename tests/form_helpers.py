"""A tokenizer for the form, fuzzed upper lines, and the form's rules written a second, slow way."""

from __future__ import annotations

import random

import torch
from tiny_models import character_tokenizer
from transformers import LogitsProcessor

from recipe.couplet.form import is_chinese_character, is_punctuation
from recipe.couplet.plan import TonePolicy, plan_form
from recipe.couplet.tones import tone_of
from recipe.generating.processor import DEFAULT_TONE_STRENGTH

CHARACTERS = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 160))
MARKS = "，。、；-"
NOISE = "abz019あé"


def form_tokenizer(characters=CHARACTERS):
    """A tokenizer of characters and marks that also has tokens that no line may hold."""
    return character_tokenizer([*characters, *MARKS], others=[*"ab1", "##一", "一丁"], lowercase=True)


def fuzzed_line(rng, length=None):
    """An upper line that repeats, with marks anywhere, unknown and foreign characters, spaces and emoji."""
    length = length or rng.choice([1, 2, 3, 5, 7, 7, 11, 24, 40])
    few = rng.sample(CHARACTERS, k=min(len(CHARACTERS), rng.choice([1, 2, 5, 40])))
    line = [rng.choice(few) for _ in range(length)]
    for position in range(length):
        if rng.random() < 0.25:
            line[position] = rng.choice(MARKS + NOISE + "“”…— 😀𠮷龘\u3000")
    text = "".join(line)
    return text if text.strip() else "丁"


class SlowForm(LogitsProcessor):
    """The form by its definition: each row, each token, each rule by itself."""

    def __init__(self, tokenizer, uppers, prompt_length, tones, banned_words=(), strength=DEFAULT_TONE_STRENGTH):
        self.tokenizer, self.uppers, self.prompt_length = tokenizer, uppers, prompt_length
        self.tones, self.strength, self.banned_words = tones, strength, banned_words
        self.text_of = {index: token for token, index in tokenizer.get_vocab().items()}

    def __call__(self, input_ids, scores):
        assert torch.isfinite(scores).any(dim=1).all()
        result = torch.full_like(scores, float("-inf"))
        copies = len(scores) // len(self.uppers)
        for row in range(len(scores)):
            upper = self.uppers[row // copies]
            for token, change in self.changes(upper, input_ids[row, self.prompt_length :].tolist()).items():
                result[row, token] = scores[row, token] + change
        return result

    def changes(self, upper, tokens):
        """The tokens that may come next, and what is added to the score of each."""
        encoded = [self.tokenizer(char, add_special_tokens=False).input_ids for char in upper]
        positions = [at for at, ids in enumerate(encoded) if ids or not is_punctuation(upper[at])]
        if len(tokens) >= len(positions):
            return {self.tokenizer.eos_token_id: 0.0}
        here = positions[len(tokens)]
        if is_punctuation(upper[here]):
            return {encoded[here][0]: 0.0}
        line = {at: self.text_of[token] for at, token in zip(positions, tokens, strict=False)}
        line |= {at: char for at, char in enumerate(upper) if is_punctuation(char)}
        for at in range(here):
            if upper[at] == upper[here]:
                return {tokens[positions.index(at)]: 0.0}
        return {
            token: change
            for token, char in self.text_of.items()
            if len(char) == 1 and is_chinese_character(char) and char not in upper and char not in line.values()
            if (change := self.change(upper, line, here, char)) is not None
        }

    def change(self, upper, line, here, char):
        """What is added to the score of `char` at `here`; None if it is forbidden."""
        plan = plan_form(upper, self.tones)
        missing = plan.needs[here] & ~tone_of(char, plan.system)
        known = line | {at: char for at in range(len(upper)) if upper[at] == upper[here]}
        for at in range(here):
            if not is_punctuation(upper[at]):
                known |= {later: line[at] for later in range(len(upper)) if upper[later] == upper[at]}
        text = "".join(known.get(at, "\0") for at in range(len(upper)))
        if any(word in text for word in self.banned_words) or (missing and self.tones is TonePolicy.STRICT):
            return None
        return -self.strength * missing.bit_count()


def fuzzed_lines(seed, count, length=None):
    rng = random.Random(seed)
    return [fuzzed_line(rng, length) for _ in range(count)]
