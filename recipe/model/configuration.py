"""The configuration of a GPT-2: read from wherever the model is, and plausible before memory is asked for by it."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, GPT2Config, PreTrainedConfig

from recipe.errors import UserError
from recipe.language import _
from recipe.model.finding import CONFIG, LOAD_ERRORS, find_model, find_source, is_gpt2_without_type


def load_config(name_or_path: str) -> GPT2Config:
    """Load a model's configuration; ids of its own for the ends of a text stay unset where its file names none.

    GPT-2's class defaults put both ends at 50256, outside a Chinese vocabulary: generation would never stop.

    Raises:
        UserError: no model there, one that the library cannot read, one that is no GPT-2, or a configuration that
            describes more weights than the files have bytes.
    """
    source = find_model(name_or_path)
    try:
        fields = PreTrainedConfig.get_config_dict(source)[0]
        if is_gpt2_without_type(fields):
            fields["model_type"] = GPT2Config.model_type
        config = AutoConfig.for_model(**{"bos_token_id": None, "eos_token_id": None, **fields})
    except LOAD_ERRORS as error:
        raise UserError(not_loadable(name_or_path, error)) from None
    return _plausible(name_or_path, source, config)


def model_type(name_or_path: str, flag: str) -> str:
    """Return the type of a model of whatever kind; gpt2 where its files name none.

    Raises:
        UserError: no model there, or a directory that would be a GPT-2's and lacks something.
    """
    source = find_source(name_or_path, flag)
    if not Path(source).is_dir() or (Path(source) / CONFIG).is_file():
        try:
            fields = PreTrainedConfig.get_config_dict(source)[0]
        except LOAD_ERRORS as error:
            raise UserError(not_loadable(name_or_path, error)) from None
        if fields.get("model_type", GPT2Config.model_type) != GPT2Config.model_type:
            return str(fields["model_type"])
    find_model(name_or_path, flag)
    return GPT2Config.model_type


def not_loadable(name_or_path: str, error: Exception) -> str:
    """Say why nothing can be loaded from a directory that looks like a model, or from a model of the hub."""
    reason = " ".join(str(error).split())[:300]
    if Path(name_or_path).is_dir():
        return _("{name}: the model in this directory cannot be loaded ({reason})").format(
            name=name_or_path, reason=reason
        )
    return _("{name}: this model of the hub cannot be loaded ({reason})").format(name=name_or_path, reason=reason)


def _plausible(name_or_path: str, source: str, config: PreTrainedConfig) -> GPT2Config:
    """Return the configuration; refuse one that is no GPT-2's, or describes more weights than the files have bytes.

    The library would ask for the memory of what is described before it looks at the weights.
    """
    if not isinstance(config, GPT2Config):
        raise UserError(
            _("{name}: is a model of type {type}; the recipe is for GPT-2 (type gpt2)").format(
                name=name_or_path, type=config.model_type
            )
        )
    layer = 12 * config.n_embd**2
    described = (config.vocab_size + config.n_positions) * config.n_embd + config.n_layer * layer
    files = [file for pattern in ("*.safetensors", "*.bin") for file in Path(source).glob(pattern)]
    held = sum(file.stat().st_size for file in files)
    if files and described > held:
        raise UserError(
            _(
                "{name}: its config.json describes {described:,} weights, but its files have only {held:,} bytes; the "
                "weights are cut off, or the files do not belong together"
            ).format(name=name_or_path, described=described, held=held)
        )
    return config
