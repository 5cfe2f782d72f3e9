"""Lower lines for many upper lines: batches without padding, several distinct answers, scores and ranking.

generator = Generator(model, tokenizer, DecodingSettings(num_return_sequences=3))
for answers in generator.answer(["春满神州花似锦", "海阔凭鱼跃"]):
    print(answers[0].upper, answers[0].lower, answers[0].score)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from recipe.couplet.form import DEFAULT_SEPARATOR, is_chinese_character
from recipe.couplet.plan import NO_NEED, TonePolicy, plan_form
from recipe.couplet.tones import Tone, ToneSystem, rhythm_positions, tones_opposed
from recipe.errors import UserError
from recipe.generating.decoding import FormLogitsProcessor, FormTables, UpperLineLogitsProcessor
from recipe.model.tokenization import encode_prompt
from recipe.settings import DecodingSettings

# Rounds of sampling that look for answers not yet found, before beam search adds the likeliest others.
_SAMPLING_ROUNDS = 3
# best_of: what a line with all its tones opposed gains over one with none, and one nat of parallelism, in mean
# log-probability. Both move a line by about as much as the likelihoods of good and bad samples differ.
_TONE_WEIGHT, _PARALLELISM_WEIGHT = 1.0, 0.5
# The tones by which composed upper lines end.
_COMPOSED_TONES = ToneSystem.MODERN
# What torch takes for a seed: as a signed or as an unsigned number of 64 bits.
_LOWEST_SEED, _HIGHEST_SEED = -(2**63), 2**64 - 1


@dataclass(frozen=True)
class Answer:
    """A lower line and what speaks for it.

    Attributes:
        score: mean natural logarithm of the probability that the model itself (temperature 1, no form) gives to each
            token of the line, the end token included; 0 is certainty.
        tones: share of the rhythm positions (even positions and the last) whose tones are opposed, 0 to 1.
        parallelism: what the parallelism scorer says, if one was given.
    """

    upper: str
    lower: str
    score: float
    tones: float
    parallelism: float | None = None

    @property
    def rank(self) -> float:
        """What `best_of` sorts by: the score, raised by opposed tones and by parallelism."""
        return self.score + _TONE_WEIGHT * self.tones + _PARALLELISM_WEIGHT * (self.parallelism or 0.0)


class Generator:
    """A model that answers upper lines; the tables of the form are made once."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        settings: DecodingSettings,
        banned_words: Sequence[str] = (),
        separator: str = DEFAULT_SEPARATOR,
        parallelism: Callable[[str, str], float] | None = None,
    ) -> None:
        """Check the settings and make the tables.

        Args:
            banned_words: words that no answer holds (`settings.banned_words` names a file; this is its content).
            separator: what stands between the lines in the model's training rows; empty for a model of plain texts.
            parallelism: scores (upper, lower), in nats a position as `CharacterAssociation`; counts in `best_of`.

        Raises:
            UserError: settings that contradict each other, or a tokenizer with which the form cannot be held.
        """
        check_settings(settings, banned_words)
        self.model, self.tokenizer, self.settings, self.separator = model, tokenizer, settings, separator
        self._parallelism = parallelism
        self._tones = TonePolicy(settings.tones)
        self._tables = (
            None if settings.continue_freely else FormTables(tokenizer, model.config.vocab_size, banned_words)
        )
        self._wanted = max(settings.best_of or 1, settings.num_return_sequences)

    def refusals(self, uppers: Sequence[str]) -> list[str]:
        """Why upper lines cannot be answered: a reason for each one that cannot, without decoding anything."""
        reasons = []
        longest = self.model.config.max_position_embeddings
        for upper in uppers:
            needed = len(encode_prompt(self.tokenizer, upper, self.separator)) + self._new_tokens(upper)
            if needed > longest:
                reasons.append(f"{upper[:20]}…: takes {needed} tokens; the model has room for {longest}")
            elif self._tables is None:
                reasons += [] if upper else ["an empty line cannot be continued"]
            elif reason := self._tables.refusal(plan_form(upper, self._tones), self._tones):
                reasons.append(reason)
        return reasons

    def unknown_characters(self, upper: str) -> list[str]:
        """The characters of `upper` that the model cannot see, since its vocabulary lacks them."""
        tables = self._tables or FormTables(self.tokenizer, self.model.config.vocab_size)
        return tables.unknown_characters(upper)

    def answer(self, uppers: Sequence[str]) -> list[list[Answer]]:
        """Return the answers of each upper line, the best or first drawn one first.

        Fewer than asked for are returned only where no more distinct ones exist, or, when continuing freely, were
        found. The draws depend on the settings' seed alone; the global generators are left as they were.

        Raises:
            UserError: upper lines that cannot be answered, all of them at once, before anything is decoded.
        """
        if reasons := self.refusals(uppers):
            raise UserError(reasons)
        answers: list[list[Answer]] = [[] for _ in uppers]
        with self.seeded():
            for index, found in self.answer_each(uppers):
                answers[index] = found
        return answers

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Draw from the settings' seed inside the block, and give the global generators their state back after it."""
        device = self.model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed)
            yield

    def answer_each(self, uppers: Sequence[str]) -> Iterator[tuple[int, list[Answer]]]:
        """Yield (index, answers) batch by batch, lines of one length together, so in another order than given.

        None of `uppers` may be one that `refusals` names.
        """
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, upper in enumerate(uppers):
            by_length[len(encode_prompt(self.tokenizer, upper, self.separator))].append(index)
        size = max(1, self.settings.generation_batch_size // max(self._wanted, self.settings.num_beams))
        for _, indices in sorted(by_length.items()):
            for start in range(0, len(indices), size):
                batch = indices[start : start + size]
                yield from zip(batch, self._answer_batch([uppers[index] for index in batch]), strict=True)

    def theme_refusals(self, themes: Sequence[str], line_length: int) -> list[str]:
        """Why no couplets can be composed: reasons of the length and of each theme, without decoding anything."""
        if self._tables is None:
            return ["--compose needs the form; it cannot be combined with --continue_freely"]
        reasons = _length_refusals(self._tables, line_length, self.model.config.max_position_embeddings)
        for theme in themes:
            if len(theme) >= line_length or not all(map(is_chinese_character, theme)):
                reasons.append(f"--compose {theme}: must be Chinese characters, fewer than --line_length {line_length}")
            elif unknown := self.unknown_characters(theme):
                reasons.append(f"--compose {theme}: the model does not know {' '.join(unknown)}")
        return reasons

    def compose(self, theme: str, line_length: int) -> list[Answer]:
        """Write whole couplets: upper lines that begin with `theme` and end in an oblique tone, and their lower lines.

        At most as many as sequences are asked for; an upper line with a banned word is dropped.

        Raises:
            UserError: a theme that is not shorter than the line or holds something else than known characters, a line
                too long for the model or its vocabulary, or a generator that continues freely.
        """
        if reasons := self.theme_refusals([theme], line_length):
            raise UserError(reasons)
        uppers = [upper for upper in self._upper_lines(theme, line_length) if not self.refusals([upper])]
        couplets = dict(self.answer_each(uppers[: self.settings.num_return_sequences]))
        return [answers[0] for _, answers in sorted(couplets.items())]

    def _upper_lines(self, theme: str, line_length: int) -> list[str]:
        """Sample distinct upper lines, a few more than are asked for."""
        assert self._tables is not None
        prompt = torch.tensor([encode_prompt(self.tokenizer, theme, "")], device=self.model.device)
        config = self._generation_config(line_length - len(theme), is_sampled=True)
        config.update(num_return_sequences=_SAMPLING_ROUNDS * self.settings.num_return_sequences, num_beams=1)
        generate: Any = self.model.generate
        with _generating(self.model, config):
            form = UpperLineLogitsProcessor(self._tables, line_length, _COMPOSED_TONES)
            output = generate(prompt, attention_mask=torch.ones_like(prompt), logits_processor=[form])
        return list(dict.fromkeys(theme + text for text in self._texts(output.sequences[:, prompt.shape[1] :])))

    def _answer_batch(self, uppers: Sequence[str]) -> list[list[Answer]]:
        """Collect the distinct answers of upper lines of one length; rank them if the best are asked for."""
        pools: list[dict[str, Answer]] = [{} for _ in uppers]
        wanted = [self._possible_answers(upper) for upper in uppers]
        if self.settings.do_sample:
            for _ in range(_SAMPLING_ROUNDS):
                self._add_answers(uppers, pools, wanted, is_sampled=True)
        # Beam search as wide as the number of answers finds that many distinct ones, if there are so many.
        self._add_answers(uppers, pools, wanted, is_sampled=False)
        found = [list(pool.values()) for pool in pools]
        if self.settings.best_of:
            found = [sorted(answers, key=lambda answer: -answer.rank) for answers in found]
        return [answers[: self.settings.num_return_sequences] for answers in found]

    def _possible_answers(self, upper: str) -> int:
        """How many answers to look for: one where the form leaves no choice at all (an upper line of marks)."""
        has_choice = self._tables is None or plan_form(upper, self._tones).fresh_positions
        return self._wanted if has_choice else 1

    def _add_answers(
        self, uppers: Sequence[str], pools: list[dict[str, Answer]], wanted: Sequence[int], is_sampled: bool
    ) -> None:
        lacking = [index for index, pool in enumerate(pools) if len(pool) < wanted[index]]
        if not lacking:
            return
        rows = self._decode([uppers[index] for index in lacking], is_sampled)
        for index, answers in zip(lacking, rows, strict=True):
            for answer in answers:
                if len(pools[index]) < wanted[index]:
                    pools[index].setdefault(answer.lower, answer)

    def _decode(self, uppers: Sequence[str], is_sampled: bool) -> list[list[Answer]]:
        """Run the model once over prompts of one length; each gets as many answers as wanted, perhaps equal ones."""
        prompts = torch.tensor(
            [encode_prompt(self.tokenizer, upper, self.separator) for upper in uppers], device=self.model.device
        )
        form = None
        if self._tables is not None:
            form = FormLogitsProcessor(self._tables, uppers, prompts.shape[1], self._tones, self.settings.tone_strength)
        steps = form.steps if form else self._new_tokens(uppers[0])
        config = self._generation_config(steps, is_sampled)
        generate: Any = self.model.generate
        with _generating(self.model, config):
            output = generate(prompts, attention_mask=torch.ones_like(prompts), logits_processor=[form] if form else [])
        lowers = form.lower_lines(output.sequences) if form else self._texts(output.sequences[:, prompts.shape[1] :])
        scores = _mean_log_probabilities(output, prompts.shape[1], config.eos_token_id)
        copies = len(lowers) // len(uppers)
        answers = [
            self._rated(uppers[row // copies], lower, score)
            for row, (lower, score) in enumerate(zip(lowers, scores, strict=True))
        ]
        return [answers[start : start + copies] for start in range(0, len(answers), copies)]

    def _new_tokens(self, upper: str) -> int:
        return self.settings.max_new_tokens if self._tables is None else len(upper) + 1

    def _generation_config(self, steps: int, is_sampled: bool) -> GenerationConfig:
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

    def _texts(self, tokens: torch.Tensor) -> list[str]:
        return self.tokenizer.batch_decode(tokens, skip_special_tokens=True)

    def _rated(self, upper: str, lower: str, score: float) -> Answer:
        system = plan_form(upper, self._tones).system
        rhythm = [position for position in rhythm_positions(upper) if position < len(lower)]
        opposed = sum(tones_opposed(upper[position], lower[position], system) for position in rhythm)
        answer = Answer(upper, lower, score, opposed / len(rhythm) if rhythm else 1.0)
        return replace(answer, parallelism=self._parallelism(upper, lower)) if self._parallelism else answer


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    uppers: Sequence[str],
    settings: DecodingSettings,
    separator: str = DEFAULT_SEPARATOR,
) -> list[list[Answer]]:
    """Answer `uppers` once, with a model in memory; see `Generator.answer`."""
    return Generator(model, tokenizer, settings, separator=separator).answer(uppers)


def check_settings(settings: DecodingSettings, banned_words: Sequence[str]) -> None:
    """Refuse what cannot be carried out: a `UserError` with all of it at once."""
    smallest = {"num_beams": 1, "num_return_sequences": 1, "max_new_tokens": 1, "generation_batch_size": 1, "top_k": 0}
    problems = [
        f"--{name} {getattr(settings, name)}: must be at least {least}"
        for name, least in smallest.items()
        if getattr(settings, name) < least
    ]
    if settings.do_sample and not 0.001 <= settings.temperature < float("inf"):
        problems.append(
            f"--temperature {settings.temperature}: must be 0.001 or more; --do_sample false gives the likeliest line"
        )
    if settings.do_sample and settings.num_beams > 1:
        problems.append(f"--num_beams {settings.num_beams}: beam search does not draw lines; add --do_sample false")
    if not 0 < settings.top_p <= 1:
        problems.append(f"--top_p {settings.top_p}: must be above 0 and at most 1")
    if not 0 <= settings.tone_strength <= 1000:
        problems.append(f"--tone_strength {settings.tone_strength}: must be 0 to 1000")
    if settings.best_of is not None and settings.best_of < settings.num_return_sequences:
        problems.append(
            f"--best_of {settings.best_of}: cannot return --num_return_sequences {settings.num_return_sequences} lines"
        )
    if not _LOWEST_SEED <= settings.seed <= _HIGHEST_SEED:
        problems.append(f"--seed {settings.seed}: must be {_LOWEST_SEED} to {_HIGHEST_SEED}")
    if settings.continue_freely and settings.tones == TonePolicy.STRICT.value:
        problems.append("--tones strict needs the form; it cannot be held together with --continue_freely")
    if settings.continue_freely and banned_words:
        problems.append("--banned_words needs the form; it cannot be held together with --continue_freely")
    if problems:
        raise UserError(problems)


def _length_refusals(tables: FormTables, line_length: int, longest: int) -> list[str]:
    """Why no couplet with lines of `line_length` characters can be composed."""
    needed = 2 * line_length + 3  # [CLS], the separator and the end token
    if needed > longest:
        return [f"--line_length {line_length}: a couplet takes {needed} tokens; the model has room for {longest}"]
    # No character comes twice. The last one of the upper line is drawn when all others may have been oblique.
    different, oblique = (len(tables.allowed(_COMPOSED_TONES, need)) for need in (NO_NEED, Tone.OBLIQUE))
    if 2 * line_length > different or line_length > oblique:
        return [
            f"--line_length {line_length}: a couplet takes {2 * line_length} different characters and an oblique tone "
            f"at the end; the vocabulary has {different}, {oblique} of them oblique"
        ]
    return []


@contextmanager
def _generating(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
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


def _mean_log_probabilities(output: Any, prompt_length: int, eos_id: int) -> list[float]:
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
