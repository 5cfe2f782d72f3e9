"""A model ready to write: model, tokenizer and text format, on its device and in its number format."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe.formats.base import TextFormat
from recipe.formats.registry import carried_format
from recipe.model.modeling import load_model
from recipe.model.placement import chosen_device, chosen_dtype
from recipe.model.tokenization import load_tokenizer
from recipe.published import model_to_use
from recipe.settings import DeviceSettings


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
        return f"{self.name}: {millions:.1f}M parameters on {self.model.device}, {dtype}"


def load_ready_model(name: str, settings: DeviceSettings) -> ReadyModel:
    """Load a local directory or a model of the hub, ready to write; before anything is published, the shipped base.

    Raises:
        UserError: nothing there that can be loaded, a device that cannot be used, or texts of an unknown format.
    """
    started = time.perf_counter()
    name = model_to_use(name)
    device = chosen_device(settings)
    tokenizer = load_tokenizer(name)
    model: Any = load_model(name, tokenizer)
    model.to(device=device, dtype=chosen_dtype(settings, device, model.config.hidden_size)).eval()
    # A foreign model's configuration has no such attribute.
    text_format = carried_format(name, getattr(model.config, "recipe", None))
    return ReadyModel(name, model, tokenizer, text_format, time.perf_counter() - started)
