"""What the model writes while it trains: answers to held-out prompts, scored, and the same few samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelerate import PartialState
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.generating.generator import Generator
from recipe.language import _
from recipe.settings import DecodingSettings


class GenerationProbe:
    """Answer prompts greedily, under the form, at every evaluation; greedy draws nothing from the random state.

    Attributes:
        written: what the samples became at the last evaluation, whole texts in the order of the prompts.

    Args:
        text_format: what the model is trained on.
        validation: (prompt, answer) pairs that the model never trains on; none where texts have no answer.
        samples: prompts, or beginnings of plain texts, whose answers are printed.
        is_needed: whether the figure decides which model is kept.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        text_format: TextFormat,
        validation: Sequence[tuple[str, str]],
        samples: Sequence[str],
        is_needed: bool = False,
    ) -> None:
        self.is_needed = is_needed
        self.tokenizer, self.text_format = tokenizer, text_format
        self.validation, self.samples = list(validation), list(samples)
        self.written: list[str] = []

    def __call__(self, model: Any) -> dict[str, float]:
        """Print the samples; return `generation_bleu`, the character BLEU-4 of the answers, if there are any."""
        was_training = model.training
        model.eval()
        generator = self._generator(model)
        figures = self._score(generator)
        # All processes answer, since a sharded model needs them all; one of them prints.
        self.written = self._sample(generator)
        if self.written and PartialState().is_main_process:
            tqdm.write("\n".join(f"  {line}" for line in self.written))
        model.train(was_training)
        return figures

    def _generator(self, model: Any) -> Generator:
        continues_freely = self.text_format.form is None
        settings = DecodingSettings(do_sample=False, num_return_sequences=1, continue_freely=continues_freely)
        return Generator(model, self.tokenizer, settings, text_format=self.text_format)

    def _score(self, generator: Generator) -> dict[str, float]:
        prepared = generator.prepare([prompt for prompt, _answer in self.validation])
        answerable = [index for index, prompt in enumerate(prepared) if prompt.refusal is None]
        if not answerable:
            if self.is_needed:
                raise UserError(
                    _(
                        "--metric_for_best_model generation_bleu: none of the held-out prompts can be answered "
                        "({reason}); choose another figure"
                    ).format(reason=prepared[0].refusal if prepared else _("there are none"))
                )
            return {}
        from recipe.metrics.bleu import CharacterBleu

        found = dict(generator.answer_each([prepared[index] for index in answerable]))
        answers = [found[place][0].text for place in range(len(answerable))]
        references = [self.validation[index][1] for index in answerable]
        return {"generation_bleu": CharacterBleu().compute(predictions=answers, references=references)["score"]}

    def _sample(self, generator: Generator) -> list[str]:
        prepared = [prompt for prompt in generator.prepare(self.samples) if prompt.refusal is None]
        found = sorted(generator.answer_each(prepared))
        return [self.text_format.join(first.prompt, first.text) for _place, (first, *_others) in found]
