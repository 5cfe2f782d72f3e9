"""The configuration of a GPT-2: read from wherever the model is, and plausible before memory is asked for by it."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, GPT2Config, PreTrainedConfig

from recipe.errors import UserError
from recipe.model.finding import LOAD_ERRORS, find_model, is_gpt2_without_type


def load_config(name_or_path: str) -> GPT2Config:
    """Load a model's configuration; ids of its own for the ends of a text stay unset where its file names none.

    GPT-2's class defaults put both ends at 50256, outside a Chinese vocabulary: generation would never stop.

    Raises:
        UserError: no model there, one that the library cannot read, one that is no GPT-2, or a configuration that
            describes more weights than the files have bytes.
    """
    source = find_model(name_or_path)
    try:
        fields, _ = PreTrainedConfig.get_config_dict(source)
        if is_gpt2_without_type(fields):
            fields["model_type"] = GPT2Config.model_type
        config = AutoConfig.for_model(**{"bos_token_id": None, "eos_token_id": None, **fields})
    except LOAD_ERRORS as error:
        raise UserError(not_loadable(name_or_path, error)) from None
    return _plausible(name_or_path, source, config)


def not_loadable(name_or_path: str, error: Exception) -> str:
    """Say why nothing can be loaded from a directory that looks like a model, or from a model of the hub."""
    reason = " ".join(str(error).split())[:300]
    if Path(name_or_path).is_dir():
        return f"{name_or_path}: this directory holds no model that can be loaded ({reason})"
    return f"{name_or_path}: this model of the hub cannot be loaded ({reason})"


def _plausible(name_or_path: str, source: str, config: PreTrainedConfig) -> GPT2Config:
    """Return the configuration; refuse one that is no GPT-2's, or describes more weights than the files have bytes.

    The library would ask for the memory of what is described before it looks at the weights.
    """
    if not isinstance(config, GPT2Config):
        raise UserError(f"{name_or_path}: is a model of type {config.model_type}; the recipe is for GPT-2 (type gpt2)")
    layer = 12 * config.n_embd**2
    described = (config.vocab_size + config.n_positions) * config.n_embd + config.n_layer * layer
    files = [file for pattern in ("*.safetensors", "*.bin") for file in Path(source).glob(pattern)]
    held = sum(file.stat().st_size for file in files)
    if files and described > held:
        raise UserError(
            f"{name_or_path}: its config.json describes {described:,} weights, but its files have only {held:,} bytes; "
            "the files do not belong together"
        )
    return config
