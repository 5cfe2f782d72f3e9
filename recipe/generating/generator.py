"""Answers to many prompts: batches without padding, several distinct answers, likelihoods and ranking.

generator = Generator(model, tokenizer, DecodingSettings(num_return_sequences=3))
for answers in generator.answer(["春满神州花似锦", "海阔凭鱼跃"]):
    print(answers[0].prompt, answers[0].text, answers[0].log_probability)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from recipe.couplet.character_forms import Reading, in_traditional
from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.couplet import Couplet
from recipe.generating.form_holding import hold_form
from recipe.generating.values import check_settings
from recipe.generating.variety import varied
from recipe.language import _
from recipe.model.tokenization import encode_prompt, read_by, unknown_characters
from recipe.rows.cleaning import RejectedRowError
from recipe.settings import DecodingSettings

# Rounds of sampling that look for answers not yet found, before beam search adds the likeliest others.
SAMPLING_ROUNDS = 3
# best_of: what an answer with all its tones right gains over one with none, and one nat of parallelism, in mean
# log-probability. Both move a line by about as much as the likelihoods of good and bad samples differ.
_TONE_WEIGHT, _PARALLELISM_WEIGHT = 1.0, 0.5
# Between the seeds of batches: odd, so that no two of them are alike, and far from the steps between seeds that people
# count up; 2**64 over the golden ratio (Knuth, The Art of Computer Programming 3, 6.4).
_SEED_STEP = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class PreparedPrompt:
    """What is known of a prompt before anything is decoded.

    Attributes:
        prompt: as typed; answers carry it.
        reading: how the model sees it.
        ids: its opening as tokens.
        plan: what its form asks of the answer; None where there is no form, or no room.
        new_tokens: tokens of the longest answer, the end token included.
        unknown: the characters that the model cannot see, since its vocabulary lacks them.
        refusal: why it cannot be answered; None if it can.
    """

    prompt: str
    reading: Reading
    ids: list[int]
    plan: Any
    new_tokens: int
    unknown: list[str]
    refusal: str | None


@dataclass(frozen=True)
class Answer:
    """What the model wrote after a prompt, and what speaks for it.

    Attributes:
        log_probability: mean natural logarithm of the probability that the model itself (temperature 1, no form) gives
            to each token of the answer, the end token included; 0 is certainty.
        tones: the format's share of right tones, 0 to 1 (`TextFormat.tone_share`); None where tones say nothing.
        parallelism: what the parallelism scorer says, if one was given.
    """

    prompt: str
    text: str
    log_probability: float
    tones: float | None
    parallelism: float | None = None

    @property
    def rank(self) -> float:
        """What `best_of` sorts by: the log-probability, raised by right tones and by parallelism."""
        parallelism = _PARALLELISM_WEIGHT * (self.parallelism or 0.0)
        return self.log_probability + _TONE_WEIGHT * (self.tones or 0.0) + parallelism


class Generator:
    """A model that answers prompts of its text format; the tables of the form are made once.

    Attributes:
        form: the form that answers are held in; None where the model continues freely.
        banned_words: words that no answer holds, also in the forms that the model sees them in.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        settings: DecodingSettings,
        banned_words: Sequence[str] = (),
        text_format: TextFormat | None = None,
        parallelism: Callable[[str, str], float] | None = None,
    ) -> None:
        """Check the settings and make the tables.

        Args:
            banned_words: words that no answer holds (`settings.banned_words` names a file; this is its content).
            text_format: what the model was trained on; None stands for couplets with the default separator.
            parallelism: rates (upper, lower), in nats a position as `CharacterAssociation`; counts in `best_of`.

        Raises:
            UserError: settings that contradict each other, a format without the form that they ask for, or a tokenizer
                with which it cannot be held.
        """
        check_settings(settings, banned_words)
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.text_format = text_format or Couplet()
        forms = {form for word in banned_words for form in (word, read_by(tokenizer, word).text)}
        self.banned_words = tuple(sorted(forms))
        self._parallelism = parallelism
        self.form = None
        if not settings.continue_freely:
            if self.text_format.form is None:
                raise UserError(
                    _(
                        "the model was trained on {format} texts, which have no form to hold; add --continue_freely"
                    ).format(format=self.text_format.name)
                )
            vocabulary_size = model.config.vocab_size
            self.form = hold_form(self.text_format.form, tokenizer, vocabulary_size, settings, self.banned_words)
        self._wanted = max(settings.best_of or 1, settings.num_return_sequences)

    def prepare(self, prompts: Sequence[str], first: str = "") -> list[PreparedPrompt]:
        """Encode and plan prompts, and say which cannot be answered, without decoding anything.

        Args:
            first: the character that the answers are to begin with (藏头); empty where they may choose.
        """
        return [self._prepare(prompt, first) for prompt in prompts]

    def _prepare(self, prompt: str, first: str) -> PreparedPrompt:
        reading, ids, unknown = self._read(prompt)
        new_tokens = self.form.most_tokens(prompt) if self.form else self.settings.max_new_tokens
        needed, longest = len(ids) + new_tokens, self.model.config.max_position_embeddings
        plan, refusal = None, None
        if needed > longest:
            refusal = _("{prompt}…: takes {needed} tokens; the model has room for {longest}").format(
                prompt=prompt[:20], needed=needed, longest=longest
            )
        elif self.form is not None:
            plan = self.form.plan(reading.text, first)
            refusal = self.form.refusal(plan)
        elif not prompt:
            refusal = _("an empty line cannot be continued")
        return PreparedPrompt(prompt, reading, ids, plan, new_tokens, unknown, refusal)

    def _read(self, prompt: str) -> tuple[Reading, list[int], list[str]]:
        """Return how the model sees a prompt, that as tokens, and the characters that it cannot see at all."""
        ids = encode_prompt(self.tokenizer, self.text_format.opening(prompt))
        if self.tokenizer.unk_token_id not in ids:
            return Reading(prompt), ids, []
        reading = read_by(self.tokenizer, prompt)
        ids = encode_prompt(self.tokenizer, self.text_format.opening(reading.text))
        return reading, ids, unknown_characters(self.tokenizer, reading.text)

    def answer(self, prompts: Sequence[str], seed: int | None = None) -> list[list[Answer]]:
        """Return the answers of each prompt, the best or first drawn one first.

        Fewer than asked for are returned only where no more distinct ones exist, or, when continuing freely, were
        found. The draws are those of the command with the same seed; the global generators are left as they were.

        Args:
            prompts: as typed; they are cleaned as training rows are.
            seed: of the draws; unset takes the settings'.

        Raises:
            UserError: prompts that cannot be answered, all of them at once, before anything is decoded.
        """
        cleaned, reasons = [], []
        for typed in prompts:
            try:
                cleaned.append(self.text_format.read_prompt(typed).text)
            except RejectedRowError as rejection:
                reasons.append(unusable(typed, rejection))
        prepared = self.prepare(cleaned)
        if reasons := [*reasons, *(one.refusal for one in prepared if one.refusal is not None)]:
            raise UserError(reasons)
        answers: list[list[Answer]] = [[] for _ in prompts]
        seed = self.settings.seed if seed is None else seed
        for batch in self.batches(prepared):
            found = self.answer_batch([prepared[index] for index in batch], seed, batch[0])
            for index, one in zip(batch, found, strict=True):
                answers[index] = one
        return answers

    @contextmanager
    def seeded(self, seed: int | None = None) -> Iterator[None]:
        """Draw from a seed (unset: the settings') inside the block, and give the global generators their state back."""
        device = self.model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed if seed is None else seed)
            yield

    def answer_each(self, prompts: Sequence[PreparedPrompt]) -> Iterator[tuple[int, list[Answer]]]:
        """Yield (index, answers) batch by batch, prompts of one length together, so in another order than given.

        None of them may be refused.
        """
        for batch in self.batches(prompts):
            yield from zip(batch, self._answer_batch([prompts[index] for index in batch]), strict=True)

    def batches(self, prompts: Sequence[PreparedPrompt]) -> list[list[int]]:
        """Return the indices of the prompts that are decoded together: of one length, and not too many."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            by_length[len(prompt.ids)].append(index)
        size = max(1, self.settings.generation_batch_size // max(self._wanted, self.settings.num_beams))
        return [
            indices[start : start + size]
            for _, indices in sorted(by_length.items())
            for start in range(0, len(indices), size)
        ]

    def answer_batch(self, prompts: Sequence[PreparedPrompt], seed: int, place: int) -> list[list[Answer]]:
        """Return the answers to each prompt of one of `batches`; the draws depend on `seed` and `place` alone.

        Args:
            place: that of the batch's first prompt among all that the job answers.
        """
        with self.seeded((seed + place * _SEED_STEP) % 2**64):
            return self._answer_batch(prompts)

    def _answer_batch(self, prompts: Sequence[PreparedPrompt]) -> list[list[Answer]]:
        """Collect the distinct answers to prompts of one length; rank them if the best are asked for."""
        pools: list[dict[str, Answer]] = [{} for _ in prompts]
        wanted = [self._possible_answers(prompt) for prompt in prompts]
        if self.settings.do_sample:
            for _ in range(SAMPLING_ROUNDS):
                self._add_answers(prompts, pools, wanted, is_sampled=True)
        # Beam search as wide as the number of answers finds that many distinct ones, if there are so many.
        self._add_answers(prompts, pools, wanted, is_sampled=False)
        found = [list(pool.values()) for pool in pools]
        count = self.settings.num_return_sequences
        if not self.settings.best_of:
            return [answers[:count] for answers in found]
        ranked = [sorted(answers, key=lambda answer: -answer.rank) for answers in found]
        return [varied(answers, count, lambda answer: answer.text) for answers in ranked]

    def _possible_answers(self, prompt: PreparedPrompt) -> int:
        """How many answers to look for: one where the form leaves no choice at all (an upper line of marks)."""
        return self._wanted if self.form is None or self.form.has_choice(prompt.plan) else 1

    def _add_answers(
        self,
        prompts: Sequence[PreparedPrompt],
        pools: list[dict[str, Answer]],
        wanted: Sequence[int],
        is_sampled: bool,
    ) -> None:
        lacking = [index for index, pool in enumerate(pools) if len(pool) < wanted[index]]
        if not lacking:
            return
        rows = self._decode([prompts[index] for index in lacking], is_sampled)
        for index, answers in zip(lacking, rows, strict=True):
            for answer in answers:
                if len(pools[index]) < wanted[index]:
                    pools[index].setdefault(answer.text, answer)

    def _decode(self, prompts: Sequence[PreparedPrompt], is_sampled: bool) -> list[list[Answer]]:
        """Run the model once over prompts of one length; each gets as many answers as wanted, perhaps equal ones."""
        ids = torch.tensor([prompt.ids for prompt in prompts], device=self.model.device)
        form = self.form.processor([prompt.plan for prompt in prompts], ids.shape[1]) if self.form else None
        config = self.generation_config(form.steps if form else self.settings.max_new_tokens, is_sampled)
        generate: Any = self.model.generate
        with generating(self.model, config):
            output = generate(ids, attention_mask=torch.ones_like(ids), logits_processor=[form] if form else [])
        new_tokens = output.sequences[:, ids.shape[1] :]
        texts = (
            form.answers(output.sequences)
            if form
            else self.tokenizer.batch_decode(new_tokens, skip_special_tokens=True)
        )
        rated = zip(texts, mean_log_probabilities(output, ids.shape[1], config.eos_token_id), strict=True)
        copies = len(texts) // len(prompts)
        answers = [self._rated(prompts[row // copies], *one) for row, one in enumerate(rated)]
        return [answers[start : start + copies] for start in range(0, len(answers), copies)]

    def generation_config(self, steps: int, is_sampled: bool) -> GenerationConfig:
        """Return what the settings ask of the library for answers of at most `steps` tokens."""
        # Beams return no more lines than they are; one of them is greedy decoding. The library's sampling among beams
        # is never used: it draws more candidates than may be possible, and then takes impossible ones.
        beams = 1 if is_sampled else max(self.settings.num_beams, self._wanted)
        sampling = {
            "temperature": self.settings.temperature,
            "top_k": self.settings.top_k,
            "top_p": self.settings.top_p,
        }
        return GenerationConfig(
            max_new_tokens=steps,
            do_sample=is_sampled,
            num_beams=beams,
            num_return_sequences=self._wanted,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
            output_logits=True,
            return_dict_in_generate=True,
            **(sampling if is_sampled else {}),
        )

    def _rated(self, prompt: PreparedPrompt, text: str, log_probability: float) -> Answer:
        seen = prompt.reading.text
        shown = in_traditional(text, set(prompt.prompt)) if prompt.reading.is_traditional else text
        parallelism = self._parallelism(seen, text) if self._parallelism else None
        return Answer(prompt.prompt, shown, log_probability, self.text_format.tone_share(seen, text), parallelism)


def unusable(typed: str, rejection: RejectedRowError) -> str:
    """Return why a prompt cannot be answered that no training row could hold."""
    return _("{text!r} cannot be answered: {reason}").format(text=typed[:40], reason=_(rejection.reason))


@contextmanager
def generating(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Let `model` generate by `config` alone.

    `generate` fills unset values of a passed configuration from the model's own (transformers 5), so a published
    model with, say, n-gram blocking in its generation_config.json would break the form.
    """
    own_config, was_training = model.generation_config, model.training
    model.generation_config = config
    model.eval()
    try:
        yield
    finally:
        model.generation_config = own_config
        model.train(was_training)


def mean_log_probabilities(output: Any, prompt_length: int, eos_id: int) -> list[float]:
    """For each returned row the mean log-probability of its tokens up to the first end token, by the raw logits."""
    tokens = output.sequences[:, prompt_length:]
    beams = output.get("beam_indices")
    total = torch.zeros(len(tokens), device=tokens.device)
    ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    count = torch.zeros_like(total)
    for step in range(tokens.shape[1]):
        logits = output.logits[step].float()
        if beams is not None:
            logits = logits[beams[:, step].clamp(min=0)]
        chosen = logits.gather(1, tokens[:, step, None]).squeeze(1) - logits.logsumexp(dim=-1)
        total += chosen.masked_fill(ended, 0.0)
        count += ~ended
        ended |= tokens[:, step] == eos_id
    return (total / count).tolist()
