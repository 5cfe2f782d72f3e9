"""Tiny models with random weights, and tokenizers of a few characters, for every test that needs one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from recipe.model.tokenization import build_tokenizer, corpus_vocabulary

# Each character of the upper one is answered by the one below it: invented couplets are learnt in a few steps.
UPPER_CHARACTERS = "山风花春日云红东高来金松鹤晨行雪江明书古"
LOWER_CHARACTERS = "水月柳秋星雨绿西低去玉竹鱼暮坐霜湖暗画今"
MARKS = "，。、；？！·《》“”-"


def character_tokenizer(
    characters: Iterable[str] = UPPER_CHARACTERS + LOWER_CHARACTERS + MARKS,
    others: Iterable[str] = (),
    lowercase: bool = False,
) -> PreTrainedTokenizerFast:
    """Return the tokenizer that a run from scratch makes out of a corpus of these characters; others come behind."""
    vocabulary = corpus_vocabulary(characters)
    vocabulary |= {token: len(vocabulary) + place for place, token in enumerate(others)}
    return build_tokenizer(vocabulary, lowercase, max_length=128)


def tiny_gpt2(
    vocabulary: PreTrainedTokenizerFast | int, seed: int = 0, dropout: float = 0.0, **config: Any
) -> GPT2LMHeadModel:
    """Return a random GPT-2 over a tokenizer, or over so many words of which the first begins and ends a row."""
    sizes = {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    if isinstance(vocabulary, int):
        ids = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 0}
    else:
        ids = {name: getattr(vocabulary, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        ids["vocab_size"] = len(vocabulary)
    drop = {"attn_pdrop": dropout, "embd_pdrop": dropout, "resid_pdrop": dropout}
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**(sizes | ids | drop | config)))
    model.loss_type = "ForCausalLM"  # else the library warns that it has to guess it
    return model


def generating_gpt2(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> GPT2LMHeadModel:
    """Return a random GPT-2 to generate with: peaked probabilities, so that greedy decoding has no near ties."""
    padded = len(tokenizer) + 3  # more logits than tokens, as in models padded to a round number
    return tiny_gpt2(tokenizer, seed, vocab_size=padded, n_embd=32, n_positions=128, initializer_range=0.3).eval()
