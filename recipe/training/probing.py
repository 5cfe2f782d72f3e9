"""What the model writes while it trains: lower lines for held-out upper lines, scored, and the same few samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelerate import PartialState
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from recipe.generating.generator import Generator
from recipe.settings import DecodingSettings


class GenerationProbe:
    """Answer upper lines greedily, under the form, at every evaluation; greedy draws nothing from the random state.

    Args:
        separator: the couplet's; empty for plain texts, which are continued and not scored.
        held_out: (upper line, lower line) pairs that the model never trains on.
        samples: upper lines, or beginnings of plain texts, whose answers are printed.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        separator: str,
        held_out: Sequence[tuple[str, str]],
        samples: Sequence[str],
    ) -> None:
        self.tokenizer, self.separator = tokenizer, separator
        self.held_out, self.samples = list(held_out), list(samples)

    def __call__(self, model: Any) -> dict[str, float]:
        """Print the samples; return `generation_bleu`: character BLEU-4 of the generated lower lines."""
        was_training = model.training
        model.eval()
        generator = self._generator(model)
        figures = self._score(generator) if self.held_out else {}
        # All processes answer, since a sharded model needs them all; one of them prints.
        lines = [f"  {line}" for line in self._sample(generator)] if self.samples else []
        if lines and PartialState().is_main_process:
            tqdm.write("\n".join(lines))
        model.train(was_training)
        return figures

    def _generator(self, model: Any) -> Generator:
        settings = DecodingSettings(do_sample=False, num_return_sequences=1, continue_freely=not self.separator)
        return Generator(model, self.tokenizer, settings, separator=self.separator)

    def _score(self, generator: Generator) -> dict[str, float]:
        from recipe.metrics.bleu import CharacterBleu

        answerable = [pair for pair in self.held_out if not generator.refusals([pair[0]])]
        uppers, references = zip(*answerable, strict=True)
        lowers = [answers[0].lower for answers in generator.answer(uppers)]
        return {"generation_bleu": CharacterBleu().compute(predictions=lowers, references=list(references))["score"]}

    def _sample(self, generator: Generator) -> list[str]:
        answers = generator.answer([sample for sample in self.samples if not generator.refusals([sample])])
        return [f"{first.upper}{self.separator}{first.lower}" for first, *_ in answers]
