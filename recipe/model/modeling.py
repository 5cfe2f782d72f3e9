"""Models: loaded from a directory or a hub, built from scratch, and always given end tokens that exist.

Weights are loaded as fp32 (the optimizer needs master weights; `from_pretrained` would take whatever dtype the file
has), pickles only with `weights_only=True`, and code that comes with a model is never run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

from recipe.errors import UserError
from recipe.model.tokenization import LOAD_ERRORS, load_config, not_a_model
from recipe.settings import ModelSettings

# Prefixes that wrappers put before every name of a state dict: DataParallel, torch.compile, a module around the model.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.", "gpt2.", "gpt.")
# Buffers that GPT-2 recomputes; old files carry them. The head's weights are those of the embeddings.
_REDUNDANT_BUFFERS = (".attn.bias", ".attn.masked_bias")
_REDUNDANT_ENDINGS = (*_REDUNDANT_BUFFERS, "lm_head.weight")
# Enough for any couplet or short poem; a text that ends stops earlier by itself. The library's default cuts at 20.
_MAX_NEW_TOKENS = 128
_MIN_CONTEXT = 1024  # positions cost 1 KiB of weights each at width 256; prompts of any corpus then fit


def new_model(settings: ModelSettings, tokenizer: PreTrainedTokenizerFast, max_length: int) -> PreTrainedModel:
    """Return a randomly initialised GPT-2 over `tokenizer`'s vocabulary.

    Raises:
        UserError: a width that the heads do not divide.
    """
    if settings.hidden_size % settings.num_heads:
        raise UserError(f"--hidden_size {settings.hidden_size} is no multiple of --num_heads {settings.num_heads}")
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=settings.hidden_size,
        n_layer=settings.num_layers,
        n_head=settings.num_heads,
        n_positions=max(max_length, _MIN_CONTEXT),
        **_special_token_ids(tokenizer),
    )
    return _made_ready(GPT2LMHeadModel(_prepared(config, settings.dropout)), tokenizer)


def load_model(
    name_or_path: str, tokenizer: PreTrainedTokenizerFast, settings: ModelSettings | None = None
) -> PreTrainedModel:
    """Load a GPT-2 in fp32 that goes with `tokenizer`.

    Args:
        settings: overrides for training: dropout, a state dict over the weights, embeddings for added characters.

    Raises:
        UserError: missing, truncated or foreign files, another kind of model, a configuration that its weights
            contradict, or a vocabulary larger than the embeddings.
    """
    config = _plausible(name_or_path, load_config(name_or_path))
    config = _prepared(config, settings.dropout if settings is not None else None)
    disable_progress_bar()  # the library's bar over the weights of one small file only flickers
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name; the library's error names none
        )
        model, report = loaded
    except LOAD_ERRORS as error:
        raise UserError(not_a_model(name_or_path, error)) from None
    _check_complete(name_or_path, report, tied=model.config.tie_word_embeddings)
    if settings is not None and settings.state_dict_file:
        _load_state_dict(model, settings.state_dict_file)
    rows = model.get_input_embeddings().weight.shape[0]
    if settings is not None and settings.extend_vocabulary and len(tokenizer) > rows:
        # As random as in a new model. Starting around the mean of the old rows, the library's default, was worse before
        # training and after it, on rare characters and on common ones (bench/extend_vocabulary.py).
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    elif len(tokenizer) > rows:
        raise UserError(
            f"{name_or_path}: the tokenizer has {len(tokenizer):,} tokens but the embeddings only {rows:,} rows; "
            "model and tokenizer do not belong together"
        )
    return _made_ready(model, tokenizer)


def _made_ready(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    ids = _special_token_ids(tokenizer)
    model.config.update(ids)
    # The library derives this from the class's name, finds nothing for GPT2LMHeadModel, and warns.
    model.loss_type = "ForCausalLM"
    # A cache of keys and values is for generating; the Trainer switches it off while it trains.
    model.config.use_cache = True
    model.generation_config = GenerationConfig(**ids, max_new_tokens=_MAX_NEW_TOKENS)
    return model


def _special_token_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _prepared(config: GPT2Config, dropout: float | None) -> GPT2Config:
    if dropout is not None:
        config.update({"attn_pdrop": dropout, "embd_pdrop": dropout, "resid_pdrop": dropout})
    if config.activation_function == "gelu_new":
        # The same function in one kernel; the library writes gelu_new out in eight operations (docs/performance.md).
        config.activation_function = "gelu_pytorch_tanh"
    return config


def _plausible(name_or_path: str, config: PreTrainedConfig) -> GPT2Config:
    """Return the configuration; refuse one that is no GPT-2's, or describes more weights than the files have bytes.

    The library would ask for the memory of what is described before it looks at the weights.
    """
    if not isinstance(config, GPT2Config):
        raise UserError(f"{name_or_path}: is a model of type {config.model_type}; the recipe is for GPT-2 (type gpt2)")
    layer = 12 * config.n_embd**2
    described = (config.vocab_size + config.n_positions) * config.n_embd + config.n_layer * layer
    files = [file for pattern in ("*.safetensors", "*.bin") for file in Path(name_or_path).glob(pattern)]
    held = sum(file.stat().st_size for file in files)
    if files and described > held:
        raise UserError(
            f"{name_or_path}: its config.json describes {described:,} weights, but its files have only {held:,} bytes; "
            "the files do not belong together"
        )
    return config


def _check_complete(name_or_path: str, report: dict[str, Any], tied: bool) -> None:
    redundant = _REDUNDANT_ENDINGS if tied else _REDUNDANT_BUFFERS
    missing, foreign = (
        sorted(key for key in report[kind] if not key.endswith(redundant))
        for kind in ("missing_keys", "unexpected_keys")
    )
    mismatched = sorted(str(item[0] if isinstance(item, tuple) else item) for item in report["mismatched_keys"])
    if missing or foreign or mismatched:
        found = ", ".join([*missing, *foreign, *mismatched][:4])
        raise UserError(
            f"{name_or_path}: its weights are not those of the model that its config.json describes ({len(missing)} "
            f"missing, {len(foreign)} foreign, {len(mismatched)} of another shape: {found} …); the files do not belong "
            "together"
        )


def _load_state_dict(model: PreTrainedModel, file: str) -> None:
    """Load a state dict saved by `torch.save` over the model's weights, without running anything that it contains."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except LOAD_ERRORS as error:
        reason = str(error).split("\n")[0][:200]
        raise UserError(
            f"{file}: is not a state dict of tensors ({reason}). A file saved by torch.save(model) holds a whole "
            "pickled object, which is never loaded: save model.state_dict() instead"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{file}: holds {type(state).__name__}, expected a state dict (parameter name → tensor)")
    expected = model.state_dict()
    state = _without_wrapper_prefix(state, expected.keys())
    missing = [key for key in expected if key not in state and not key.endswith(_REDUNDANT_ENDINGS)]
    foreign = [key for key in state if key not in expected and not key.endswith(_REDUNDANT_ENDINGS)]
    misshapen = [key for key in state if key in expected and state[key].shape != expected[key].shape]
    if missing or foreign or misshapen:
        found = ", ".join([*missing, *foreign, *misshapen][:4])
        raise UserError(
            f"{file}: is not a state dict of this model ({len(missing)} parameters missing, {len(foreign)} foreign, "
            f"{len(misshapen)} of another shape: {found} …)"
        )
    model.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)


def _without_wrapper_prefix(state: dict[str, torch.Tensor], expected: Any) -> dict[str, torch.Tensor]:
    for _ in _WRAPPER_PREFIXES:
        for prefix in _WRAPPER_PREFIXES:
            if any(key in expected for key in state):
                return state
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
