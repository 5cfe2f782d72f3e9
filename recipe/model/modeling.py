"""Models: loaded from a directory or a hub, built from scratch, and always given end tokens that exist.

Weights are loaded as fp32 (the optimizer needs master weights; `from_pretrained` would take whatever dtype the file
has), pickles only with `weights_only=True`, and code that comes with a model is never run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar, get_verbosity, set_verbosity, set_verbosity_error

from recipe.errors import UserError
from recipe.language import N_, _, enumerated
from recipe.model.configuration import load_config, not_loadable
from recipe.model.finding import LOAD_ERRORS, find_model
from recipe.settings import ModelSettings
from recipe.text_files import path_problem

# Prefixes that wrappers put before every name of a state dict: DataParallel, torch.compile, a module around the model.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.", "gpt2.", "gpt.")
# Buffers that GPT-2 recomputes; old files carry them. The head's weights are those of the embeddings.
_REDUNDANT_BUFFERS = (".attn.bias", ".attn.masked_bias")
_REDUNDANT_ENDINGS = (*_REDUNDANT_BUFFERS, "lm_head.weight")
# What stands in the names of weights of other programs.
_UER = N_(
    "they are weights of UER-py (TencentPretrain); its scripts/convert_gpt2_from_uer_to_huggingface.py converts them "
    "into a pytorch_model.bin"
)
_FOREIGN_NAMES = {
    **dict.fromkeys(("embedding.word_embedding.", "embedding.word.embedding.", "encoder.transformer."), _UER),
    "lora_": N_("they are those of a LoRA adapter; merge it into its base model first (peft's merge_and_unload)"),
    "bert.": N_("they are those of a BERT, which fills gaps and does not write lines"),
}
# Enough for any couplet or short poem; a text that ends stops earlier by itself. The library's default cuts at 20.
_MAX_NEW_TOKENS = 128
_MIN_CONTEXT = 1024  # positions cost 1 KiB of weights each at width 256; prompts of any corpus then fit


def new_model(settings: ModelSettings, tokenizer: PreTrainedTokenizerFast, max_length: int) -> PreTrainedModel:
    """Return a randomly initialised GPT-2 over `tokenizer`'s vocabulary.

    Raises:
        UserError: a width that the heads do not divide.
    """
    if settings.hidden_size % settings.num_heads:
        raise UserError(
            _("--hidden_size {hidden_size}: must be a multiple of --num_heads {num_heads}").format(
                hidden_size=settings.hidden_size, num_heads=settings.num_heads
            )
        )
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
    config = _prepared(load_config(name_or_path), settings.dropout if settings is not None else None)
    disable_progress_bar()  # the library's bar over the weights of one small file only flickers
    verbosity = get_verbosity()
    # Its report warns of the buffers that old files carry; what matters of it is refused below, by name.
    set_verbosity_error()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            find_model(name_or_path),
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name; the library's error names none
        )
        model, report = loaded
    except LOAD_ERRORS as error:
        raise UserError(not_loadable(name_or_path, error)) from None
    finally:
        set_verbosity(verbosity)
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
            _(
                "{name}: the tokenizer has {tokens:,} tokens, but the embeddings have only {rows:,} rows; model and "
                "tokenizer do not belong together"
            ).format(name=name_or_path, tokens=len(tokenizer), rows=rows)
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


def _check_complete(name_or_path: str, report: dict[str, Any], tied: bool) -> None:
    redundant = _REDUNDANT_ENDINGS if tied else _REDUNDANT_BUFFERS
    missing, foreign = (
        sorted(key for key in report[kind] if not key.endswith(redundant))
        for kind in ("missing_keys", "unexpected_keys")
    )
    mismatched = sorted(str(item[0] if isinstance(item, tuple) else item) for item in report["mismatched_keys"])
    if missing or foreign or mismatched:
        found = enumerated([*missing, *foreign, *mismatched][:4])
        raise UserError(
            _(
                "{name}: its weights are not those of the model that its config.json describes ({missing} missing, "
                "{foreign} unknown, {misshapen} of another shape: {found} …); {origin}"
            ).format(
                name=name_or_path,
                missing=len(missing),
                foreign=len(foreign),
                misshapen=len(mismatched),
                found=found,
                origin=_where_from(foreign) or _("the files do not belong together"),
            )
        )


def _where_from(names: Iterable[str]) -> str | None:
    """Say which program's weights these are, by their names, and how it makes a model directory of them."""
    kinds = (kind for name in names for part, kind in _FOREIGN_NAMES.items() if part in name)
    kind = next(kinds, None)
    return kind and _(kind)


def _load_state_dict(model: PreTrainedModel, file: str) -> None:
    """Load a state dict over the model's weights."""
    read, expected = read_state_dict(file), model.state_dict()
    state = _without_wrapper_prefix(read, expected.keys())
    missing = [key for key in expected if key not in state and not key.endswith(_REDUNDANT_ENDINGS)]
    foreign = [key for key in state if key not in expected and not key.endswith(_REDUNDANT_ENDINGS)]
    misshapen = [key for key in state if key in expected and state[key].shape != expected[key].shape]
    if missing or foreign or misshapen:
        found = enumerated([*missing, *foreign, *misshapen][:4])
        raise UserError(
            _(
                "{file}: is not a state dict of this model (parameters: {missing} missing, {foreign} unknown, "
                "{misshapen} of another shape: {found} …); {origin}"
            ).format(
                file=file,
                missing=len(missing),
                foreign=len(foreign),
                misshapen=len(misshapen),
                found=found,
                origin=_where_from(read) or _("name the model that it was trained from with --model_name_or_path"),
            )
        )
    model.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)


def read_state_dict(file: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by `torch.save` or of a `.safetensors` file, without running what it contains.

    Raises:
        UserError: no such file, a Git LFS pointer, a pickled object, or a checkpoint that holds more than weights.
    """
    if problem := path_problem(file):
        raise UserError(problem)
    try:
        is_safe = file.endswith(".safetensors")
        state = load_file(file) if is_safe else torch.load(file, map_location="cpu", weights_only=True)
    except LOAD_ERRORS as error:
        # What follows torch's first sentence is the advice to load without `weights_only`.
        reason = str(error).split("\n")[0].split(". ")[0][:200]
        raise UserError(
            _(
                "{file}: is not a state dict of tensors ({reason}). A file saved by torch.save(model) holds a whole "
                "pickled object, which is never loaded: save model.state_dict() instead"
            ).format(file=file, reason=reason)
        ) from None
    if _is_state_dict(state):
        return state
    parts = [name for name, part in state.items() if part and _is_state_dict(part)] if isinstance(state, dict) else []
    if parts:
        raise UserError(
            _(
                "{file}: is a training checkpoint with {parts}; only its weights are needed. This takes them out: "
                "torch.save(torch.load({file!r}, weights_only=True)[{weights!r}], 'weights.pth')"
            ).format(file=file, parts=enumerated(map(repr, state)), weights=parts[0])
        )
    raise UserError(
        _("{file}: holds {type}, expected a state dict (parameter name → tensor)").format(
            file=file, type=type(state).__name__
        )
    )


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, torch.Tensor) for item in value.values())


def _without_wrapper_prefix(state: dict[str, torch.Tensor], expected: Any) -> dict[str, torch.Tensor]:
    for _layer in _WRAPPER_PREFIXES:
        for prefix in _WRAPPER_PREFIXES:
            if any(key in expected for key in state):
                return state
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
