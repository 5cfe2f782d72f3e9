"""Conversations continued by a model: by its chat template where it has one, else as plain text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from recipe.couplet.character_forms import Reading
from recipe.errors import UserError
from recipe.formats.plain import Plain
from recipe.generating.generator import Generator, PreparedPrompt
from recipe.generating.kept_answers import KeptAnswers, answer_all, answers_in_order, fingerprint
from recipe.generating.loading import load_ready_model
from recipe.generating.processes import Processes
from recipe.language import _
from recipe.model.finding import LOAD_ERRORS
from recipe.model.placement import chosen_device, chosen_dtype
from recipe.screen import progress_bar
from recipe.settings import DecodingSettings, DeviceSettings

Conversation = tuple[tuple[str, str], ...]  # (role, text), roles "user" and "assistant" in turn, the user last


class Converser:
    """A model that answers in conversations.

    Attributes:
        by_template: whether the conversations are put into words by the model's own chat template.
        refused: conversations too long for the model, or empty; they got an empty answer.
    """

    def __init__(self, name: str, decoding: DecodingSettings, device: DeviceSettings) -> None:
        """Load the model.

        Raises:
            UserError: nothing there that can be loaded, or a model of texts that are no plain ones.
        """
        self.name, self.refused = name, 0
        self._kept: list[KeptAnswers] = []
        settings = replace(decoding, continue_freely=True)
        tokenizer = _chat_tokenizer(name)
        self.by_template = tokenizer is not None
        if tokenizer is not None:
            place = chosen_device(device)
            try:
                model: Any = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False)
            except LOAD_ERRORS as error:
                raise UserError(
                    _("{name}: holds no model that can be loaded ({error})").format(name=name, error=_one_line(error))
                ) from None
            model.to(device=place, dtype=chosen_dtype(device, place, model.config.hidden_size)).eval()
            self.generator = Generator(model, tokenizer, settings, (), Plain())
        else:
            ready = load_ready_model(name, device)
            if not isinstance(ready.text_format, Plain):
                raise UserError(
                    _(
                        "{model}: has no chat template and was trained on texts of the format {format}; questions are "
                        "answered by chat models and by models of plain texts (--text_format plain)"
                    ).format(model=name, format=ready.text_format.name)
                )
            self.generator = Generator(ready.model, ready.tokenizer, settings, (), Plain())

    def answer(
        self, conversations: Sequence[Conversation], seed: int, title: str, directory: Path, processes: Processes
    ) -> list[str]:
        """Return what the model says next in each conversation; an interrupted call goes on where it stopped.

        Args:
            directory: keeps the answers until `remove_kept`.
            processes: share the conversations; all of them call this.
        """
        prepared = [self._prepared(conversation) for conversation in conversations]
        answerable = [place for place, prompt in enumerate(prepared) if prompt.refusal is None]
        self.refused += len(prepared) - len(answerable)
        prompts = [prepared[place] for place in answerable]
        job = fingerprint(self.generator, json.dumps(conversations, ensure_ascii=False))
        kept = KeptAnswers(directory / f"{job[:16]}-seed{seed}.jsonl", processes)
        self._kept.append(kept)
        kept.open({"job": job, "seed": seed})
        with progress_bar(
            total=len(prompts), initial=kept.taken_up, desc=title, unit=" answers", delay=2, leave=False
        ) as bar:
            answer_all(self.generator, prompts, kept, seed, bar.update)
        found = answers_in_order(self.generator, prompts, kept)
        texts = [""] * len(prepared)
        for index, answers in found.items():
            texts[answerable[index]] = answers[0].text.strip()
        return texts

    def remove_kept(self) -> None:
        """Remove what was kept in case of an interruption: the answers stand elsewhere."""
        for kept in self._kept:
            kept.remove()

    def _prepared(self, conversation: Conversation) -> PreparedPrompt:
        if not self.by_template:
            (prompt,) = self.generator.prepare(["\n".join(text for _, text in conversation)])
            return prompt
        messages = [{"role": role, "content": text} for role, text in conversation]
        ids: Any = self.generator.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        needed, new_tokens = len(ids), self.generator.settings.max_new_tokens
        longest = getattr(self.generator.model.config, "max_position_embeddings", None) or 1 << 20
        refusal = None
        if needed + new_tokens > longest:
            refusal = _("takes {needed} tokens; the model has room for {longest}").format(
                needed=needed + new_tokens, longest=longest
            )
        last = conversation[-1][1]
        return PreparedPrompt(last, Reading(last), list(ids), None, new_tokens, [], refusal)


def _chat_tokenizer(name: str) -> Any:
    """Return the tokenizer of a model with a chat template; None for every other model, which has its own loader."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except LOAD_ERRORS:
        return None
    if not tokenizer.chat_template:
        return None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
