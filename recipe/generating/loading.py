"""A model ready to write: model, tokenizer and text format, on its device and in its number format."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.registry import carried_format
from recipe.language import _
from recipe.model.finding import STATE_DICT_FLAGS, find_model
from recipe.model.modeling import load_model
from recipe.model.placement import chosen_device, chosen_dtype
from recipe.model.tokenization import load_tokenizer
from recipe.published import model_to_use
from recipe.settings import PUBLISHED_MODEL, DeviceSettings, ModelSettings
from recipe.text_files import path_problem


@dataclass(frozen=True)
class ReadyModel:
    """A model in memory, and how long it took to get there."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    text_format: TextFormat
    load_seconds: float

    def __str__(self) -> str:
        millions = sum(weights.numel() for weights in self.model.parameters()) / 1e6
        dtype = str(self.model.dtype).removeprefix("torch.")
        return _("{name}: {millions:.1f}M parameters on {device}, {dtype}").format(
            name=self.name, millions=millions, device=self.model.device, dtype=dtype
        )


@dataclass(frozen=True)
class NamedModel:
    """A model as settings name it: a local directory or a name of the hub, and the weights that go over its own."""

    name: str
    state_dict_file: str | None = None
    flag: str = "--model_name_or_path"

    def problems(self) -> list[str]:
        """Say what is wrong with it as far as that shows before anything is loaded."""
        problems = []
        if self.name != PUBLISHED_MODEL or Path(self.name).exists():
            try:
                find_model(self.name, self.flag)
            except UserError as error:
                problems += error.problems
        if self.state_dict_file and (problem := path_problem(self.state_dict_file)):
            problems.append(f"{STATE_DICT_FLAGS[self.flag]} {problem}")
        return problems


def load_ready_model(name: str, settings: DeviceSettings, state_dict_file: str | None = None) -> ReadyModel:
    """Load a local directory or a model of the hub, ready to write; before anything is published, the shipped base.

    Args:
        state_dict_file: weights that are loaded over the model's own.

    Raises:
        UserError: nothing there that can be loaded, a device that cannot be used, or texts of an unknown format.
    """
    started = time.perf_counter()
    name = model_to_use(name)
    device = chosen_device(settings)
    tokenizer = load_tokenizer(name)
    model: Any = load_model(name, tokenizer, ModelSettings(state_dict_file=state_dict_file))
    model.to(device=device, dtype=chosen_dtype(settings, device, model.config.hidden_size)).eval()
    # A foreign model's configuration has no such attribute.
    text_format = carried_format(name, getattr(model.config, "recipe", None))
    if state_dict_file:
        name = _("{model} with the weights of {file}").format(model=name, file=state_dict_file)
    return ReadyModel(name, model, tokenizer, text_format, time.perf_counter() - started)
